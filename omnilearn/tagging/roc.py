"""The exact, weighted ROC curve of a sample and the background rejection at its points.

Definitions and formulas: `omnilearn.tagging.metrics.rejection_curve`.
"""

import math
from dataclasses import dataclass

import numpy as np

from omnilearn.errors import UserError
from omnilearn.statistics.results import Result
from omnilearn.statistics.uncertainty import efficiency_upper_limit


class Undefined(UserError):
    """A metric is not defined for this sample because its weights cancel; others may be."""


FEW_PASSING = 10  # with fewer background jets passing the rejection is a lower limit


@dataclass(frozen=True)
class RocCounts:
    """Sums over the jets at or above each distinct score, all (points,)."""

    thresholds: np.ndarray
    signal: np.ndarray  # sum of weights
    signal_squares: np.ndarray  # sum of squared weights
    background: np.ndarray
    background_squares: np.ndarray
    background_jets: np.ndarray  # plain counts
    n: int

    @classmethod
    def of(cls, scores, labels, weights) -> "RocCounts":
        """The exact curve: a point per distinct score, from (0, 0) to (1, 1).

        scores (N,), labels (N,) 1 for signal and 0 for background, weights (N,) or None. A jet
        passes if its score is at or above the threshold; jets with equal scores pass together.
        Raises UserError for no jets, scores that are not finite, bad weights or a missing class.
        """
        scores, labels, weights = checked_sample(scores, labels, weights)
        refuse_missing_classes(labels, 2)
        order = np.argsort(-scores, kind="stable")
        scores, is_signal, weights = scores[order], labels[order] == 1, weights[order]
        last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # last jet of each score

        def above(values):  # (N,) -> (points,), zero at the first
            return np.concatenate(([0.0], np.cumsum(values)[last]))

        require_positive_sum(weights[is_signal], "the signal jets")
        require_positive_sum(weights[~is_signal], "the background jets")
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
        return self._first_above(efficiency)

    def _first_above(self, efficiency: float) -> int:
        """As `point`, for any number; the last point if none is above. Signed sums may fall."""
        above = self.tpr > efficiency
        return int(np.argmax(above)) if above.any() else len(above) - 1

    def passing(self, efficiency: float) -> int:
        return int(self.background_jets[self.point(efficiency)])

    def rejection(self, efficiency: float) -> Result:
        index = self.point(efficiency)
        passing = self.background[index]
        background_efficiency = passing / self.background[-1]
        if self.background_jets[index] and not 0 < background_efficiency <= 1:
            reason = (
                f"the weights of the {int(self.background_jets[index])} background jets that "
                f"pass add up to {background_efficiency:.3g} of all"
            )
            return Result(math.nan, None, self.n, reason=reason)
        # effective numbers of background jets, passing and in total
        jets = passing**2 / self.background_squares[index] if passing > 0 else 0.0
        if jets < FEW_PASSING * (1 - 1e-9):
            total = (
                jets / background_efficiency
                if passing > 0
                else self.background[-1] ** 2 / self.background_squares[-1]
            )
            limit = efficiency_upper_limit(jets, total)
            return Result(1.0 / limit, None, self.n, bound="lower")
        variance = _spread(self.background, self.background_squares, index) ** 2
        variance += self._threshold_shift(index) ** 2
        value, error = float(1 / background_efficiency), float(np.sqrt(variance))
        remark = None
        if self._is_tied(index, efficiency):
            remark = (
                f"equal scores: measured at a signal efficiency of {self.tpr[index]:.3g}, the "
                f"next above {efficiency:g}"
            )
        if error == 0:  # all jets pass; the uncertainty of a finite sample is not zero
            return Result(value, None, self.n, "lower", remark)
        return Result(value, error / background_efficiency**2, self.n, reason=remark)

    def _is_tied(self, index: int, efficiency: float) -> bool:
        """Whether several jets of one score put the point more than one sigma above."""
        jets, squares = (
            np.diff(sums[index - 1 : index + 1])[0] for sums in (self.signal, self.signal_squares)
        )
        several = jets**2 > 1.5 * squares  # effectively more than one jet of this score
        variance = efficiency * (1 - efficiency) * self.signal_squares[-1] / self.signal[-1] ** 2
        return bool(several and self.tpr[index] - efficiency > np.sqrt(variance))

    def _threshold_shift(self, index: int) -> float:
        """Change of the background efficiency when the signal efficiency changes by one sigma."""
        tpr, sigma = self.tpr, _spread(self.signal, self.signal_squares, index)
        low, high = (self._first_above(tpr[index] + shift) for shift in (-sigma, sigma))
        if tpr[high] == tpr[low]:
            return 0.0
        return float(sigma * (self.fpr[high] - self.fpr[low]) / (tpr[high] - tpr[low]))


def _spread(sums: np.ndarray, squares: np.ndarray, index: int) -> float:
    """One sigma of the weighted fraction sums[index] / sums[-1], binomial for unit weights."""
    passed = sums[index] / sums[-1]
    variance = (1 - passed) ** 2 * squares[index] + passed**2 * (squares[-1] - squares[index])
    return float(np.sqrt(max(0.0, variance)) / sums[-1])


def checked_sample(scores, labels, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores or logits as float64, labels as int, weights as float64, without jets of weight zero.

    Weights may be negative, as in samples at next-to-leading order. Raises UserError for no jets,
    scores or weights that are not finite, or weights that are all zero.
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(np.int64)
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    if labels.ndim != 1 or weights.shape != labels.shape or len(scores) != len(labels):
        raise ValueError(
            f"scores {scores.shape}, labels {labels.shape}, weights {weights.shape} do not match"
        )
    if len(scores) == 0:
        raise UserError("no jets to evaluate; choose a test file that holds some")
    if bad := int(np.sum(~np.isfinite(scores).reshape(len(scores), -1).all(axis=1))):
        raise UserError(
            f"the model's score is not finite for {bad} of {len(scores)} jets; the training "
            "diverged, so evaluate an earlier checkpoint"
        )
    if not np.all(np.isfinite(weights)):
        raise UserError("a jet weight is not finite; metrics need finite weights")
    nonzero = weights != 0
    if not np.any(nonzero):
        raise UserError("all jet weights are zero, so there is nothing to evaluate")
    return scores[nonzero], labels[nonzero], weights[nonzero]


def require_positive_sum(weights: np.ndarray, sample: str) -> None:
    """Raise Undefined if the sum of the weights (N,) is not above zero."""
    total = float(np.sum(weights))
    if not total > 0:
        raise Undefined(
            f"the weights of {sample} add up to {total:.3g}; fractions need a sum above zero"
        )


def refuse_missing_classes(labels: np.ndarray, classes: int) -> None:
    present = set(np.unique(labels).tolist())
    if missing := sorted(set(range(classes)) - present):
        raise UserError(
            f"the test sample has no jets of class {', '.join(map(str, missing))}; "
            f"an ROC curve needs all {classes} classes, so evaluate more jets"
        )
    if unknown := sorted(present - set(range(classes))):
        raise UserError(f"label {unknown[0]} found, expected classes 0 to {classes - 1}")
