"""Iterative Bayesian unfolding of one binned observable: the baseline of unbinned unfolding.

G. D'Agostini, Nucl. Instrum. Meth. A362 (1995) 487; L. Lucy, Astron. J. 79 (1974) 745.
"""

from dataclasses import dataclass

import numpy as np

from omnilearn.unfolding.spectrum_distances import Spectrum

REPLICAS = 100  # variations of the data


@dataclass(frozen=True)
class Response:
    """What simulation says of a binned observable.

    joint (reco bins, gen bins): events that both levels accept; gen (gen bins): all that particle
    level accepts; reco (reco bins): all that detector level accepts.
    """

    joint: np.ndarray
    gen: np.ndarray
    reco: np.ndarray

    @classmethod
    def of(
        cls,
        reco: np.ndarray,
        gen: np.ndarray,
        weights: np.ndarray,
        passes: tuple[np.ndarray, np.ndarray],
        edges: np.ndarray,
    ) -> "Response":
        """Values at both levels (N,), weights (N,), acceptance (reco, gen) of each, (N,) bool."""
        both = passes[0] & passes[1]
        joint = np.histogram2d(reco[both], gen[both], (edges, edges), weights=weights[both])[0]
        spectra = [
            np.histogram(values[passing], edges, weights=weights[passing])[0]
            for values, passing in ((gen, passes[1]), (reco, passes[0]))
        ]
        return cls(joint, *spectra)


def unfolded(data: np.ndarray, response: Response, iterations: int) -> np.ndarray:
    """Particle-level sums (gen bins,) from detector-level sums (..., reco bins) of the data.

    Fakes are taken off by their simulated share in each bin, misses added by the efficiency. The
    simulation is the prior.
    """
    safe_reco = np.where(response.reco > 0, response.reco, 1.0)
    matched = data * response.joint.sum(axis=1) / safe_reco
    safe_gen = np.where(response.gen > 0, response.gen, 1.0)
    probability = response.joint / safe_gen  # P(reco bin | gen bin), (reco bins, gen bins)
    efficiency = probability.sum(axis=0)
    truth = np.broadcast_to(response.gen, (*data.shape[:-1], len(response.gen))).astype(float)
    for _ in range(iterations):
        folded = truth @ probability.T  # (..., reco bins)
        ratio = np.where(folded > 0, matched / np.where(folded > 0, folded, 1.0), 0.0)
        truth = truth * (ratio @ probability) / np.where(efficiency > 0, efficiency, 1.0)
    return truth


def unfolded_spectrum(
    data: Spectrum, response: Response, iterations: int, seed: int = 0
) -> Spectrum:
    """The unfolded spectrum; variances from Gaussian replicas of the data, bin by bin."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((REPLICAS, len(data.sums))) * np.sqrt(data.variances)
    toys = unfolded(np.maximum(data.sums + noise, 0.0), response, iterations)
    return Spectrum(data.edges, unfolded(data.sums, response, iterations),
                    np.var(toys, axis=0, ddof=1), data.entries)  # fmt: skip
