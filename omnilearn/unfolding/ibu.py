"""Iterative Bayesian unfolding of one binned observable: the baseline of unbinned unfolding.

G. D'Agostini, Nucl. Instrum. Meth. A362 (1995) 487; L. Lucy, Astron. J. 79 (1974) 745.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from omnilearn.unfolding.spectrum_distances import Spectrum

OUTSIDE = -1  # the bin of an event that is not accepted, or lies outside the edges


@dataclass(frozen=True)
class Response:
    """Sums of weights of a simulated, binned observable.

    joint (reco bins, gen bins): events that both levels accept; gen (gen bins): all that particle
    level accepts; reco (reco bins): all that detector level accepts.
    """

    joint: np.ndarray
    gen: np.ndarray
    reco: np.ndarray


@dataclass(frozen=True)
class Binned:
    """Bins of simulated events at both levels (S,) and of the data at detector level (D,)."""

    edges: np.ndarray
    reco: np.ndarray
    gen: np.ndarray
    data: np.ndarray

    @classmethod
    def of(
        cls,
        reco: tuple[np.ndarray, np.ndarray],
        gen: tuple[np.ndarray, np.ndarray],
        data: tuple[np.ndarray, np.ndarray],
        edges: np.ndarray,
    ) -> "Binned":
        """Each of values (n,) and acceptance (n,) bool."""
        return cls(np.asarray(edges), *(bins_of(*level, edges) for level in (reco, gen, data)))

    def response(self, weights: np.ndarray) -> Response:
        """The response of the simulated events with weights (S,); some may be negative."""
        count = len(self.edges) - 1
        both = (self.reco != OUTSIDE) & (self.gen != OUTSIDE)
        joint = np.bincount((self.reco * count + self.gen)[both], weights[both], count * count)
        return Response(
            joint.reshape(count, count), self.sums(self.gen, weights), self.sums(self.reco, weights)
        )

    def sums(self, bins: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums (bins,) of the weights (n,) of events in these bins (n,)."""
        inside = bins != OUTSIDE
        return np.bincount(bins[inside], weights[inside], len(self.edges) - 1)

    def unfolded(
        self,
        simulation: np.ndarray,
        data: np.ndarray,
        iterations: int,
        toys: Iterable[tuple[np.ndarray, np.ndarray]],
    ) -> Spectrum:
        """The unfolded spectrum from weights of simulated events (S,) and data (D,).

        toys: counts of each simulated event (S,) and of each data event (D,). The variances are
        those over the toys, of data and response together: the square of half the central 68 % of
        a bin, which is robust against toys in which the signed weights of a sparse bin cancel.
        """

        def unfold(simulated_weights, data_weights):
            response = self.response(simulated_weights)
            return unfolded(self.sums(self.data, data_weights), response, iterations)

        spectra = [unfold(simulation * counts[0], data * counts[1]) for counts in toys]
        low, high = np.percentile(spectra, (15.87, 84.13), axis=0)
        return Spectrum(
            self.edges,
            unfold(simulation, data),
            ((high - low) / 2) ** 2,
            int(np.count_nonzero((self.data != OUTSIDE) & (data != 0))),
        )


def bins_of(values: np.ndarray, accepted: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Bin of each value (n,), as in `np.histogram`; OUTSIDE where there is none."""
    bins = np.searchsorted(edges, values, side="right") - 1
    bins[values == edges[-1]] = len(edges) - 2
    return np.where(accepted & (bins >= 0) & (bins < len(edges) - 1), bins, OUTSIDE)


def unfolded(data: np.ndarray, response: Response, iterations: int) -> np.ndarray:
    """Particle-level sums (gen bins,) from detector-level sums (..., reco bins) of the data.

    Fakes are subtracted by their simulated fraction in each bin, misses added by the efficiency.
    The simulation is the prior; a bin whose signed weights do not add up to more than zero stays
    empty.
    """
    safe_reco = np.where(response.reco > 0, response.reco, 1.0)
    matched = np.where(response.reco > 0, data * response.joint.sum(axis=1) / safe_reco, 0.0)
    filled = response.gen > 0
    # P(reco bin | gen bin), (reco bins, gen bins)
    probability = np.where(filled, response.joint / np.where(filled, response.gen, 1.0), 0.0)
    efficiency = probability.sum(axis=0)
    prior = np.where(filled, response.gen, 0.0)
    truth = np.broadcast_to(prior, (*data.shape[:-1], len(prior))).astype(float)
    for _ in range(iterations):
        folded = truth @ probability.T  # (..., reco bins)
        ratio = np.where(folded > 0, matched / np.where(folded > 0, folded, 1.0), 0.0)
        truth = truth * (ratio @ probability) / np.where(efficiency > 0, efficiency, 1.0)
    return truth
