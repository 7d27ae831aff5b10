"""Curves: background rejection against signal efficiency, losses against epochs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from omnilearn.data.spec import DatasetSpec
from omnilearn.plotting.scans import confusion_figure
from omnilearn.plotting.style import LIMIT_COLOUR, class_style, figure, model_colour, sample_title
from omnilearn.statistics.results import Result

CURVES_BESIDE_LEGEND = 4  # more do not leave room for a legend inside the axes


@dataclass(frozen=True)
class RocCurve:
    """One tagger: its name, the signal efficiencies (points,), the rejection at each of them."""

    label: str
    signal_efficiency: Sequence[float]
    rejection: Sequence[Result]
    colour: str | None = None  # the model's own colour if None


@dataclass(frozen=True)
class LossHistory:
    """One training: losses per epoch (epochs,), and the epoch that reached the target, if any.

    `seen` (epochs,) holds what the x axis counts; epochs from 1 if None.
    """

    label: str
    training: Sequence[float]
    validation: Sequence[float]
    seen: Sequence[float] | None = None
    reached: int | None = None
    colour: str | None = None

    @property
    def x(self) -> np.ndarray:
        return np.arange(1, len(self.validation) + 1) if self.seen is None else np.array(self.seen)


def roc_curves(
    curves: Sequence[RocCurve], path_stem: Path | str, title: str = "", signal: str = "Signal"
) -> None:
    """Log background rejection against signal efficiency, one-sigma bands, as PNG and PDF.

    A triangle ends a curve where too few background jets pass: from there to the left the
    rejection is at least as high. More than four curves put the legend beside the axes.
    Raises ValueError if there is no curve.
    """
    if not curves:
        raise ValueError("no curve to draw")
    is_beside = len(curves) > CURVES_BESIDE_LEGEND
    with figure(path_stem, (9.0, 6.0) if is_beside else None) as axes:
        top = 1.0
        for position, curve in enumerate(curves):
            colour = curve.colour or model_colour(curve.label, position)
            top = max(top, _draw_rejection(axes, curve, colour))
        efficiency = np.linspace(0.01, 1.0, 100)
        axes.plot(
            efficiency,
            1 / efficiency,
            color=LIMIT_COLOUR,
            linestyle="--",
            linewidth=1.2,
            label="random guess",
        )
        if any(result.bound for curve in curves for result in curve.rejection):
            axes.plot([], [], color=LIMIT_COLOUR, marker="^", linestyle="", label="lower limit")
        axes.set_yscale("log")
        axes.set_xlim(0.0, 1.0)
        axes.set_xlabel(f"{signal} efficiency " + r"$\varepsilon_S$")
        axes.set_ylabel(r"Background rejection $1/\varepsilon_B$")
        place: dict[str, Any]
        if is_beside:
            axes.set_ylim(1.0, 3.0 * top)
            place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        else:
            axes.set_ylim(1.0, 30.0 * top)  # a decade more, for the legend
            place = {"loc": "upper right"}
        axes.legend(title=title or None, title_fontsize="small", **place)


def _draw_rejection(axes: Axes, curve: RocCurve, colour: str) -> float:
    """Draw one curve and return its largest value."""
    x = np.array(curve.signal_efficiency, dtype=float)
    value = np.array([result.value for result in curve.rejection])
    limit = np.array([result.bound == "lower" for result in curve.rejection])
    error = np.array([result.error or 0.0 for result in curve.rejection])
    measured = np.where(limit, np.nan, value)
    axes.plot(x, measured, color=colour, label=curve.label)
    axes.fill_between(x, measured - error, measured + error, color=colour, alpha=0.25, linewidth=0)
    drawn = ~limit & np.isfinite(value)
    if np.any(limit):
        last = np.flatnonzero(limit)[-1]
        axes.plot(x[last], value[last], color=colour, marker="^", linestyle="", markersize=7)
        drawn[last] = True
    return float(np.max((value + error)[drawn], initial=1.0))


def loss_curves(
    histories: Sequence[LossHistory],
    path_stem: Path | str,
    target: float | None = None,
    target_label: str = "best from scratch",
    x_label: str = "Epoch",
    title: str = "",
) -> None:
    """Validation (solid) and training loss (dashed) of several trainings, as PNG and PDF.

    `target` is the loss to compare by, usually the best validation loss of the training from
    scratch; each history's `reached` epoch is marked on it and said in the legend.
    Raises ValueError if there is no history.
    """
    if not histories:
        raise ValueError("no training history to draw")
    with figure(path_stem) as axes:
        if target is not None:
            axes.axhline(target, color=LIMIT_COLOUR, linewidth=1.2, linestyle=":")
        for position, history in enumerate(histories):
            colour = history.colour or model_colour(history.label, position)
            mark = "o" if len(history.x) == 1 else None  # a line of one point is invisible
            axes.plot(
                history.x,
                history.training,
                color=colour,
                linestyle="--",
                linewidth=1.2,
                marker=mark,
                markersize=4,
            )
            axes.plot(
                history.x,
                history.validation,
                color=colour,
                marker=mark,
                label=_legend_text(history, target),
            )
            if history.reached is not None:
                axes.plot(
                    history.x[history.reached - 1],
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
            axes.plot([], [], color=LIMIT_COLOUR, linewidth=1.2, linestyle=":", label=target_label)
        if all(history.seen is None for history in histories):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlim(0.5, max(len(history.x) for history in histories) + 0.5)
        axes.set_xlabel(x_label)
        axes.set_ylabel("Loss")
        axes.legend(loc="best", title=title or None, title_fontsize="small")


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

    `results` as in results.json; `history` one dictionary per epoch with the losses as
    training.loss and validation.loss. Without curves or epochs the figure is not drawn.
    """
    origin = results.get("data")
    curves = []
    for name, curve in results.get("curves", {}).items():
        ink = class_style(spec, name)
        curves.append(
            RocCurve(ink["label"], curve["signal_efficiency"], curve["rejection"], ink["color"])
        )
    if curves:
        tested = max(result.n for curve in curves for result in curve.rejection)
        title = sample_title(spec.title, origin, tested, "test jets")
        roc_curves(curves, Path(run) / "roc", title=title)
    if isinstance(results.get("confusion"), list):
        confusion_figure(spec, results["confusion"], Path(run) / "confusion")
    loss_figure(run, spec.title, origin, history)


def loss_figure(
    run: Path,
    title: str,
    origin: str | None,
    history: Sequence[dict[str, Any]],
    loss: str = "loss",
    what: str = "jets per epoch",
) -> None:
    """RUN/loss from the lines of history.jsonl, one per epoch; nothing where there is none.

    loss: the entry of training and validation that is drawn; what: what a line counts as "jets".
    """
    if not history:
        return
    training, validation = (
        [epoch[kind][loss] for epoch in history] for kind in ("training", "validation")
    )
    seen = max((epoch["jets"] for epoch in history if epoch.get("jets")), default=None)
    lines = LossHistory(Path(run).name, training, validation)
    loss_curves([lines], Path(run) / "loss", title=sample_title(title, origin, seen, what))
