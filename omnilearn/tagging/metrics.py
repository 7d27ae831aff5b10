"""Weighted metrics of a tagger: accuracy, AUC, background rejection, confusion matrix.

Each is a `Result` with its statistical uncertainty, not the spread over trainings that published
tables often quote.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from scipy.special import softmax

from omnilearn.data.spec import DatasetSpec
from omnilearn.statistics.results import Result
from omnilearn.statistics.uncertainty import effective_size, fraction
from omnilearn.tagging.roc import (
    RocCounts,
    Undefined,
    checked_sample,
    refuse_missing_classes,
    require_positive_sum,
)

CURVE_EFFICIENCIES = tuple(round(0.02 * step, 2) for step in range(1, 50))


def pair_score(logits: np.ndarray, signal: int, background: int) -> np.ndarray:
    """Score of a signal class against a background class, logits (N, C) -> (N,).

    The difference of logits is the logit of p_s / (p_s + p_b), the discriminant of
    arXiv:2202.03772, Sec. 5: the same order of jets, without saturation at one.
    """
    logits = np.asarray(logits, dtype=np.float64)
    return logits[:, signal] - logits[:, background]


def accuracy(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Result:
    """Weighted fraction of jets whose largest logit is their class.

    `logits` (N, C), `labels` (N,) class numbers. Raises UserError as `RocCounts.of`.
    """
    logits, labels, weights = checked_sample(logits, labels, weights)
    require_positive_sum(weights, "all jets")
    value, error = fraction(np.argmax(logits, axis=1) == labels, weights)
    require_fraction(value, "accuracy")
    return Result(value, error, len(labels))


def require_fraction(value: float, name: str) -> None:
    """Raise Undefined for a fraction outside [0, 1], which negative weights can cause."""
    if not -1e-9 <= value <= 1 + 1e-9:
        raise Undefined(f"the {name} is {value:.3g}: negative weights nearly cancel the others")


def auc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Result:
    """Weighted area under the ROC curve, ties counted half.

    Uncertainty of DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837, with weighted
    placements; None if the formula gives zero, since the uncertainty of a finite sample is not
    zero. Raises UserError as `RocCounts.of`.
    """
    return _auc_result(*_auc_and_influence(scores, labels, weights))


def auc_difference(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    labels: np.ndarray,
    weights: np.ndarray | None = None,
) -> Result:
    """AUC of one model minus that of another on the same jets, the mean over pairs of trainings.

    pairs: scores (N,) of both models, for instance trained with the same jets. The uncertainty is
    that of `auc` for the difference, in which what both models share cancels, and in quadrature
    that of the mean over the pairs. Raises UserError as `RocCounts.of`.
    """
    differences, influence = [], np.float64(0.0)
    for pair in pairs:
        (first, of_first), (second, of_second) = (
            _auc_and_influence(scores, labels, weights) for scores in pair
        )
        differences.append(first - second)
        influence = influence + (of_first - of_second) / len(pairs)
    of_mean = np.var(differences, ddof=1) / len(pairs) if len(pairs) > 1 else 0.0
    error = float(np.sqrt(np.sum(influence**2) + of_mean))
    return Result(float(np.mean(differences)), error or None, np.size(influence))


def _auc_and_influence(scores, labels, weights) -> tuple[float, np.ndarray]:
    """The AUC and the influence of each jet on it (N,)."""
    scores, labels, weights = checked_sample(scores, labels, weights)
    refuse_missing_classes(labels, 2)
    influence = np.zeros(len(scores))
    signal, background = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    return _add_influence(influence, scores, signal, background, weights), influence


def auc_one_vs_one(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Result:
    """Mean AUC over ordered pairs of classes, the softmax of the first class being the score.

    Hand and Till, Machine Learning 45 (2001) 171, the macro "ovo" average of the released code;
    for two classes it is `auc`. `logits` (N, C), `labels` (N,) class numbers, all present.
    The uncertainty is that of `auc`, correlations between the pairs included.
    """
    return _mean_auc(logits, labels, weights, one_vs_one=True)


def auc_one_vs_rest(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Result:
    """Mean over the classes of the AUC of one class against all others; shapes as `auc_one_vs_one`.

    Its value depends on the class composition of the sample, unlike the one-vs-one mean.
    """
    return _mean_auc(logits, labels, weights, one_vs_one=False)


def background_rejection(
    scores: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    signal_efficiency: float = 0.5,
) -> Result:
    """1 / eB at the first ROC point whose signal efficiency is above `signal_efficiency`.

    The released code takes the same point, np.argmax(tpr > efficiency), without interpolation, on
    sklearn's roc_curve. Ours is the exact curve; sklearn drops points in a run of equal steps by
    default, which only matters for tied scores. For the uncertainty see `rejection_curve`.
    """
    return rejection_curve(scores, labels, weights, (signal_efficiency,))[0]


def rejection_curve(
    scores: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    efficiencies: Sequence[float] = CURVE_EFFICIENCIES,
) -> list[Result]:
    """`background_rejection` at each of the signal efficiencies; the jets are sorted once.

    Variance of the background efficiency: Hsieh and Turnbull, Ann. Statist. 24 (1996) 25, Th. 2.2,
    eB (1 - eB) / NB + (d eB / d eS)^2 eS (1 - eS) / NS, where the second term is the statistical
    shift of the threshold; the slope is that of the ROC over one sigma of eS to both sides.
    Weighted samples use sums of squared weights. With fewer than 10 (effective) background jets
    passing, the value is the 68 % one-sided Clopper-Pearson lower limit and `bound` is "lower".
    If equal scores put the point far above the efficiency, `reason` gives the efficiency of the
    point; if all background jets pass, the value, one, is a lower limit.
    """
    curve = RocCounts.of(scores, labels, weights)
    return [curve.rejection(efficiency) for efficiency in efficiencies]


def tagging_metrics(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, spec: DatasetSpec
) -> dict[str, Result | int]:
    """All tagging numbers of a dataset by name: accuracy, auc, rejection_0.5, ...

    `logits` (N, C), `labels` (N,) class numbers. With two classes the signal is `spec.signal`; with
    more, rejection_<class>_<efficiency> is of each class against class 0. Each rejection comes with
    background_passing, the number of background jets that pass. A number that negative weights
    leave undefined is NaN with its reason. Raises UserError as `RocCounts.of` for other defects.
    """
    logits, labels, weights = checked_sample(logits, labels, weights)
    sample = logits, labels, weights
    results: dict[str, Result | int] = {"accuracy": or_undefined(accuracy, *sample)}
    if spec.num_classes == 2:
        scores = pair_score(logits, spec.signal, 1 - spec.signal)
        results["auc"] = or_undefined(auc, scores, labels == spec.signal, weights)
    else:
        results["auc"] = or_undefined(auc_one_vs_one, *sample)
        results["auc_one_vs_rest"] = or_undefined(auc_one_vs_rest, *sample)
    class_points = dict(spec.class_working_points)
    for name, pair in _signals(*sample, spec):
        prefix = "" if spec.num_classes == 2 else f"{name}_"
        for efficiency in (class_points[name],) if name in class_points else spec.working_points:
            point = f"{prefix}{efficiency:g}"
            results[f"rejection_{point}"] = or_undefined(background_rejection, *pair, efficiency)
            results[f"background_passing_{point}"] = or_undefined(passing, *pair, efficiency)
    return results


def or_undefined(metric: Callable, scores: np.ndarray, labels: np.ndarray, weights, *more):
    """metric(scores, labels, weights, ...), or NaN with a reason if it raises Undefined."""
    try:
        return metric(scores, labels, weights, *more)
    except Undefined as error:
        return Result(math.nan, None, len(labels), reason=str(error))


def passing(scores: np.ndarray, labels: np.ndarray, weights, efficiency: float) -> int:
    """Background jets at or above the threshold of `background_rejection`."""
    return RocCounts.of(scores, labels, weights).passing(efficiency)


def confusion_matrix(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, classes: int
) -> np.ndarray:
    """Weighted fraction of each true class (row) whose largest logit is that of a class (column).

    `logits` (N, C), `labels` (N,) -> (C, C), rows adding up to 1. Raises UserError as
    `RocCounts.of`.
    """
    logits, labels, weights = checked_sample(logits, labels, weights)
    refuse_missing_classes(labels, classes)
    sums = np.bincount(labels * classes + np.argmax(logits, axis=1), weights, classes**2)
    sums = sums.reshape(classes, classes)
    for label in range(classes):
        require_positive_sum(weights[labels == label], f"the jets of class {label}")
    return sums / sums.sum(axis=1, keepdims=True)


def tagging_curves(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, spec: DatasetSpec
) -> dict[str, dict[str, list[Any]]]:
    """Rejection curves: signal class -> signal_efficiency and rejection, lists of one length.

    "curves" of results.json. Shapes, signals and background as in `tagging_metrics`. Curves that
    negative weights leave undefined are left out.
    """
    logits, labels, weights = checked_sample(logits, labels, weights)
    curves: dict[str, dict[str, list[Any]]] = {}
    for name, pair in _signals(logits, labels, weights, spec):
        with suppress(Undefined):
            curves[name] = {
                "signal_efficiency": list(CURVE_EFFICIENCIES),
                "rejection": rejection_curve(*pair),
            }
    return curves


def _signals(logits, labels, weights, spec: DatasetSpec) -> Iterator[tuple[str, tuple]]:
    """Name of each signal class, and the scores, labels and weights of signal and background."""
    binary = spec.num_classes == 2
    background = 1 - spec.signal if binary else 0
    signals = (spec.signal,) if binary else range(1, spec.num_classes)
    for signal in signals:
        rows = (labels == signal) | (labels == background)
        scores = pair_score(logits[rows], signal, background)
        yield spec.class_names[signal], (scores, labels[rows] == signal, weights[rows])


def _add_influence(influence, scores, signal, background, weights) -> float:
    """AUC of one pair of samples; adds the influence of each jet on it, in place.

    `influence`, `scores`, `weights` (N,); `signal` and `background` are row numbers. The placement
    of a signal jet is the fraction of background below it, ties counted half; that of a background
    jet is the fraction of signal above it. The AUC is the mean placement, the influence is
    weight * (placement - AUC) / sum of weights, with the m / (m - 1) of a sample variance.
    """
    require_positive_sum(weights[signal], "the jets of the signal class")
    require_positive_sum(weights[background], "the jets of the background classes")
    value = 0.0
    for rows, reference in ((signal, background), (background, signal)):
        order = np.argsort(scores[reference], kind="stable")
        sorted_scores = scores[reference][order]
        below = np.concatenate(([0.0], np.cumsum(weights[reference][order])))
        left = below[np.searchsorted(sorted_scores, scores[rows], side="left")]
        right = below[np.searchsorted(sorted_scores, scores[rows], side="right")]
        placement = (left + right) / (2 * below[-1])
        if rows is background:
            placement = 1 - placement
        row_weights = weights[rows]
        value = np.sum(row_weights * placement) / np.sum(row_weights)
        jets = effective_size(row_weights)
        correction = np.sqrt(jets / (jets - 1)) if jets > 1 else 1.0
        influence[rows] += correction * row_weights * (placement - value) / np.sum(row_weights)
    return float(value)


def _mean_auc(logits, labels, weights, one_vs_one: bool) -> Result:
    logits, labels, weights = checked_sample(logits, labels, weights)
    classes = logits.shape[1]
    refuse_missing_classes(labels, classes)
    probabilities = softmax(logits, axis=1)  # (N, C)
    influence, values = np.zeros(len(labels)), []
    for signal in range(classes):
        # the jets are sorted once per class, so that sorting and searching each pair is cheap
        order = np.argsort(probabilities[:, signal], kind="stable")
        scores, sorted_labels = probabilities[order, signal], labels[order]
        rows, pair_influence = np.flatnonzero(sorted_labels == signal), np.zeros(len(labels))
        if one_vs_one:
            backgrounds = [sorted_labels == label for label in range(classes) if label != signal]
        else:
            backgrounds = [sorted_labels != signal]
        for background in map(np.flatnonzero, backgrounds):
            value = _add_influence(pair_influence, scores, rows, background, weights[order])
            values.append(value)
        influence[order] += pair_influence
    return _auc_result(float(np.mean(values)), influence / len(values))


def _auc_result(value: float, influence: np.ndarray) -> Result:
    require_fraction(value, "area under the ROC curve")
    error = float(np.sqrt(np.sum(influence**2)))
    if error < 1e-12:  # zero up to rounding
        reason = "the classes do not overlap, or all scores are equal"
        return Result(value, None, len(influence), reason=reason)
    return Result(value, error, len(influence))
