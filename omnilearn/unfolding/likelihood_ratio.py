"""Closure of the likelihood ratio of a classifier."""

import numpy as np

from omnilearn.statistics.likelihood_ratio import ratio_of
from omnilearn.statistics.results import Result
from omnilearn.unfolding.spectrum_distances import Spectrum, chi2_per_bin

CLOSURE_BINS = 10


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
