"""Metrics of a tokeniser: use of the codes, resolution of constituents, jets and substructure.

arXiv:2403.05618, Section 4. A resolution is half the width that holds the central 68 % of the
deviations, a bias their median; uncertainties are the spread over bootstrap samples of the values,
of jets or of constituents, which are taken as independent.
"""

import numpy as np

from omnilearn.data.spec import TOKEN_FEATURES
from omnilearn.generation.jet_observables import observables
from omnilearn.generation.jet_sets import JetSet, four_momenta
from omnilearn.statistics.results import Result

BOOTSTRAPS = 50
RELATIVE = ("jet_pt", "jet_mass")  # compared as ratios, the others as differences
CENTRAL = (0.16, 0.5, 0.84)


def codebook_use(codes: np.ndarray, num_codes: int) -> dict[str, Result]:
    """Share of the codes in use by these constituents (n,), and the perplexity.

    The perplexity is the exponential of the entropy, over the number of codes: 1 if all are equally
    frequent. Both grow with the size of the sample.
    """
    counts = np.bincount(codes, minlength=num_codes)
    share = counts[counts > 0] / max(1, len(codes))
    perplexity = float(np.exp(-np.sum(share * np.log(share))))
    return {
        "codes_used": Result(float(np.count_nonzero(counts)) / num_codes, None, len(codes)),
        "code_perplexity": Result(perplexity / num_codes, None, len(codes)),
    }


def resolution(deviations: np.ndarray, seed: int) -> tuple[Result, Result]:
    """Resolution and bias of deviations (N,)."""
    rng, size = np.random.default_rng(seed), len(deviations)
    samples = [deviations[rng.integers(0, size, size)] for _ in range(BOOTSTRAPS)]
    quantiles = np.quantile(samples, CENTRAL, axis=1)  # (3, bootstraps)
    low, median, high = np.quantile(deviations, CENTRAL)
    return (
        Result(float(high - low) / 2, float(np.std(quantiles[2] - quantiles[0]) / 2), size),
        Result(float(median), float(np.std(quantiles[1])), size),
    )


def resolutions(
    original: JetSet,
    restored: JetSet,
    features: np.ndarray,
    restored_features: np.ndarray,
    mask: np.ndarray,
    radius: float,
    seed: int,
) -> dict[str, Result]:
    """resolution_<name> and bias_<name> of jet observables and of TOKEN_FEATURES (N, P, 3)."""
    before, after = (observables(*four_momenta(jets), radius) for jets in (original, restored))
    deviations = {name: after[name] - before[name] for name in before}
    del deviations["multiplicity"]  # tokens do not change it
    for name in RELATIVE:
        positive = before[name] > 0
        deviations[name] = deviations[name][positive] / before[name][positive]
    for column, name in enumerate(TOKEN_FEATURES):
        deviations[name] = (restored_features - features)[..., column][mask > 0]
    metrics = {}
    for name, deviation in deviations.items():
        metrics[f"resolution_{name}"], metrics[f"bias_{name}"] = resolution(deviation, seed)
    return metrics
