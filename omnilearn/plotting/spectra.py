"""Histograms of several samples with a panel of their ratios to a reference sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from omnilearn.plotting.style import LIMIT_COLOUR, canvas, model_colour

COLUMNS = 4
PANEL_INCHES = (4.6, 4.4)


@dataclass(frozen=True)
class Sample:
    """One sample in bins: its name, sums of weights (bins,), sums of squared weights (bins,).

    `total` is the sum of all weights, inside and outside the bins.
    """

    label: str
    sums: np.ndarray
    squares: np.ndarray
    total: float
    colour: str | None = None

    @classmethod
    def of_values(cls, label, values, edges, weights=None, colour=None) -> "Sample":
        """A sample of values (N,) in bins, with weights (N,) or unit weights."""
        weights = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
        sums = np.histogram(values, edges, weights=weights)[0]
        squares = np.histogram(values, edges, weights=weights**2)[0]
        return cls(label, sums, squares, float(weights.sum()), colour)

    @classmethod
    def of_counts(cls, label, counts, total) -> "Sample":
        """A sample of `total` jets of unit weight with these counts (bins,)."""
        counts = np.asarray(counts, np.float64)
        return cls(label, counts, counts, float(total))

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
    """Draw the reference filled and the others as lines; in `ratio_axes`, their ratios to it.

    Uncertainties are statistical, one sigma. In the ratio, the band around one is that of the
    reference, the bars are those of the other samples alone.
    """
    centres = (edges[1:] + edges[:-1]) / 2
    density, error = reference.density(edges)
    filled = density > 0
    axes.stairs(density, edges, fill=True, color=LIMIT_COLOUR, alpha=0.35, label=reference.label)
    relative = np.divide(error, density, out=np.zeros_like(error), where=filled)
    ratio_axes.stairs(
        1 + relative, edges, baseline=1 - relative, fill=True, color=LIMIT_COLOUR, alpha=0.35
    )
    ratio_axes.axhline(1.0, color=LIMIT_COLOUR, linewidth=1.0)
    for position, sample in enumerate(others):
        colour = sample.colour or model_colour(sample.label, position)
        sample_density, sample_error = sample.density(edges)
        axes.stairs(sample_density, edges, color=colour, linewidth=1.8, label=sample.label)
        ratio, bars = (
            column[filled] / density[filled] for column in (sample_density, sample_error)
        )
        ratio_axes.errorbar(
            centres[filled], ratio, bars, fmt="o", color=colour, markersize=3, linewidth=1.0
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
    for panel_axes in (axes, ratio_axes):
        panel_axes.set_xlim(edges[0], edges[-1])


@dataclass(frozen=True)
class Spectrum:
    """One panel: edges (bins + 1,), the reference, the other samples, and the axes."""

    edges: np.ndarray
    reference: Sample
    others: Sequence[Sample]
    x_label: str
    logarithmic: bool = False


def spectra(path_stem: Path | str, panels: Mapping[str, Spectrum], title: str = "") -> None:
    """All panels in one figure with one legend, as PNG and PDF; ValueError if there is none."""
    if not panels:
        raise ValueError("no spectrum to draw")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    inches = columns * PANEL_INCHES[0], rows * PANEL_INCHES[1] + 0.8
    with canvas(path_stem, inches) as drawing:
        grid = drawing.subplots(2 * rows, columns, squeeze=False, height_ratios=(3, 1) * rows)
        pairs = [grid[2 * row : 2 * row + 2, column] for row, column in np.ndindex(rows, columns)]
        for (axes, ratio_axes), panel in zip(pairs, panels.values(), strict=False):
            histogram_with_ratio(axes, ratio_axes, **vars(panel))
        for empty in np.ravel(pairs[len(panels) :]):
            empty.remove()
        handles_and_labels = grid[0, 0].get_legend_handles_labels()
        drawing.legend(*handles_and_labels, title=title, loc="outside upper center", ncols=5)
