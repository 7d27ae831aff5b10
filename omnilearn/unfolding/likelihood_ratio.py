"""Quality of the likelihood ratio of a classifier: clipping, effective size, closure."""

import numpy as np

from omnilearn.statistics.results import Result
from omnilearn.statistics.uncertainty import effective_size, fraction
from omnilearn.unfolding.spectrum_distances import Spectrum, chi2_per_bin

CLOSURE_BINS = 10


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


def closure(logit: np.ndarray, samples: tuple[np.ndarray, np.ndarray], clip: float) -> Result:
    """chi2 per degree of freedom of target and reweighted reference in bins of the logit (N,).

    `samples`: weights (N,) of the events in reference and target. Events in both are
    treated as independent, which makes the chi2 of step 2 smaller than one.
    """
    reference, target = samples
    if not len(logit):
        return Result(np.nan, None, 0, reason="no event of the val split has a jet at this level")
    inner = np.quantile(logit, np.linspace(0, 1, CLOSURE_BINS + 1)[1:-1])
    limits = np.concatenate([[-np.inf], np.unique(inner), [np.inf]])
    bins = np.searchsorted(limits, logit, side="right") - 1
    edges = np.arange(len(limits)) - 0.5
    reweighted, expected = (
        Spectrum.of(bins[weights != 0], weights[weights != 0], edges)
        for weights in (reference * ratio_of(logit, clip), target)
    )
    return chi2_per_bin(reweighted, expected)
