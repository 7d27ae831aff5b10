"""Distances between generated and true jets of one class: the metrics of JetNet.

arXiv:2106.11535, Section 4, and arXiv:2211.10295, as defined in the jetnet package.
Jets are massless constituents (N, P, 4): eta_rel, phi_rel, pt_rel, mask.
"""

import importlib.util
from functools import cache

import numpy as np
from scipy.stats import wasserstein_distance

from omnilearn.generation.distances import (
    bootstrap_rows,
    constituent_wasserstein,
    coverage_and_mmd,
    frechet_extrapolated,
    kernel_distance,
    wasserstein,
)
from omnilearn.kinematics import jet_mass
from omnilearn.statistics.results import Result

FOUR_BY_FOUR = ("n==4", "d==4", "p==1")
UP_TO_FOUR_EDGES = ("d<=4",)  # the features of the Frechet and kernel physics distances
FPND_CLASSES = ("g", "q", "t")  # with reference statistics in the jetnet package


def relative_mass(constituents: np.ndarray) -> np.ndarray:
    """Mass over pT (N,) of jets with constituents (N, P, 4)."""
    return jet_mass(relative_momenta(constituents), constituents[..., 3] > 0)


def relative_momenta(constituents: np.ndarray) -> np.ndarray:
    """Constituents (N, P, 4) -> pt_rel, eta_rel, phi_rel, energy (N, P, 4)."""
    eta, phi, pt, mask = np.moveaxis(np.asarray(constituents, np.float64), -1, 0)
    return np.stack([pt * mask, eta, phi, pt * np.cosh(eta) * mask], axis=-1)


@cache
def efp_set(selection: tuple[str, ...]):
    """The energy flow polynomials of these graphs, an energyflow.EFPSet."""
    import energyflow  # late: only the evaluation of generated jets needs it

    return energyflow.EFPSet(*selection, measure="hadr", beta=1, normed=None, coords="ptyphim")


def energy_flow_polynomials(constituents: np.ndarray, selection: tuple[str, ...]) -> np.ndarray:
    """Energy flow polynomials (N, graphs) of arXiv:1712.07124, with beta = 1."""
    momenta = relative_momenta(constituents)
    momenta[..., 3] = 0.0  # energyflow takes pt, y, phi, m
    mask = constituents[..., 3] > 0
    jets = [jet[real] for jet, real in zip(momenta, mask, strict=True)]
    return np.asarray(efp_set(selection).batch_compute(jets, n_jobs=1))


def generation_metrics(
    truth: np.ndarray, generated: np.ndarray, seed: int, emd_jets: int = 0
) -> dict[str, Result]:
    """All distances of one class of jets; truth (N, P, 4) and generated (M, P, 4).

    emd_jets: jets per batch of coverage and MMD, 0: as published.
    """
    jets = len(generated)
    masses = [relative_mass(sample) for sample in (truth, generated)]
    eta, phi, pt = constituent_wasserstein(truth, generated, seed)
    polynomials = [energy_flow_polynomials(each, FOUR_BY_FOUR) for each in (truth, generated)]
    per_graph = [
        [
            wasserstein_distance(polynomials[0][a, graph], polynomials[1][b, graph])
            for graph in range(polynomials[0].shape[1])
        ]
        for a, b in bootstrap_rows(len(truth), jets, seed)
    ]
    coverage, mmd = coverage_and_mmd(truth, generated, seed, emd_jets)
    features = [energy_flow_polynomials(each, UP_TO_FOUR_EDGES) for each in (truth, generated)]
    return {
        "w1m": wasserstein(masses[0], masses[1], seed),
        "w1p": mean_of([eta, phi, pt], jets),
        "w1p_eta": eta,
        "w1p_phi": phi,
        "w1p_pt": pt,
        "w1efp": Result(float(np.mean(per_graph)), float(np.mean(np.std(per_graph, axis=0))), jets),
        "coverage": coverage,
        "mmd": mmd,
        "fpd": frechet_extrapolated(features[0], features[1], seed),
        "kpd": kernel_distance(features[0], features[1], seed),
    }


def mean_of(results: list[Result], jets: int) -> Result:
    """Mean of values and of uncertainties, as published tables quote W1P and W1EFP."""
    return Result(
        float(np.mean([result.value for result in results])),
        float(np.mean([result.error or 0.0 for result in results])),
        jets,
    )


def jetnet_package_metrics(
    truth: np.ndarray, generated: np.ndarray, class_name: str
) -> dict[str, Result]:
    """FPND and W1M of the jetnet package; {} if it is not installed.

    FPND, of 30 constituents, compares with statistics of public g, q and t jets in the package.
    """
    if importlib.util.find_spec("jetnet") is None:
        return {}
    from jetnet import evaluation

    jets = min(len(truth), len(generated))
    true_jets, new_jets = (sample[..., :3].astype(np.float64) for sample in (truth, generated))
    mean, spread = evaluation.w1m(true_jets, new_jets, num_eval_samples=jets)
    metrics = {"w1m_jetnet": Result(float(mean), float(spread), jets)}
    if class_name in FPND_CLASSES and truth.shape[1] == 30:
        try:
            value = evaluation.fpnd(new_jets, jet_type=class_name, use_tqdm=False)
            metrics["fpnd"] = Result(float(value), None, jets)
        except (ImportError, OSError) as error:  # torch_geometric or torch_cluster is missing
            reason = f"{error}; see requirements-jetnet.txt"
            metrics["fpnd"] = Result(float("nan"), None, jets, reason=reason)
    return metrics
