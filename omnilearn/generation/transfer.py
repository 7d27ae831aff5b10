"""Generated jets against the size of the training: figures 3 and 4 of arXiv:2412.10504.

A row per observable: what fine-tuned models generate, what models from scratch generate, and KL
divergence and W1 of all of them against the training jets, with power laws.
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
    """One strategy: its name, training jets and metric (points,), and its power law if any."""

    label: str
    jets: Sequence[int]
    metric: Sequence[Result]
    law: PowerLaw | None = None


@dataclass(frozen=True)
class ObservableRow:
    """One observable: bins, the reference, other data for context, generated jets by size.

    generated: column title -> training jets -> sample; curves: axis label -> strategies.
    """

    observable: str
    edges: np.ndarray
    reference: Sample
    context: Sample | None
    generated: Mapping[str, Mapping[int, Sample]]
    curves: Mapping[str, Sequence[SizeCurve]]


def transfer_figure(rows: Sequence[ObservableRow], path_stem: Path | str, title: str) -> None:
    """All rows in one figure, PNG and PDF; raises ValueError when there is none."""
    if not rows:
        raise ValueError("no observable to draw")
    columns = len(rows[0].generated) + len(rows[0].curves)
    inches = columns * PANEL_INCHES[0], len(rows) * PANEL_INCHES[1] + 1.0
    with canvas(path_stem, inches) as drawing:
        grid = drawing.subplots(len(rows), columns, squeeze=False)
        for number, (line, row) in enumerate(zip(grid, rows, strict=True)):
            for place, (name, samples) in enumerate(row.generated.items()):
                draw_samples(line[place], row, samples, place == 0)
                if number == 0:
                    line[place].set_title(name, fontsize="small")
            for panel, (name, curves) in zip(
                line[len(row.generated) :], row.curves.items(), strict=True
            ):
                draw_curves(panel, curves, name)
        entries: dict[str, Artist] = {}
        for panel in (grid[0, 0], grid[0, -1]):
            entries |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
        drawing.legend(
            entries.values(),
            entries,
            title=title,
            loc="outside upper center",
            ncols=6,
            title_fontsize="small",
            fontsize="x-small",
        )


def identity_figure(
    means: Mapping[str, np.ndarray],
    spreads: Mapping[str, np.ndarray],
    names: Sequence[str],
    path_stem: Path | str,
) -> None:
    """Constituents of every kind per jet: mean and spread over jets (kinds,) of each sample."""
    with figure(path_stem) as axes:
        for position, (label, mean) in enumerate(means.items()):
            place = np.arange(len(names)) + 0.15 * (position - (len(means) - 1) / 2)
            axes.errorbar(
                place,
                mean,
                spreads[label],
                linestyle="",
                marker="o",
                capsize=3,
                color=OTHER_COLOURS[position],
                label=label,
            )
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize="x-small")
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.set_ylim(bottom=0.0)
        axes.set_ylabel("Constituents per jet")
        axes.legend()


def draw_samples(
    axes: Axes, row: ObservableRow, samples: Mapping[int, Sample], with_context: bool
) -> None:
    """Reference filled, other data dotted, a line per training size."""
    density, _ = row.reference.density(row.edges)
    axes.stairs(
        density, row.edges, fill=True, color=LIMIT_COLOUR, alpha=0.35, label=row.reference.label
    )
    if with_context and row.context:
        axes.stairs(
            row.context.density(row.edges)[0],
            row.edges,
            color="black",
            linestyle=":",
            label=row.context.label,
        )
    shades = matplotlib.colormaps[SIZE_COLOURS](np.linspace(0.9, 0.0, max(2, len(samples))))
    for shade, (jets, sample) in zip(shades, samples.items(), strict=False):
        axes.stairs(
            sample.density(row.edges)[0],
            row.edges,
            color=shade,
            linewidth=1.4,
            label=f"{jets} jets",
        )
    axes.set_xlim(row.edges[0], row.edges[-1])
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(LABELS[row.observable], fontsize="small")
    axes.tick_params(labelsize="x-small")


def draw_curves(axes: Axes, curves: Sequence[SizeCurve], label: str) -> None:
    """A metric of every strategy against its training jets, both axes logarithmic."""
    for position, curve in enumerate(curves):
        colour = OTHER_COLOURS[position % len(OTHER_COLOURS)]
        value = np.array([one.value for one in curve.metric])
        error = np.array([one.error or 0.0 for one in curve.metric])
        # a bar that reaches zero has no lower end on this axis
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
