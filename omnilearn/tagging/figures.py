"""Figures of tagging: background rejection against signal efficiency, losses against epochs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from omnilearn.data.selection import of_classes
from omnilearn.data.spec import DatasetSpec
from omnilearn.plotting.scans import confusion_figure
from omnilearn.plotting.style import LIMIT_COLOUR, class_style, figure, model_colour, sample_title
from omnilearn.statistics.results import Result

MOST_CURVES_INSIDE = 4  # with more, the axes have no room for the legend


@dataclass(frozen=True)
class RocCurve:
    """One tagger: its name, signal efficiencies (points,), rejection (points,)."""

    label: str
    signal_efficiency: Sequence[float]
    rejection: Sequence[Result]
    colour: str | None = None  # None: that of `model_colour`


@dataclass(frozen=True)
class LossHistory:
    """One training: losses (epochs,), and the epoch that reached the target loss, if any did."""

    label: str
    training: Sequence[float]
    validation: Sequence[float]
    reached: int | None = None


def roc_curves(
    curves: Sequence[RocCurve], path_stem: Path | str, title: str = "", signal: str = "Signal"
) -> None:
    """Log background rejection against signal efficiency, one-sigma bands, as PNG and PDF.

    A triangle marks the largest signal efficiency at which too few background jets pass: the
    rejection there is a lower limit. Raises ValueError if there is no curve.
    """
    if not curves:
        raise ValueError("no curve to draw")
    is_beside = len(curves) > MOST_CURVES_INSIDE
    with figure(path_stem, (9.0, 6.0) if is_beside else None) as axes:
        top = 1.0
        for position, curve in enumerate(curves):
            colour = curve.colour or model_colour(curve.label, position)
            top = max(top, _draw_rejection(axes, curve, colour))
        efficiency = np.linspace(0.01, 1.0, 100)
        guess = 1 / efficiency
        axes.plot(efficiency, guess, "--", color=LIMIT_COLOUR, linewidth=1.2, label="random guess")
        if any(result.bound for curve in curves for result in curve.rejection):
            axes.plot([], [], "^", color=LIMIT_COLOUR, label="lower limit")
        axes.set_yscale("log")
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel(f"{signal} efficiency " + r"$\varepsilon_S$")
        axes.set_ylabel(r"Background rejection $1/\varepsilon_B$")
        axes.set_ylim(1.0, (3.0 if is_beside else 30.0) * top)  # a decade for the legend inside
        axes.legend(
            title=title,
            loc="upper left" if is_beside else "upper right",
            bbox_to_anchor=(1.0, 1.0) if is_beside else None,
        )


def _draw_rejection(axes: Axes, curve: RocCurve, colour: str) -> float:
    """Draw one curve and return its largest value."""
    x = np.array(curve.signal_efficiency, dtype=float)
    value = np.array([result.value for result in curve.rejection])
    limit = np.array([result.bound == "lower" for result in curve.rejection])
    error = np.array([result.error or 0.0 for result in curve.rejection])
    measured = np.where(limit, np.nan, value)
    axes.plot(x, measured, color=colour, label=curve.label)
    axes.fill_between(x, measured - error, measured + error, color=colour, alpha=0.25, linewidth=0)
    plotted = ~limit & np.isfinite(value)
    if np.any(limit):
        last = np.flatnonzero(limit)[-1]
        axes.plot(x[last], value[last], "^", color=colour, markersize=7)
        plotted[last] = True
    return float(np.max((value + error)[plotted], initial=1.0))


def loss_curves(
    histories: Sequence[LossHistory],
    path_stem: Path | str,
    target: float | None = None,
    title: str = "",
) -> None:
    """Validation (solid) and training loss (dashed) of several trainings, as PNG and PDF.

    `target` is the best validation loss of the training from scratch; the `reached` epoch of each
    history is marked and written in the legend. Raises ValueError if there is no history.
    """
    if not histories:
        raise ValueError("no training history to draw")
    with figure(path_stem) as axes:
        if target is not None:
            axes.axhline(target, color=LIMIT_COLOUR, linewidth=1.2, linestyle=":")
        for position, history in enumerate(histories):
            colour = model_colour(history.label, position)
            epochs = np.arange(1, len(history.validation) + 1)
            marker = "o" if len(epochs) == 1 else None  # a line of one point is invisible
            axes.plot(
                epochs,
                history.training,
                color=colour,
                linestyle="--",
                linewidth=1.2,
                marker=marker,
                markersize=4,
            )
            label = _legend_text(history, target)
            axes.plot(epochs, history.validation, color=colour, marker=marker, label=label)
            if history.reached is not None:
                axes.plot(
                    history.reached,
                    history.validation[history.reached - 1],
                    marker="o",
                    markersize=9,
                    color=colour,
                    markeredgecolor="white",
                    clip_on=False,
                    zorder=3,
                )
        axes.plot([], [], color=LIMIT_COLOUR, label="validation")
        axes.plot([], [], color=LIMIT_COLOUR, linestyle="--", linewidth=1.2, label="training")
        if target is not None:
            label = "best from scratch"
            axes.plot([], [], color=LIMIT_COLOUR, linewidth=1.2, linestyle=":", label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(0.5, max(len(history.validation) for history in histories) + 0.5)
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Loss")
        axes.legend(loc="best", title=title)


def _legend_text(history: LossHistory, target: float | None) -> str:
    if target is None:
        return history.label
    if history.reached is None:
        return f"{history.label} (not reached)"
    epochs = "1 epoch" if history.reached == 1 else f"{history.reached} epochs"
    return f"{history.label} ({epochs} needed)"


def evaluation_figures(
    run: Path, spec: DatasetSpec, results: dict[str, Any], history: Sequence[dict[str, Any]]
) -> None:
    """The figures of one run, in its directory: roc (from results["curves"]), confusion and loss.

    `results` as in results.json; `history` as in `loss_figure`. A figure without data is not drawn.
    """
    origin = results.get("data")
    curves = []
    for name, curve in results.get("curves", {}).items():
        style = class_style(spec, name)
        curves.append(
            RocCurve(style["label"], curve["signal_efficiency"], curve["rejection"], style["color"])
        )
    if curves:
        test_jets = max(result.n for curve in curves for result in curve.rejection)
        title = sample_title(spec.title, origin, test_jets, "test jets")
        roc_curves(curves, Path(run) / "roc", title=title)
    if isinstance(results.get("confusion"), list):
        shown, _ = of_classes(spec, ",".join(results.get("classes", ())))
        confusion_figure(shown, results["confusion"], Path(run) / "confusion")
    loss_figure(run, spec.title, origin, history)


def loss_figure(
    run: Path,
    title: str,
    origin: str | None,
    history: Sequence[dict[str, Any]],
    loss: str = "loss",
    what: str = "jets per epoch",
) -> None:
    """RUN/loss from the lines of history.jsonl, one per epoch; not drawn if there is none.

    loss: the entry of "training" and "validation" that is drawn; what: the unit of "jets".
    """
    if not history:
        return
    training, validation = (
        [epoch[sample][loss] for epoch in history] for sample in ("training", "validation")
    )
    size = max((epoch["jets"] for epoch in history if epoch.get("jets")), default=None)
    curve = LossHistory(Path(run).name, training, validation)
    loss_curves([curve], Path(run) / "loss", title=sample_title(title, origin, size, what))
