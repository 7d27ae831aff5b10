"""The exact, weighted ROC curve of a sample and the background rejection read off it.

Definitions and formulas stand at `rejection_curve` in classification.py.
"""

import math
from dataclasses import dataclass

import numpy as np

from omnilearn.errors import UserError
from omnilearn.statistics.results import Result
from omnilearn.statistics.uncertainty import efficiency_upper_limit


class Undefined(UserError):
    """A number that this sample does not have, though others it may: the weights cancel."""


FEW_PASSING = 10  # fewer background jets than this and the rejection is only a bound


@dataclass(frozen=True)
class RocCounts:
    """Sums over the jets at or above each distinct score, all (points,): the ROC and its errors."""

    thresholds: np.ndarray
    signal: np.ndarray  # sum of weights
    signal_squares: np.ndarray  # sum of squared weights
    background: np.ndarray
    background_squares: np.ndarray
    background_jets: np.ndarray  # plain counts
    n: int

    @classmethod
    def of(cls, scores, labels, weights) -> "RocCounts":
        scores, labels, weights = checked_sample(scores, labels, weights)
        refuse_missing_classes(labels, 2)
        order = np.argsort(-scores, kind="stable")
        scores, is_signal, weights = scores[order], labels[order] == 1, weights[order]
        last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # last jet of each tie

        def above(column):  # (N,) -> (points,), nothing passing first
            return np.concatenate(([0.0], np.cumsum(column)[last]))

        for name, chosen in (("signal", is_signal), ("background", ~is_signal)):
            require_positive_sum(weights[chosen], f"the {name} jets")
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
        """As `point`, for any number; the last one where none is. Signed sums need not rise."""
        above = self.tpr > efficiency
        return int(np.argmax(above)) if above.any() else len(above) - 1

    def passing(self, efficiency: float) -> int:
        return int(self.background_jets[self.point(efficiency)])

    def rejection(self, efficiency: float) -> Result:
        at = self.point(efficiency)
        passing = self.background[at]
        squares = self.background_squares[at]
        background_efficiency = passing / self.background[-1]
        if self.background_jets[at] and not 0 < background_efficiency <= 1:
            reason = (
                f"the weights of the {int(self.background_jets[at])} background jets that "
                f"pass add up to {background_efficiency:.3g} of all"
            )
            return Result(math.nan, None, self.n, reason=reason)
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
        value, error = float(1 / background_efficiency), float(np.sqrt(variance))
        remark = None
        if self._is_tied(at, efficiency):
            remark = (
                f"equal scores: read off at a signal efficiency of {self.tpr[at]:.3g}, the "
                f"next above {efficiency:g}"
            )
        if error == 0:  # all jets pass, and a finite sample is never sure
            return Result(value, None, self.n, "lower", remark)
        return Result(value, error / background_efficiency**2, self.n, reason=remark)

    def _is_tied(self, at: int, efficiency: float) -> bool:
        """Whether equal scores put the point further above than the sample can tell apart."""
        jets, squares = (
            np.diff(sums[at - 1 : at + 1])[0] for sums in (self.signal, self.signal_squares)
        )
        several = jets**2 > 1.5 * squares  # effectively more than one jet of this score
        variance = efficiency * (1 - efficiency) * self.signal_squares[-1] / self.signal[-1] ** 2
        return bool(several and self.tpr[at] - efficiency > np.sqrt(variance))

    def _threshold_shift(self, at: int) -> float:
        """Change of the background efficiency when the signal efficiency moves by one sigma."""
        tpr, sigma = self.tpr, _spread(self.signal, self.signal_squares, at)
        low, high = (self._first_above(side) for side in (tpr[at] - sigma, tpr[at] + sigma))
        if tpr[high] == tpr[low]:
            return 0.0
        return float(sigma * (self.fpr[high] - self.fpr[low]) / (tpr[high] - tpr[low]))


def _spread(sums: np.ndarray, squares: np.ndarray, at: int) -> float:
    """One sigma of the weighted fraction sums[at] / sums[-1], binomial for unit weights."""
    passed = sums[at] / sums[-1]
    variance = (1 - passed) ** 2 * squares[at] + passed**2 * (squares[-1] - squares[at])
    return float(np.sqrt(max(0.0, variance)) / sums[-1])


def checked_sample(scores, labels, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores or logits as float64, labels as int, weights as float64; jets of weight zero leave.

    Weights may be negative, as those of generators at next-to-leading order are: sums are signed.
    """
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
    if not np.all(np.isfinite(weights)):
        raise UserError("jet weights must be finite to count jets with them")
    kept = weights != 0
    if not np.any(kept):
        raise UserError("all jet weights are zero, so there is nothing to evaluate")
    return scores[kept], labels[kept], weights[kept]


def require_positive_sum(weights: np.ndarray, whose: str) -> None:
    """Raise Undefined where weights (N,) of both signs leave nothing to divide by."""
    total = float(np.sum(weights))
    if not total > 0:
        raise Undefined(
            f"the weights of {whose} add up to {total:.3g}; fractions of them need a sum that is "
            "above zero and not negative"
        )


def refuse_missing_classes(labels: np.ndarray, classes: int) -> None:
    present = set(np.unique(labels).tolist())
    if missing := sorted(set(range(classes)) - present):
        raise UserError(
            f"the test sample holds no jets of class {', '.join(map(str, missing))}; "
            f"an ROC curve needs all {classes} classes, so evaluate more jets"
        )
    if unknown := sorted(present - set(range(classes))):
        raise UserError(f"label {unknown[0]} found, expected classes 0 to {classes - 1}")
