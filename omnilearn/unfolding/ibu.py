"""Iterative Bayesian unfolding of one binned observable: the baseline of unbinned unfolding.

G. D'Agostini, Nucl. Instrum. Meth. A362 (1995) 487; L. Lucy, Astron. J. 79 (1974) 745. The number
of iterations, which regularises the result, is chosen at detector level by cross-validation with
the rule of one standard error (T. Hastie, R. Tibshirani, J. Friedman, The Elements of Statistical
Learning, 2nd edition, section 7.10).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from omnilearn.statistics.results import Result
from omnilearn.unfolding.spectrum_distances import Spectrum, chi2_per_bin, of_equal_total

MOST_ITERATIONS = 30  # that detector level may choose
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

    @property
    def matched(self) -> np.ndarray:
        """Fraction (reco bins,) of the events at detector level that particle level accepts."""
        safe_reco = np.where(self.reco > 0, self.reco, 1.0)
        return np.where(self.reco > 0, self.joint.sum(axis=1) / safe_reco, 0.0)


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
        those of the shape over the toys, of data and response together: the square of half the
        central 68 % of a bin, which is robust against toys in which the signed weights of a sparse
        bin cancel.
        """

        def unfold(simulated_weights, data_weights):
            response = self.response(simulated_weights)
            return unfolded(self.sums(self.data, data_weights), response, iterations)

        spectra = [unfold(simulation * counts[0], data * counts[1]) for counts in toys]
        nominal = unfold(simulation, data)
        shapes = of_equal_total(spectra, nominal.sum())
        low, high = np.percentile(shapes, (15.87, 84.13), axis=0)
        return Spectrum(
            self.edges,
            nominal,
            ((high - low) / 2) ** 2,
            int(np.count_nonzero((self.data != OUTSIDE) & (data != 0))),
        )

    def refolded_chi2(self, simulation: np.ndarray, data: np.ndarray, seed: int) -> list[Result]:
        """chi2 per bin at detector level after 1, 2 ... MOST_ITERATIONS iterations.

        simulation (S,) and data (D,) are weights. Half of the data, drawn with `seed`, is unfolded
        with half of the simulation; the result, folded with the response of the other half, is
        compared with the other half of the data, and the same with the halves exchanged. The value
        is the mean of both. An iteration that follows fluctuations of data or response therefore
        does not lower it; with the same events on both sides it would always fall.
        """
        rng = np.random.default_rng(seed)
        halves = [rng.permutation(len(weights)) % 2 for weights in (simulation, data)]
        results = []
        for half in (0, 1):
            in_half = [simulation * (halves[0] == half), data * (halves[1] == half)]
            others = [simulation * (halves[0] != half), data * (halves[1] != half)]
            response, squares = (self.response(others[0] ** power) for power in (1, 2))
            measured = self.without_fakes(others[1], response)
            truths = iterations(self.sums(self.data, in_half[1]), self.response(in_half[0]))
            results.append(
                [
                    chi2_per_bin(self.folded(truth, response, squares), measured)
                    for truth in islice(truths, MOST_ITERATIONS)
                ]
            )
        return [mean_of_halves(*pair) for pair in zip(*results, strict=True)]

    def folded(self, truth: np.ndarray, response: Response, squares: Response) -> Spectrum:
        """The particle-level sums `truth` (gen bins,) at detector level, without fakes.

        squares: sums of squared weights, for the variances, which are those of the response.
        """
        filled = response.gen > 0
        ratio = np.where(filled, truth / np.where(filled, response.gen, 1.0), 0.0)
        entries = np.count_nonzero((self.reco != OUTSIDE) & (self.gen != OUTSIDE))
        return Spectrum(self.edges, response.joint @ ratio, squares.joint @ ratio**2, int(entries))

    def without_fakes(self, data: np.ndarray, response: Response) -> Spectrum:
        """The data, of weights (D,), at detector level, less the simulated fraction of fakes."""
        sums, variances = (self.sums(self.data, data**power) for power in (1, 2))
        matched, entries = response.matched, np.count_nonzero((self.data != OUTSIDE) & (data != 0))
        return Spectrum(self.edges, sums * matched, variances * matched**2, int(entries))


def mean_of_halves(first: Result, second: Result) -> Result:
    """The mean of two independent results; the undefined one if there is one."""
    if first.error is None or second.error is None:
        return first if first.error is None else second
    error = 0.5 * float(np.hypot(first.error, second.error))
    return Result((first.value + second.value) / 2, error, first.n + second.n)


def chosen_iterations(chi2: Sequence[Result]) -> int:
    """The number of iterations that chi2 at detector level after 1, 2 ... iterations chooses.

    It is the smallest after which chi2 is within its statistical uncertainty of the lowest one:
    more iterations improve detector level by nothing that its statistics resolve, and add noise at
    particle level. It is 1 if all are undefined, as for weights that cancel.
    """
    values = np.array([np.inf if result.error is None else result.value for result in chi2])
    best = int(np.argmin(values))
    limit = values[best] + (chi2[best].error or 0.0)
    return 1 + int(np.argmax(values <= limit))


def bins_of(values: np.ndarray, accepted: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Bin of each value (n,), as in `np.histogram`; OUTSIDE where there is none."""
    bins = np.searchsorted(edges, values, side="right") - 1
    bins[values == edges[-1]] = len(edges) - 2
    return np.where(accepted & (bins >= 0) & (bins < len(edges) - 1), bins, OUTSIDE)


def unfolded(data: np.ndarray, response: Response, count: int) -> np.ndarray:
    """Particle-level sums (gen bins,) from detector-level sums (reco bins,) of the data, after
    `count` iterations."""
    return next(islice(iterations(data, response), count - 1, None))


def iterations(data: np.ndarray, response: Response) -> Iterator[np.ndarray]:
    """Particle-level sums (gen bins,) after 1, 2 ... iterations, from the detector-level sums (reco
    bins,) of the data.

    Fakes are subtracted by their simulated fraction in each bin, misses added by the efficiency.
    The simulation is the prior; a bin whose signed weights do not add up to more than zero stays
    empty.
    """
    matched = data * response.matched
    filled = response.gen > 0
    # P(reco bin | gen bin), (reco bins, gen bins)
    probability = np.where(filled, response.joint / np.where(filled, response.gen, 1.0), 0.0)
    efficiency = probability.sum(axis=0)
    truth = np.where(filled, response.gen, 0.0)
    while True:
        folded = truth @ probability.T  # (reco bins,)
        ratio = np.where(folded > 0, matched / np.where(folded > 0, folded, 1.0), 0.0)
        truth = truth * (ratio @ probability) / np.where(efficiency > 0, efficiency, 1.0)
        yield truth
