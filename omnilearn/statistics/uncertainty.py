"""Statistical uncertainties of weighted samples: fractions, limits on efficiencies, bootstrap.

Weights are fixed properties of the jets, so the variance of a weighted sum is the sum of squared
weights times squared deviations; for unit weights every formula is the binomial one.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import beta

ONE_SIGMA = 0.6827  # probability content of one standard deviation
BOOTSTRAP_CELLS = 4_000_000  # replica weights in memory at once: 32 MB of float64


def effective_size(weights: np.ndarray) -> float:
    """Number of unit-weight jets with the same relative precision, (sum w)^2 / sum w^2 (Kish)."""
    weights = np.asarray(weights, dtype=np.float64)
    squares = np.sum(weights**2)
    return float(np.sum(weights) ** 2 / squares) if squares > 0 else 0.0


def fraction(passed: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Weighted fraction of jets that pass and its one-sigma uncertainty.

    `passed` (N,) bool, `weights` (N,) of any sign with a sum above zero. If all jets pass or none
    does, the binomial variance is zero although the sample is finite; the uncertainty is then the
    distance to the one-sided Clopper-Pearson limit.
    """
    passed = np.asarray(passed, dtype=np.float64)
    weights = np.asarray(weights, dtype=np.float64)
    total = np.sum(weights)
    value = float(np.sum(weights * passed) / total)
    error = float(np.sqrt(np.sum(weights**2 * (passed - value) ** 2)) / total)
    if np.all(passed == passed[0]):
        error = efficiency_upper_limit(0.0, effective_size(weights))
    return value, error


def efficiency_upper_limit(passing: float, total: float) -> float:
    """One-sided upper limit of one sigma on an efficiency, `passing` of `total` jets.

    Clopper and Pearson, Biometrika 26 (1934) 404, as a quantile of the beta distribution, defined
    also for the effective (fractional) counts of weighted samples. 1 if all jets pass.
    """
    if passing >= total:
        return 1.0
    return float(beta.ppf(ONE_SIGMA, passing + 1.0, total - passing))


def bootstrap_error(
    statistic: Callable[[np.ndarray], np.ndarray],
    weights: np.ndarray,
    seed: int,
    replicas: int = 200,
) -> float:
    """Standard deviation of a statistic over Poisson bootstrap replicas of the sample.

    `weights` (N,); `statistic` maps weights (R, N) to values (R,). Each replica multiplies every
    weight by a Poisson(1) number (Efron and Tibshirani 1993, ch. 6; Poisson counts may replace
    multinomial ones in normalised statistics). Memory is bounded: replicas are made a few at a
    time, and the result does not depend on how many. Raises ValueError for fewer than two replicas.
    """
    if replicas < 2:
        raise ValueError(f"a standard deviation needs two replicas or more, found {replicas}")
    weights = np.asarray(weights, dtype=np.float64)
    rng = np.random.default_rng(seed)
    rows = max(1, BOOTSTRAP_CELLS // max(1, len(weights)))
    values = [
        statistic(rng.poisson(1.0, (min(rows, replicas - start), len(weights))) * weights)
        for start in range(0, replicas, rows)
    ]
    return float(np.std(np.concatenate(values), ddof=1))
