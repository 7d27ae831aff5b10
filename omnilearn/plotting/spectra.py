"""Histograms of one observable with a panel of ratios: a reference sample and others against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from omnilearn.plotting.style import LIMIT_COLOUR, figure, model_colour

BINS = 40
TAIL = 0.002  # share of the reference left outside the axis on each side


@dataclass(frozen=True)
class Sample:
    """One sample of an observable: its name, values (N,), weights (N,) or None for ones."""

    label: str
    values: np.ndarray
    weights: np.ndarray | None = None
    colour: str | None = None

    def histogram(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Share of the sample in each bin per unit of the observable, and its uncertainty.

        What lies outside the edges counts in the norm, so that a lost tail is seen.
        """
        weights = np.ones(len(self.values)) if self.weights is None else np.asarray(self.weights)
        scale = weights.sum() * np.diff(edges)
        sums = np.histogram(self.values, edges, weights=weights)[0]
        squares = np.histogram(self.values, edges, weights=weights**2)[0]
        return sums / scale, np.sqrt(squares) / scale


def common_edges(reference: np.ndarray, whole_numbers: bool = False) -> np.ndarray:
    """Edges of bins (bins + 1,) that hold all but the outermost of the reference.

    Counts get bins as wide as whole numbers, centred on them.
    """
    low, high = np.quantile(reference, (TAIL, 1 - TAIL))
    if whole_numbers:
        width = max(1, round((high - low) / BINS))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + width + 0.5, width)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def histogram_with_ratio(
    axes: Axes,
    ratio_axes: Axes,
    reference: Sample,
    others: Sequence[Sample],
    edges: np.ndarray,
    x_label: str,
    y_label: str = "Density",
    logarithmic: bool = False,
) -> None:
    """Draw the reference filled and the others as lines, and below each over the reference.

    Bands and bars are statistical, one sigma; of the ratio each sample has its own, the band
    around one is the reference's.
    """
    centres = (edges[1:] + edges[:-1]) / 2
    density, error = reference.histogram(edges)
    axes.stairs(density, edges, fill=True, color=LIMIT_COLOUR, alpha=0.35, label=reference.label)
    relative = np.divide(error, density, out=np.zeros_like(error), where=density > 0)
    ratio_axes.stairs(1 + relative, edges, baseline=1 - relative, fill=True, color=LIMIT_COLOUR,
                      alpha=0.35)  # fmt: skip
    ratio_axes.axhline(1.0, color=LIMIT_COLOUR, linewidth=1.0)
    for position, other in enumerate(others):
        colour = other.colour or model_colour(other.label, position)
        found, its_error = other.histogram(edges)
        axes.stairs(found, edges, color=colour, linewidth=1.8, label=other.label)
        seen = density > 0
        ratio_axes.errorbar(centres[seen], found[seen] / density[seen],
                            its_error[seen] / density[seen], color=colour, linestyle="",
                            marker="o", markersize=3, linewidth=1.0)  # fmt: skip
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0.0)
    axes.set_ylabel(y_label)
    axes.tick_params(labelbottom=False)
    ratio_axes.set_xlabel(x_label)
    ratio_axes.set_ylabel("Ratio")
    ratio_axes.set_ylim(0.5, 1.5)
    for each in (axes, ratio_axes):
        each.set_xlim(edges[0], edges[-1])


def spectrum(
    path_stem: Path | str,
    reference: Sample,
    others: Sequence[Sample],
    x_label: str,
    title: str = "",
    whole_numbers: bool = False,
    logarithmic: bool = False,
) -> None:
    """One observable as a figure of its own, PNG and PDF; ValueError without other samples."""
    if not others:
        raise ValueError("no sample to compare with the reference")
    edges = common_edges(reference.values, whole_numbers)
    with figure(path_stem) as axes:
        canvas = axes.figure
        axes.remove()
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        histogram_with_ratio(upper, lower, reference, others, edges, x_label,
                             logarithmic=logarithmic)  # fmt: skip
        upper.legend(title=title or None, title_fontsize="small", loc="best")
