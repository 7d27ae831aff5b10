"""How far the ratio of a classifier can be trusted: clipping, effective size, closure."""

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
    """Clipped fraction of the events (N,) with these logits and weights, and what weighting costs.

    `effective_share` is the effective size after weighting by the ratio over that before; None
    where signed weights cancel, so that there is nothing to compare with.
    """
    taking_part = weights != 0
    logit, weights = logit[taking_part], weights[taking_part]
    if not len(logit):
        none = Result(np.nan, None, 0, reason="no event of the reference has a jet at this level")
        return {"clipped_fraction": none, "effective_size": 0.0, "effective_share": None}
    clipped, error = fraction(np.abs(logit) >= np.log(clip), np.abs(weights))
    before, after = (effective_size(one) for one in (weights, weights * ratio_of(logit, clip)))
    return {
        "clipped_fraction": Result(clipped, error, len(logit)),
        "effective_size": after,
        "effective_share": after / before if before > 0 else None,
    }


def closure(logit: np.ndarray, samples: tuple[np.ndarray, np.ndarray], clip: float) -> Result:
    """chi2 per degree of freedom of target and reweighted reference in bins of the logit (N,).

    `samples`: weights (N,) of the events in reference and target. Events in both count as
    independent, which makes the chi2 of step 2 smaller than one.
    """
    reference, target = samples
    if not len(logit):
        return Result(np.nan, None, 0, reason="no event of the val split has a jet at this level")
    inner = np.quantile(logit, np.linspace(0, 1, CLOSURE_BINS + 1)[1:-1])
    edges = np.concatenate([[-np.inf], np.unique(inner), [np.inf]])
    bins = np.searchsorted(edges, logit, side="right") - 1
    places = np.arange(len(edges)) - 0.5
    reweighted, wanted = (
        Spectrum.of(bins[weights != 0], weights[weights != 0], places)
        for weights in (reference * ratio_of(logit, clip), target)
    )
    return chi2_per_bin(reweighted, wanted)
