"""The bump hunt: dijet masses before and after a cut, the background from a fit to the sidebands.

The cut has a fixed efficiency in the sidebands, so that it depends neither on the truth nor on the
signal region. Folds of the events are cut one by one, each at the scores of its own classifier, and
their spectra are added (J. Collins, K. Howe, B. Nachman, arXiv:1902.02634).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from omnilearn.anomaly.dijet_mass import FallingSpectrum, bin_edges
from omnilearn.anomaly.significance import excess_significance
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result

FALLING_FROM = 2500.0  # GeV; below, the trigger, pT above 1.2 TeV, shapes the spectrum
CUTS = (1.0, 0.1, 0.01, 0.001)  # efficiencies of the sidebands
Hunt = tuple[dict[str, Result], list[dict[str, Any]]]


def limits(spec: DatasetSpec) -> tuple[float, float]:
    """Range of sidebands and signal region in which the spectrum falls [GeV]."""
    edges = np.array([*spec.sidebands, spec.signal_region])
    return float(max(edges.min(), FALLING_FROM)), float(edges.max())


def hunt(masses: np.ndarray, scores: np.ndarray, spec: DatasetSpec) -> Hunt:
    """significance_<cut> of the signal region, and the spectrum of every cut, with its fit.

    masses (N,) GeV and scores (N,) of events in both regions. A cut that leaves too few events in
    the sidebands for a fit has an undefined significance.
    """
    low, high = spec.signal_region
    outside = (masses < low) | (masses >= high)
    edges = bin_edges(spec.signal_region, limits(spec))
    counts = []
    for cut in CUTS:
        has_threshold = cut < 1 and outside.any()
        threshold = np.quantile(scores[outside], 1 - cut) if has_threshold else -np.inf
        counts.append(np.histogram(masses[scores > threshold], edges)[0])
    return fitted(edges, counts, spec.signal_region)


def hunt_of_folds(spectra: Sequence[Sequence[dict]], region: tuple[float, ...]) -> Hunt:
    """As `hunt`, of the sum of the spectra of several folds, in the signal region [GeV]."""
    edges = np.array(spectra[0][0]["edges"])
    counts = np.sum([[spectrum["counts"] for spectrum in fold] for fold in spectra], axis=0)
    return fitted(edges, counts, region)


def fitted(edges: np.ndarray, counts: Sequence[np.ndarray], region: tuple[float, ...]) -> Hunt:
    """The result of `hunt` for the events (bins,) that pass each of CUTS."""
    significances, spectra = {}, []
    for cut, passing in zip(CUTS, counts, strict=True):
        name, events = f"significance_{cut:g}", int(passing.sum())
        spectrum: dict[str, Any] = {"cut": cut, "edges": edges.tolist(), "counts": passing.tolist()}
        spectra.append(spectrum)
        try:
            fit = FallingSpectrum.of_counts(edges, passing, region)
        except UserError as error:
            significances[name] = Result(float("nan"), None, events, reason=str(error))
            continue
        expected, uncertainty = fit.background
        observed = int(passing[fit.inside].sum())
        value = excess_significance(observed, expected, uncertainty)
        significances[name] = Result(value, 1.0, events)
        spectrum |= {
            "expected": fit.expected.tolist(),
            "uncertainty": fit.error.tolist(),
            "observed": observed,
            "background": Result(expected, uncertainty, events),
            "parameters": fit.parameters,
            "chi2_per_bin": fit.chi2_per_bin,
            "significance": value,
        }
    return significances, spectra
