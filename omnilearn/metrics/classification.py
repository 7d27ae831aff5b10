"""How well a tagger separates its classes: accuracy, AUC, background rejection; all weighted.

Each number is a `Result` with its statistical uncertainty. The spread over trainings, which
published tables often quote, is another thing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.metrics.uncertainty import effective_size, efficiency_upper_limit, fraction
from omnilearn.results import Result

FEW_PASSING = 10  # fewer background jets than this and the rejection is only a bound
CURVE_EFFICIENCIES = tuple(np.round(np.linspace(0.02, 0.99, 98), 2).tolist())


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
    curve = _Counts.of(scores, labels, weights)
    return curve.fpr, curve.tpr, curve.thresholds


def accuracy(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Result:
    """Weighted fraction of jets whose largest logit is their class.

    `logits` (N, C), `labels` (N,) class numbers. Raises UserError as `roc` does.
    """
    logits, labels, weights = _checked(logits, labels, weights)
    value, error = fraction(np.argmax(logits, axis=1) == labels, weights)
    return Result(value, error, len(labels))


def auc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Result:
    """Weighted area under the ROC curve, ties counted half.

    Uncertainty of DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837, each jet's placement
    taken with its weight; None if the classes do not overlap. Raises UserError as `roc` does.
    """
    scores, labels, weights = _checked(scores, labels, weights)
    _refuse_missing_classes(labels, 2)
    influence = np.zeros(len(scores))
    value = _add_influence(influence, scores, labels == 1, labels == 0, weights)
    return _auc_result(value, influence)


def auc_one_vs_one(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Result:
    """Mean AUC over ordered pairs of classes, the softmax of the first class being the score.

    Hand and Till, Machine Learning 45 (2001) 171, the macro "ovo" average of the released code;
    for two classes it is `auc`. `logits` (N, C), `labels` (N,) class numbers, all present.
    The uncertainty is that of `auc`, correlations between the pairs included.
    """
    logits, labels, weights = _checked(logits, labels, weights)
    classes = logits.shape[1]
    pairs = [(a, b) for a in range(classes) for b in range(classes) if a != b]
    return _mean_auc(logits, labels, weights, [(a, labels == a, labels == b) for a, b in pairs])


def auc_one_vs_rest(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Result:
    """Mean over the classes of the AUC of one class against all others; shapes as `auc_one_vs_one`.

    Its value depends on the class composition of the sample, unlike the one-vs-one mean.
    """
    logits, labels, weights = _checked(logits, labels, weights)
    sides = [(a, labels == a, labels != a) for a in range(logits.shape[1])]
    return _mean_auc(logits, labels, weights, sides)


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
    """
    curve = _Counts.of(scores, labels, weights)
    return [curve.rejection(efficiency) for efficiency in efficiencies]


def tagging_results(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, spec: DatasetSpec
) -> dict[str, Result | int]:
    """All tagging numbers of a dataset by name: accuracy, auc, rejection_0.5, ...

    With two classes the signal is `spec.signal`; with more, each class is set against class 0 as
    rejection_<class>_<efficiency>. Beside each rejection stands the number of background jets
    passing. `logits` (N, C), `labels` (N,) class numbers. Raises UserError as `roc` does.
    """
    logits, labels, weights = _checked(logits, labels, weights)
    results: dict[str, Result | int] = {"accuracy": accuracy(logits, labels, weights)}
    if spec.num_classes == 2:
        pairs = {"": (spec.signal, 1 - spec.signal)}
        scores = pair_score(logits, spec.signal, 1 - spec.signal)
        results["auc"] = auc(scores, labels == spec.signal, weights)
    else:
        pairs = {f"{name}_": (number, 0) for number, name in enumerate(spec.class_names) if number}
        results["auc"] = auc_one_vs_one(logits, labels, weights)
        results["auc_one_vs_rest"] = auc_one_vs_rest(logits, labels, weights)
    for prefix, (signal, background) in pairs.items():
        both = (labels == signal) | (labels == background)
        curve = _Counts.of(
            pair_score(logits[both], signal, background), labels[both] == signal, weights[both]
        )
        for efficiency in spec.working_points:
            results[f"rejection_{prefix}{efficiency:g}"] = curve.rejection(efficiency)
            results[f"background_passing_{prefix}{efficiency:g}"] = curve.passing(efficiency)
    return results


