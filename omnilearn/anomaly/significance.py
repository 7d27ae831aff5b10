"""Significance: of an excess over an uncertain background, and how a cut improves it.

The significance improvement (SIC) of a cut is eS / sqrt(eB): the factor by which S / sqrt(B) grows
(arXiv:2101.08320; arXiv:2502.14652, Figure 7).
"""

from dataclasses import dataclass

import numpy as np

from omnilearn.statistics.results import Result
from omnilearn.statistics.uncertainty import bootstrap_error
from omnilearn.tagging.roc import FEW_PASSING, RocCounts, checked_sample, refuse_missing_classes

FLOOR = 1e-4  # background efficiencies below do not count, as in the released code
LEAST_BACKGROUND = 10 * FEW_PASSING  # events, to measure a cut that keeps a tenth of them
CURVE_POINTS = 60
REPLICAS = 100


def excess_significance(observed: float, expected: float, error: float) -> float:
    """Standard deviations of an excess; negative for a deficit.

    G. Cowan, discovery sensitivity with an uncertain background: the profile likelihood where the
    background is known from a side measurement of relative uncertainty error / expected.
    """
    n, b, variance = float(observed), float(expected), float(error) ** 2
    if variance <= 0:
        squared = 2 * ((n * np.log(n / b) if n > 0 else 0.0) - (n - b))
    else:
        first = n * np.log(n * (b + variance) / (b * b + n * variance)) if n > 0 else 0.0
        second = b * b / variance * np.log1p(variance * (n - b) / (b * (b + variance)))
        squared = 2 * (first - second)
    return float(np.sign(n - b) * np.sqrt(max(0.0, squared)))


@dataclass(frozen=True)
class Improvement:
    """eS / sqrt(eB) at every distinct threshold of a classifier, hardest cut first."""

    signal: np.ndarray  # efficiencies (points,)
    background: np.ndarray
    background_events: np.ndarray  # numbers that pass
    n: int

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray) -> "Improvement":
        counts = RocCounts.of(scores, labels, None)
        return cls(counts.tpr, counts.fpr, counts.background_jets, counts.n)

    @property
    def floor(self) -> float:
        """The smallest background efficiency that counts: FLOOR, and FEW_PASSING events."""
        return max(FLOOR, FEW_PASSING / self.background_events[-1])

    @property
    def counted(self) -> np.ndarray:
        """Points (points,) bool at which enough background passes."""
        enough = self.background_events >= FEW_PASSING
        return enough & (self.background > FLOOR)

    @property
    def improvement(self) -> np.ndarray:
        """eS / sqrt(eB) (points,), 0 where no background passes."""
        safe = np.where(self.background > 0, self.background, np.inf)
        return self.signal / np.sqrt(safe)

    def at(self, point: int) -> Result:
        """The value at one threshold with its binomial uncertainty."""
        value = float(self.improvement[point])
        passed, signal = self.background_events[point], self.signal[point]
        signal_events = max(1.0, self.n - self.background_events[-1])
        of_signal = (1 - signal) / max(signal * signal_events, 1e-12)
        of_background = (1 - self.background[point]) / (4 * passed)
        return Result(value, float(value * np.sqrt(of_signal + of_background)), self.n)

    def curve(self) -> dict[str, list]:
        """Signal efficiencies and the improvement at them, where enough background passes."""
        efficiencies = np.linspace(0.01, 1.0, CURVE_POINTS)
        points = np.minimum(np.searchsorted(self.signal, efficiencies), len(self.signal) - 1)
        points = np.unique(points[self.counted[points]])
        return {
            "signal_efficiency": self.signal[points].tolist(),
            "improvement": [self.at(point) for point in points],
        }

    def at_background_efficiency(self, efficiency: float) -> Result:
        """The value at a background efficiency; undefined below the floor."""
        point = int(np.searchsorted(self.background, efficiency, side="right")) - 1
        if point < 0 or not self.counted[point]:
            reason = f"fewer than {FEW_PASSING} background events pass"
            return Result(float("nan"), None, self.n, reason=reason)
        return self.at(point)


def maximum_improvement(scores: np.ndarray, labels: np.ndarray, seed: int) -> Result:
    """The largest eS / sqrt(eB) above the floor; the uncertainty is a bootstrap of the maximum.

    Below LEAST_BACKGROUND events no strong cut can be measured, so that the value is a lower limit;
    with FEW_PASSING events or fewer it is undefined.
    """
    scores, labels, _ = checked_sample(scores, labels, None)
    refuse_missing_classes(labels, 2)
    order = np.argsort(-scores, kind="stable")
    scores, is_signal = scores[order], labels[order] == 1
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # last event of each tie

    def largest(weights):
        signal, background = (
            np.cumsum(weights * kind, axis=1)[:, last] for kind in (is_signal, ~is_signal)
        )
        efficiency = background / background[:, -1:]
        counted = (background >= FEW_PASSING) & (efficiency > FLOOR)
        safe = np.where(counted, efficiency, np.inf)
        return np.max(signal / signal[:, -1:] / np.sqrt(safe), axis=1)

    ones = np.ones(len(scores))
    value, events = float(largest(ones[None])[0]), int(np.count_nonzero(~is_signal))
    reason = f"{events} background events, of which a cut must keep {FEW_PASSING} to count"
    if events <= FEW_PASSING:
        return Result(float("nan"), None, len(scores), reason=reason)
    error = bootstrap_error(largest, ones, seed, REPLICAS)
    if events < LEAST_BACKGROUND:
        return Result(value, error, len(scores), bound="lower", reason=reason)
    return Result(value, error, len(scores))
