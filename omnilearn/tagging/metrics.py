"""How well a tagger separates its classes: accuracy, AUC, background rejection; all weighted.

Each number is a `Result` with its statistical uncertainty. The spread over trainings, which
published tables often quote, is another thing.
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
    arXiv:2202.03772, Sec. 5, so it orders the jets alike and does not saturate at one.
    """
    logits = np.asarray(logits, dtype=np.float64)
    return logits[:, signal] - logits[:, background]


def roc(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact ROC curve: (fpr, tpr, thresholds), one point per distinct score, from (0, 0) to (1, 1).

    `scores` (N,), `labels` (N,) 1 for signal and 0 for background, `weights` (N,). A jet passes if
    its score is at or above the threshold, so tied jets pass together; no point is dropped.
    Raises UserError for empty input, scores that are not finite, bad weights or a missing class.
    """
    curve = RocCounts.of(scores, labels, weights)
    return curve.fpr, curve.tpr, curve.thresholds


def accuracy(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Result:
    """Weighted fraction of jets whose largest logit is their class.

    `logits` (N, C), `labels` (N,) class numbers. Raises UserError as `roc` does.
    """
    logits, labels, weights = checked_sample(logits, labels, weights)
    require_positive_sum(weights, "all jets")
    value, error = fraction(np.argmax(logits, axis=1) == labels, weights)
    require_fraction(value, "accuracy")
    return Result(value, error, len(labels))


def require_fraction(value: float, what: str) -> None:
    """Raise Undefined where weights of both signs make a fraction of less than none or all."""
    if not -1e-9 <= value <= 1 + 1e-9:
        raise Undefined(
            f"the {what} comes out as {value:.3g}: negative weights nearly cancel the others"
        )


def auc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Result:
    """Weighted area under the ROC curve, ties counted half.

    Uncertainty of DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837, each jet's placement
    taken with its weight; None if it comes out as zero, which no finite sample can claim.
    Raises UserError as `roc` does.
    """
    scores, labels, weights = checked_sample(scores, labels, weights)
    refuse_missing_classes(labels, 2)
    influence = np.zeros(len(scores))
    signal, background = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    value = _add_influence(influence, scores, signal, background, weights)
    return _auc_result(value, influence)


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

    This is the released code's point (np.argmax(tpr > efficiency) on sklearn's roc_curve), without
    interpolation, on the exact curve: sklearn drops points in a run of equal steps by default,
    which can only matter where scores are tied. For the uncertainty see `rejection_curve`.
    """
    return rejection_curve(scores, labels, weights, (signal_efficiency,))[0]


def rejection_curve(
    scores: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    efficiencies: Sequence[float] = CURVE_EFFICIENCIES,
) -> list[Result]:
    """`background_rejection` at each of the signal efficiencies, from one sorting of the jets.

    Variance of the background efficiency: Hsieh and Turnbull, Ann. Statist. 24 (1996) 25, Th. 2.2,
    eB (1 - eB) / NB + (d eB / d eS)^2 eS (1 - eS) / NS, where the second term is the statistical
    shift of the threshold; the slope is the ROC's own over one sigma of eS to both sides. Weighted
    samples use sums of squared weights. With fewer than 10 (effective) background jets passing, the
    value is the 68 % one-sided Clopper-Pearson lower limit at that threshold and `bound` says so.
    Where equal scores put the point far above the efficiency, `reason` says at which it is; and
    where all jets are equal the value, one, is a bound: the rejection does not rise with eS.
    """
    curve = RocCounts.of(scores, labels, weights)
    return [curve.rejection(efficiency) for efficiency in efficiencies]


def tagging_metrics(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, spec: DatasetSpec
) -> dict[str, Result | int]:
    """All tagging numbers of a dataset by name: accuracy, auc, rejection_0.5, ...

    With two classes the signal is `spec.signal`; with more, each class is set against class 0 as
    rejection_<class>_<efficiency>. Beside each rejection stands the number of background jets
    passing. `logits` (N, C), `labels` (N,) class numbers. A number that weights of both signs leave
    without a meaning is NaN with its reason. Raises UserError as `roc` does for all others.
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
    own = dict(spec.class_working_points)
    for name, pair in _signals(*sample, spec):
        prefix = "" if spec.num_classes == 2 else f"{name}_"
        for efficiency in (own[name],) if name in own else spec.working_points:
            point = f"{prefix}{efficiency:g}"
            results[f"rejection_{point}"] = or_undefined(background_rejection, *pair, efficiency)
            results[f"background_passing_{point}"] = or_undefined(passing, *pair, efficiency)
    return results


def or_undefined(metric: Callable, scores: np.ndarray, labels: np.ndarray, weights, *more):
    """metric(scores, labels, weights, ...), or NaN with the reason why it is not defined."""
    try:
        return metric(scores, labels, weights, *more)
    except Undefined as reason:
        return Result(math.nan, None, len(labels), reason=str(reason))


def passing(scores: np.ndarray, labels: np.ndarray, weights, efficiency: float) -> int:
    """Background jets that pass where `background_rejection` is read off."""
    return RocCounts.of(scores, labels, weights).passing(efficiency)


def confusion_matrix(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, classes: int
) -> np.ndarray:
    """Weighted fraction of each true class (row) that has its largest logit in each class (column).

    `logits` (N, C), `labels` (N,) -> (C, C), rows adding up to 1. Raises UserError as `roc` does.
    """
    logits, labels, weights = checked_sample(logits, labels, weights)
    refuse_missing_classes(labels, classes)
    counts = np.bincount(labels * classes + np.argmax(logits, axis=1), weights, classes**2)
    counts = counts.reshape(classes, classes)
    for number in range(classes):
        require_positive_sum(weights[labels == number], f"the jets of class {number}")
    return counts / counts.sum(axis=1, keepdims=True)


def tagging_curves(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, spec: DatasetSpec
) -> dict[str, dict[str, list[Any]]]:
    """Rejection curves for figures: signal class -> signal_efficiency and rejection, equally long.

    Shapes, signals and background as in `tagging_metrics`; fit for results.json as "curves".
    Without the curves that weights of both signs leave undefined.
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
    """Each signal class of a dataset with its scores, labels and weights and the background's."""
    binary = spec.num_classes == 2
    background = 1 - spec.signal if binary else 0
    signals = (spec.signal,) if binary else range(1, spec.num_classes)
    for signal in signals:
        both = (labels == signal) | (labels == background)
        scores = pair_score(logits[both], signal, background)
        yield spec.class_names[signal], (scores, labels[both] == signal, weights[both])


def _add_influence(influence, scores, signal, background, weights) -> float:
    """AUC of one pair of samples; adds each jet's influence on it, in place.

    `influence`, `scores`, `weights` (N,); `signal` and `background` are row numbers. The
    placement of a signal jet is the fraction of background below it, ties half, and the reverse;
    the AUC is their mean, the influence weight * (placement - AUC) / sum of weights, with the
    m / (m - 1) of a sample variance.
    """
    for chosen, whose in ((signal, "one class"), (background, "those it is set against")):
        require_positive_sum(weights[chosen], f"the jets of {whose}")
    value = 0.0
    for own, other, sign in ((signal, background, 1), (background, signal, -1)):
        order = np.argsort(scores[other], kind="stable")
        sorted_scores = scores[other][order]
        below = np.concatenate(([0.0], np.cumsum(weights[other][order])))
        left = below[np.searchsorted(sorted_scores, scores[own], side="left")]
        right = below[np.searchsorted(sorted_scores, scores[own], side="right")]
        placement = (left + right) / (2 * below[-1])
        if sign < 0:
            placement = 1 - placement
        own_weights = weights[own]
        value = np.sum(own_weights * placement) / np.sum(own_weights)
        jets = effective_size(own_weights)
        correction = np.sqrt(jets / (jets - 1)) if jets > 1 else 1.0
        influence[own] += correction * own_weights * (placement - value) / np.sum(own_weights)
    return float(value)


def _mean_auc(logits, labels, weights, one_vs_one: bool) -> Result:
    logits, labels, weights = checked_sample(logits, labels, weights)
    classes = logits.shape[1]
    refuse_missing_classes(labels, classes)
    probabilities = softmax(logits, axis=1)  # (N, C)
    influence, values = np.zeros(len(labels)), []
    for number in range(classes):
        # sorted once per class, which makes the sorting and searching of each pair cheap
        order = np.argsort(probabilities[:, number], kind="stable")
        scores, ordered = probabilities[order, number], labels[order]
        own, change = np.flatnonzero(ordered == number), np.zeros(len(labels))
        if one_vs_one:
            others = [np.flatnonzero(ordered == other) for other in range(classes)]
            del others[number]
        else:
            others = [np.flatnonzero(ordered != number)]
        for against in others:
            values.append(_add_influence(change, scores, own, against, weights[order]))
        influence[order] += change
    return _auc_result(float(np.mean(values)), influence / len(values))


def _auc_result(value: float, influence: np.ndarray) -> Result:
    require_fraction(value, "area under the ROC curve")
    error = float(np.sqrt(np.sum(influence**2)))
    if error < 1e-12:  # zero but for rounding
        reason = "the classes do not overlap, or all scores are equal"
        return Result(value, None, len(influence), reason=reason)
    return Result(value, error, len(influence))
