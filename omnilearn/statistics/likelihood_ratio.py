"""Weights from the logit of a classifier of two samples, and their quality."""

import numpy as np

from omnilearn.statistics.results import Result
from omnilearn.statistics.uncertainty import effective_size, fraction


def ratio_of(logit: np.ndarray, clip: float) -> np.ndarray:
    """exp(logit), kept between 1 / clip and clip."""
    limit = np.log(clip)
    return np.exp(np.clip(logit, -limit, limit))


def ratio_quality(
    logit: np.ndarray, weights: np.ndarray, clip: float
) -> dict[str, Result | float | None]:
    """Clipped fraction and effective size of events with these logits and weights, both (N,).

    `effective_share` is the effective size after weighting by the ratio over that before; None
    where signed weights cancel.
    """
    selected = weights != 0
    logit, weights = logit[selected], weights[selected]
    if not len(logit):
        empty = Result(np.nan, None, 0, reason="no event of the reference has a jet at this level")
        return {"clipped_fraction": empty, "effective_size": 0.0, "effective_share": None}
    clipped, error = fraction(np.abs(logit) >= np.log(clip), np.abs(weights))
    before, after = effective_size(weights), effective_size(weights * ratio_of(logit, clip))
    return {
        "clipped_fraction": Result(clipped, error, len(logit)),
        "effective_size": after,
        "effective_share": after / before if before > 0 else None,
    }
