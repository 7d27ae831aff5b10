"""Histograms with a panel of ratios: a reference sample and others against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from omnilearn.plotting.style import LIMIT_COLOUR, canvas, model_colour

COLUMNS = 4  # panels side by side
PANEL_INCHES = (4.6, 4.4)


@dataclass(frozen=True)
class Sample:
    """One sample in bins: its name, sums of weights (bins,), sums of squared weights (bins,).

    `total` is the sum of all weights, also outside the bins, so that a lost tail is seen.
    """

    label: str
    sums: np.ndarray
    squares: np.ndarray
    total: float
    colour: str | None = None

    @classmethod
    def of_values(cls, label, values, edges, weights=None, colour=None) -> "Sample":
        """A sample of values (N,) with weights (N,), ones where None, in bins."""
        weights = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
        sums, squares = (
            np.histogram(values, edges, weights=each)[0] for each in (weights, weights**2)
        )
        return cls(label, sums, squares, float(weights.sum()), colour)

    @classmethod
    def of_counts(cls, label, counts, total, colour=None) -> "Sample":
        """A sample of unit weights that is known by its counts (bins,)."""
        counts = np.asarray(counts, np.float64)
        return cls(label, counts, counts, float(total), colour)

    def density(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Share of the sample in each bin per unit of the observable, and its uncertainty."""
        scale = self.total * np.diff(edges)
        return self.sums / scale, np.sqrt(self.squares) / scale


def histogram_with_ratio(
    axes: Axes,
    ratio_axes: Axes,
    edges: np.ndarray,
    reference: Sample,
    others: Sequence[Sample],
    x_label: str,
    logarithmic: bool = False,
) -> None:
    """Draw the reference filled and the others as lines, and below each over the reference.

    Bands and bars are statistical, one sigma: in the ratio those of each sample alone, the band
    around one is the reference's.
    """
    centres = (edges[1:] + edges[:-1]) / 2
    density, error = reference.density(edges)
    seen = density > 0
    axes.stairs(density, edges, fill=True, color=LIMIT_COLOUR, alpha=0.35, label=reference.label)
    relative = np.divide(error, density, out=np.zeros_like(error), where=seen)
    ratio_axes.stairs(
        1 + relative, edges, baseline=1 - relative, fill=True, color=LIMIT_COLOUR, alpha=0.35
    )
    ratio_axes.axhline(1.0, color=LIMIT_COLOUR, linewidth=1.0)
    for position, other in enumerate(others):
        colour = other.colour or model_colour(other.label, position)
        found, its_error = other.density(edges)
        axes.stairs(found, edges, color=colour, linewidth=1.8, label=other.label)
        ratio_axes.errorbar(
            centres[seen],
            found[seen] / density[seen],
            its_error[seen] / density[seen],
            color=colour,
            linestyle="",
            marker="o",
            markersize=3,
            linewidth=1.0,
        )
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0.0)
    axes.set_ylabel("Density")
    axes.tick_params(labelbottom=False)
    ratio_axes.set_xlabel(x_label)
    ratio_axes.set_ylabel("Ratio")
    ratio_axes.set_ylim(0.5, 1.5)
    for each in (axes, ratio_axes):
        each.set_xlim(edges[0], edges[-1])


@dataclass(frozen=True)
class Spectrum:
    """One panel: edges (bins + 1,), the reference, the others, and how the axes are."""

    edges: np.ndarray
    reference: Sample
    others: Sequence[Sample]
    x_label: str
    logarithmic: bool = False


def spectra(path_stem: Path | str, panels: Mapping[str, Spectrum], title: str = "") -> None:
    """All panels in one figure with one legend, PNG and PDF; ValueError when there is none."""
    if not panels:
        raise ValueError("no spectrum to draw")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    inches = columns * PANEL_INCHES[0], rows * PANEL_INCHES[1] + 0.8
    with canvas(path_stem, inches) as drawing:
        grid = drawing.subplots(2 * rows, columns, squeeze=False, height_ratios=(3, 1) * rows)
        for place, panel in enumerate(panels.values()):
            row, column = divmod(place, columns)
            upper, lower = grid[2 * row : 2 * row + 2, column]
            histogram_with_ratio(
                upper,
                lower,
                panel.edges,
                panel.reference,
                panel.others,
                panel.x_label,
                panel.logarithmic,
            )
        for place in range(len(panels), rows * columns):
            row, column = divmod(place, columns)
            for empty in grid[2 * row : 2 * row + 2, column]:
                empty.remove()
        drawing.legend(
            *grid[0, 0].get_legend_handles_labels(),
            title=title or None,
            loc="outside upper center",
            ncols=5,
            title_fontsize="small",
        )
