"""The bump hunt: dijet masses before and after a cut, the background from a fit to the sidebands.

The cut has a fixed efficiency in the sidebands, so that it depends neither on the truth nor on the
signal region.
"""

from typing import Any

import numpy as np

from omnilearn.anomaly.dijet_mass import FallingSpectrum
from omnilearn.anomaly.significance import excess_significance
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result

FALLING_FROM = 2500.0  # GeV; below, the trigger, pT above 1.2 TeV, shapes the spectrum
CUTS = (1.0, 0.1, 0.01, 0.001)  # efficiencies of the sidebands


def limits(spec: DatasetSpec) -> tuple[float, float]:
    """Range of sidebands and signal region in which the spectrum falls [GeV]."""
    edges = np.array([*spec.sidebands, spec.signal_region])
    return float(max(edges.min(), FALLING_FROM)), float(edges.max())


def hunt(
    masses: np.ndarray, scores: np.ndarray, spec: DatasetSpec
) -> tuple[dict[str, Result], list[dict[str, Any]]]:
    """significance_<cut> of the signal region, and the spectrum and fit of every cut.

    masses (N,) GeV and scores (N,) of events in both regions. A cut that leaves too few events in
    the sidebands for a fit has no spectrum and an undefined significance.
    """
    low, high = spec.signal_region
    outside = (masses < low) | (masses >= high)
    significances, spectra = {}, []
    for cut in CUTS:
        name = f"significance_{cut:g}"
        has_threshold = cut < 1 and outside.any()
        threshold = np.quantile(scores[outside], 1 - cut) if has_threshold else -np.inf
        passing = masses[scores > threshold]
        try:
            fit = FallingSpectrum.fitted(passing, spec.signal_region, limits(spec))
        except UserError as error:
            significances[name] = Result(float("nan"), None, len(passing), reason=str(error))
            continue
        expected, uncertainty = fit.background
        observed = int(fit.counts[fit.inside].sum())
        value = excess_significance(observed, expected, uncertainty)
        significances[name] = Result(value, 1.0, len(passing))
        spectra.append(
            {
                "cut": cut,
                "edges": fit.edges.tolist(),
                "counts": fit.counts.tolist(),
                "expected": fit.expected.tolist(),
                "uncertainty": fit.error.tolist(),
                "observed": observed,
                "background": Result(expected, uncertainty, len(passing)),
                "parameters": fit.parameters,
                "chi2_per_bin": fit.chi2_per_bin,
                "significance": value,
            }
        )
    return significances, spectra
