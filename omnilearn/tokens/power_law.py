"""How a metric falls with training jets: metric = A D^-gamma, arXiv:2412.10504, Section III.4."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnilearn.statistics.results import Result

LEAST_ERROR = 0.02  # relative: the spread of few trainings may be too small by chance


@dataclass(frozen=True)
class PowerLaw:
    """amplitude and exponent gamma of metric = amplitude D^-gamma; chi2 per degree of freedom."""

    amplitude: float
    exponent: Result
    chi2: float | None

    def __call__(self, jets: np.ndarray) -> np.ndarray:
        return self.amplitude * np.asarray(jets, float) ** -self.exponent.value


def power_law(jets: Sequence[int], metric: Sequence[Result]) -> PowerLaw:
    """A line through the logarithms, weighted by the uncertainties of the metric (points,).

    With three points or more the exponent's uncertainty grows with a chi2 per degree of freedom
    above one. Points that are not above zero are left out; fewer than two give an undefined
    exponent.
    """
    points = [(size, result) for size, result in zip(jets, metric, strict=True) if result.value > 0]
    count = len(points)
    if count < 2:
        reason = f"{count} sizes have a metric above zero, a line needs two"
        return PowerLaw(float("nan"), Result(float("nan"), None, count, reason=reason), None)
    x = np.log([size for size, _ in points])
    y = np.log([result.value for _, result in points])
    relative = [max(LEAST_ERROR, (result.error or 0.0) / result.value) for _, result in points]
    weight = 1 / np.square(relative)
    centre = np.average(x, weights=weight)
    spread = np.sum(weight * (x - centre) ** 2)
    slope = np.sum(weight * (x - centre) * y) / spread
    level = np.average(y, weights=weight) - slope * centre
    freedom, chi2 = count - 2, None
    error = spread**-0.5
    if freedom:
        chi2 = float(np.sum(weight * (y - level - slope * x) ** 2) / freedom)
        error *= max(1.0, chi2) ** 0.5
    return PowerLaw(float(np.exp(level)), Result(float(-slope), float(error), count), chi2)
