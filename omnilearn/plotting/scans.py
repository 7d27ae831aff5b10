"""Metrics against the size of the training sample; a confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.plotting.style import LIMIT_COLOUR, canvas, figure, grouped, model_colour
from omnilearn.statistics.results import Result


@dataclass(frozen=True)
class Scan:
    """One model: sizes of its training samples (points,) and its metric (points,) for each.

    `training_jets` may hold another x value, such as the evaluations of a solver.
    """

    label: str
    training_jets: Sequence[int]
    metric: Sequence[Result]


def training_size_scan(
    scans: Sequence[Scan],
    path_stem: Path | str,
    y_label: str,
    title: str = "",
    x_label: str = "Training jets",
) -> None:
    """The metric of each model against its training jets, with one-sigma bars, as PNG and PDF.

    Triangles mark lower limits. Raises ValueError if `scans` is empty.
    """
    if not scans:
        raise ValueError("no model to draw")
    with figure(path_stem) as axes:
        for position, scan in enumerate(scans):
            colour = model_colour(scan.label, position)
            jets = np.array(scan.training_jets)
            value = np.array([result.value for result in scan.metric])
            error = np.array([result.error or 0.0 for result in scan.metric])
            limit = np.array([result.bound == "lower" for result in scan.metric])
            measured = [column[~limit] for column in (jets, value, error)]
            axes.errorbar(*measured, color=colour, marker="o", capsize=3, label=scan.label)
            axes.plot(jets[limit], value[limit], "^", color=colour)
        if any(result.bound for scan in scans for result in scan.metric):
            axes.plot([], [], "^", color=LIMIT_COLOUR, label="lower limit")
        axes.set_xscale("log")
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.legend(title=title, loc="upper left")


def learning_curve(
    jets: Sequence[int], loss: Sequence[float], auc: Sequence[Result], path_stem: Path | str
) -> None:
    """Validation cross-entropy and AUC against pre-training jets, side by side.

    All arguments have one entry per training. Writes PNG and PDF.
    """
    with canvas(path_stem, (11.0, 4.5)) as drawing:
        left, right = drawing.subplots(1, 2)
        left.plot(jets, loss, marker="o")
        left.set_ylabel("Validation cross-entropy")
        error = [result.error or 0.0 for result in auc]
        right.errorbar(jets, [result.value for result in auc], error, marker="o", capsize=3)
        right.set_ylabel("Macro AUC")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_xticks(jets, [grouped(count) for count in jets])
            axes.set_xticks([], minor=True)
            axes.set_xlabel("Pre-training jets")


def confusion_figure(spec: DatasetSpec, matrix: Sequence[Sequence[float]], path_stem: Path) -> None:
    """Percent of each true class (rows) that is classified as each class (columns).

    `matrix` (classes, classes) holds fractions.
    """
    percent = 100 * np.asarray(matrix)
    names = [label.latex for label in spec.labels]
    with figure(path_stem, (9.0, 8.0)) as axes:
        axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
        for row, column in np.ndindex(percent.shape):
            text = f"{percent[row, column]:.0f}"
            colour = "white" if percent[row, column] > 50 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=12, color=colour)
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.minorticks_off()
        axes.set_xlabel("Taken for")
        axes.set_ylabel("True class [%]")
