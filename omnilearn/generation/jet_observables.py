"""Distributions of jet observables: KL divergence and W1 of pT, mass, tau21, tau32, multiplicity.

The comparison of generated jets with JetClass in arXiv:2412.10504, Section III.2, by
D(generated || truth). pT and mass are those of the sum of the constituents.
"""

import awkward as ak
import numpy as np

from omnilearn.clustering import subjettiness
from omnilearn.generation.distances import kullback_leibler, wasserstein
from omnilearn.kinematics import invariant_mass, sum_constituents, to_cartesian
from omnilearn.statistics.results import Result

OBSERVABLES = ("jet_pt", "jet_mass", "tau21", "tau32", "multiplicity")
BINS = 50
TAIL = 0.001  # share of the truth outside the bins on each side


def observables(momenta: np.ndarray, mask: np.ndarray, radius: float) -> dict[str, np.ndarray]:
    """Constituents (N, P, 4) pt, eta, phi, energy and mask (N, P) -> OBSERVABLES (N,), GeV."""
    jet = sum_constituents(momenta, mask)
    components = np.moveaxis(to_cartesian(momenta), -1, 0)
    multiplicity = mask.sum(axis=1)
    particles = ak.zip(
        {
            name: ak.unflatten(values[mask], multiplicity)
            for name, values in zip(("px", "py", "pz", "energy"), components, strict=True)
        }
    )
    tau = subjettiness(particles, radius)

    def ratio(above, below):
        return np.divide(above, below, out=np.zeros_like(above), where=below > 0)

    return {
        "jet_pt": jet[:, 0],
        "jet_mass": invariant_mass(jet),
        "tau21": ratio(tau[:, 1], tau[:, 0]),
        "tau32": ratio(tau[:, 2], tau[:, 1]),
        "multiplicity": multiplicity.astype(np.float64),
    }


def histogram_edges(name: str, truth: np.ndarray) -> np.ndarray:
    """Edges (bins + 1,) that span the truth (N,) without its tails; one bin per multiplicity."""
    low, high = np.quantile(truth, (TAIL, 1 - TAIL))
    if name == "multiplicity":
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    return np.linspace(low, max(high, low + 1e-6), BINS + 1)


def observable_metrics(
    truth: dict[str, np.ndarray], generated: dict[str, np.ndarray], seed: int
) -> dict[str, Result]:
    """kl_<observable> and w1_<observable> of two samples, as `observables` gives them."""
    metrics = {}
    for name in OBSERVABLES:
        edges = histogram_edges(name, truth[name])
        metrics[f"kl_{name}"] = kullback_leibler(truth[name], generated[name], edges, seed)
        metrics[f"w1_{name}"] = wasserstein(truth[name], generated[name], seed)
    return metrics