@dataclass(frozen=True)
class _Counts:
    """Sums over the jets at or above each distinct score, all (points,): the ROC and its errors."""

    thresholds: np.ndarray
    signal: np.ndarray  # sum of weights
    signal_squares: np.ndarray  # sum of squared weights
    background: np.ndarray
    background_squares: np.ndarray
    background_jets: np.ndarray  # plain counts
    n: int

    @classmethod
    def of(cls, scores, labels, weights) -> "_Counts":
        scores, labels, weights = _checked(scores, labels, weights)
        _refuse_missing_classes(labels, 2)
        order = np.argsort(-scores, kind="stable")
        scores, is_signal, weights = scores[order], labels[order] == 1, weights[order]
        last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # last jet of each tie

        def above(column):  # (N,) -> (points,), nothing passing first
            return np.concatenate(([0.0], np.cumsum(column)[last]))

        return cls(
            thresholds=np.concatenate(([np.inf], scores[last])),
            signal=above(weights * is_signal),
            signal_squares=above(weights**2 * is_signal),
            background=above(weights * ~is_signal),
            background_squares=above(weights**2 * ~is_signal),
            background_jets=above(~is_signal),
            n=len(scores),
        )

    @property
    def tpr(self) -> np.ndarray:
        return self.signal / self.signal[-1]

    @property
    def fpr(self) -> np.ndarray:
        return self.background / self.background[-1]

    def point(self, efficiency: float) -> int:
        """Index of the first point with a signal efficiency above `efficiency`."""
        if not 0 < efficiency < 1:
            raise UserError(f"signal efficiency {efficiency} is not between 0 and 1")
        return int(np.searchsorted(self.tpr, efficiency, side="right"))

    def passing(self, efficiency: float) -> int:
        return int(self.background_jets[self.point(efficiency)])

    def rejection(self, efficiency: float) -> Result:
        at = self.point(efficiency)
        passing = self.background[at]
        squares = self.background_squares[at]
        background_efficiency = passing / self.background[-1]
        jets = passing**2 / squares if passing > 0 else 0.0  # effective number passing
        if jets < FEW_PASSING * (1 - 1e-9):
            total = (
                jets / background_efficiency
                if passing > 0
                else self.background[-1] ** 2 / self.background_squares[-1]
            )
            limit = efficiency_upper_limit(jets, total)
            return Result(1.0 / limit, None, self.n, bound="lower")
        variance = _spread(self.background, self.background_squares, at) ** 2
        variance += self._threshold_shift(at) ** 2
        error = np.sqrt(variance) / background_efficiency**2
        return Result(float(1.0 / background_efficiency), float(error), self.n)

    def _threshold_shift(self, at: int) -> float:
        """Change of the background efficiency when the signal efficiency moves by one sigma."""
        tpr, sigma = self.tpr, _spread(self.signal, self.signal_squares, at)
        sides = np.searchsorted(tpr, (tpr[at] - sigma, tpr[at] + sigma), side="right")
        low, high = np.minimum(sides, len(tpr) - 1)
        if tpr[high] == tpr[low]:
            return 0.0
        return float(sigma * (self.fpr[high] - self.fpr[low]) / (tpr[high] - tpr[low]))


def _spread(sums: np.ndarray, squares: np.ndarray, at: int) -> float:
    """One sigma of the weighted fraction sums[at] / sums[-1], binomial for unit weights."""
    passed = sums[at] / sums[-1]
    variance = (1 - passed) ** 2 * squares[at] + passed**2 * (squares[-1] - squares[at])
    return float(np.sqrt(max(0.0, variance)) / sums[-1])


def _add_influence(influence, scores, signal, background, weights) -> float:
    """AUC of one pair of samples; adds each jet's influence on it, in place.

    All arrays (N,), `signal` and `background` bool. The placement of a signal jet is the fraction
    of background below it, ties half, and the reverse; the AUC is their mean, the influence
    weight * (placement - AUC) / sum of weights, with the m / (m - 1) of a sample variance.
    """
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


def _mean_auc(logits, labels, weights, sides) -> Result:
    _refuse_missing_classes(labels, logits.shape[1])
    probabilities = softmax(logits, axis=1)  # (N, C)
    influence = np.zeros(len(labels))
    values = [
        _add_influence(influence, probabilities[:, number], own, other, weights)
        for number, own, other in sides
    ]
    return _auc_result(float(np.mean(values)), influence / len(values))


def _auc_result(value: float, influence: np.ndarray) -> Result:
    error = float(np.sqrt(np.sum(influence**2)))
    if error == 0:
        return Result(value, None, len(influence), reason="the classes do not overlap")
    return Result(value, error, len(influence))


def _checked(scores, labels, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores or logits as float64, labels as int, weights as float64; jets of weight zero leave."""
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(np.int64)
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    if labels.ndim != 1 or weights.shape != labels.shape or len(scores) != len(labels):
        raise ValueError(
            f"scores {scores.shape}, labels {labels.shape}, weights {weights.shape} do not match"
        )
    if len(scores) == 0:
        raise UserError("no jets to evaluate; choose a test file that holds some")
    bad = int(np.sum(~np.isfinite(scores).reshape(len(scores), -1).all(axis=1)))
    if bad:
        raise UserError(
            f"the model's score is not finite for {bad} of {len(scores)} jets; the training "
            "diverged, so evaluate an earlier checkpoint"
        )
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise UserError("jet weights must be finite and not negative to count jets with them")
    kept = weights > 0
    if not np.any(kept):
        raise UserError("all jet weights are zero, so there is nothing to evaluate")
    return scores[kept], labels[kept], weights[kept]


def _refuse_missing_classes(labels: np.ndarray, classes: int) -> None:
    present = set(np.unique(labels).tolist())
    if missing := sorted(set(range(classes)) - present):
        raise UserError(
            f"the test sample holds no jets of class {', '.join(map(str, missing))}; "
            f"an ROC curve needs all {classes} classes, so evaluate more jets"
        )
    if unknown := sorted(present - set(range(classes))):
        raise UserError(f"label {unknown[0]} found, expected classes 0 to {classes - 1}")
