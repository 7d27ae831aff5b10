"""Generated jets for training samples of several sizes: figures 3 and 4 of arXiv:2412.10504.

A row per observable: spectra by fine-tuned models and by models from scratch, and their KL
divergence and W1 against the number of training jets, with power laws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from omnilearn.generation.figures import LABELS
from omnilearn.plotting.spectra import Sample
from omnilearn.plotting.style import LIMIT_COLOUR, OTHER_COLOURS, canvas, figure
from omnilearn.statistics.results import Result
from omnilearn.tokens.power_law import PowerLaw

PANEL_INCHES = (4.4, 3.4)
SIZE_COLOURS = "viridis"


@dataclass(frozen=True)
class SizeCurve:
    """One way of training: name, training jets (points,), metric (points,), power law if fitted."""

    label: str
    jets: Sequence[int]
    metric: Sequence[Result]
    law: PowerLaw | None = None


@dataclass(frozen=True)
class ObservableRow:
    """One observable: edges (bins + 1,), the reference, other data for context, generated jets.

    generated: column title -> training jets -> sample; curves: axis label -> ways of training.
    """

    observable: str
    edges: np.ndarray
    reference: Sample
    context: Sample | None
    generated: Mapping[str, Mapping[int, Sample]]
    curves: Mapping[str, Sequence[SizeCurve]]


def transfer_figure(rows: Sequence[ObservableRow], path_stem: Path | str, title: str) -> None:
    """All rows in one figure, as PNG and PDF; raises ValueError if there is none."""
    if not rows:
        raise ValueError("no observable to draw")
    columns = len(rows[0].generated) + len(rows[0].curves)
    inches = columns * PANEL_INCHES[0], len(rows) * PANEL_INCHES[1] + 1.0
    with canvas(path_stem, inches) as drawing:
        grid = drawing.subplots(len(rows), columns, squeeze=False)
        for panels, row in zip(grid, rows, strict=True):
            for column, samples in enumerate(row.generated.values()):
                draw_samples(panels[column], row, samples, with_context=column == 0)
            curve_panels = panels[len(row.generated) :]
            for axes, (label, curves) in zip(curve_panels, row.curves.items(), strict=True):
                draw_curves(axes, curves, label)
        for axes, title_of_column in zip(grid[0], rows[0].generated, strict=False):
            axes.set_title(title_of_column, fontsize="small")
        entries: dict[str, Artist] = {}
        for axes in (grid[0, 0], grid[0, -1]):
            entries |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        drawing.legend(
            entries.values(),
            entries,
            title=title,
            loc="outside upper center",
            ncols=6,
            fontsize="x-small",
        )


def identity_figure(
    means: Mapping[str, np.ndarray],
    spreads: Mapping[str, np.ndarray],
    names: Sequence[str],
    path_stem: Path | str,
) -> None:
    """Constituents of each kind per jet: mean and spread over jets (kinds,) of each sample."""
    with figure(path_stem) as axes:
        for position, (label, mean) in enumerate(means.items()):
            x = np.arange(len(names)) + 0.15 * (position - (len(means) - 1) / 2)
            colour = OTHER_COLOURS[position]
            axes.errorbar(x, mean, spreads[label], fmt="o", capsize=3, color=colour, label=label)
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize="x-small")
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.set_ylim(bottom=0.0)
        axes.set_ylabel("Constituents per jet")
        axes.legend()


def draw_samples(
    axes: Axes, row: ObservableRow, samples: Mapping[int, Sample], with_context: bool
) -> None:
    """Draw the reference filled, the context dotted, and a line per training size."""
    density, _ = row.reference.density(row.edges)
    axes.stairs(
        density, row.edges, fill=True, color=LIMIT_COLOUR, alpha=0.35, label=row.reference.label
    )
    if with_context and row.context:
        density, _ = row.context.density(row.edges)
        axes.stairs(density, row.edges, color="black", linestyle=":", label=row.context.label)
    shades = matplotlib.colormaps[SIZE_COLOURS](np.linspace(0.9, 0.0, max(2, len(samples))))
    for shade, (jets, sample) in zip(shades, samples.items(), strict=False):
        density, _ = sample.density(row.edges)
        axes.stairs(density, row.edges, color=shade, linewidth=1.4, label=f"{jets} jets")
    axes.set_xlim(row.edges[0], row.edges[-1])
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(LABELS[row.observable], fontsize="small")
    axes.tick_params(labelsize="x-small")


def draw_curves(axes: Axes, curves: Sequence[SizeCurve], label: str) -> None:
    """A metric of every way of training against its training jets, both axes logarithmic."""
    for position, curve in enumerate(curves):
        colour = OTHER_COLOURS[position % len(OTHER_COLOURS)]
        value = np.array([result.value for result in curve.metric])
        error = np.array([result.error or 0.0 for result in curve.metric])
        # a logarithmic axis cannot show a bar that reaches zero
        bars = np.stack([np.minimum(error, 0.99 * value), error])
        axes.errorbar(
            curve.jets,
            value,
            bars,
            color=colour,
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.2,
            label=curve.label,
        )
        if curve.law and np.isfinite(curve.law.exponent.value):
            fitted = curve.law(np.asarray(curve.jets))
            axes.plot(curve.jets, fitted, color=colour, linestyle="--", linewidth=1.0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("Training jets", fontsize="small")
    axes.set_ylabel(label, fontsize="small")
    axes.tick_params(labelsize="x-small", which="both")
