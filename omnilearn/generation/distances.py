"""Distances between samples of jets: Wasserstein-1, Kullback-Leibler, energy mover's, Frechet.

Uncertainties are the spread over bootstrap samples of both sets, drawn with replacement.
"""

import os
from collections.abc import Callable

import numpy as np
from scipy.stats import entropy, wasserstein_distance

from omnilearn.progress import progress
from omnilearn.statistics.results import Result

BATCHES = 20  # bootstrap samples
MOST_DRAWN = 50_000  # jets of a bootstrap sample at most, as published tables use
EMD_JETS, EMD_BATCHES = 1000, 10  # as the published tables; the jetnet package takes 100 by default
EMD_ROWS = 50  # generated jets between two steps of the progress bar
KERNEL_JETS, KERNEL_BATCHES = 2000, 10
PROPER_SHARE = 0.5  # smallest samples of the extrapolated Frechet distance, of all jets
POINTS = 8


def draws(truth: int, generated: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of truth and of generated jets, for each bootstrap sample."""
    rng = np.random.default_rng(seed)

    def resampled(jets: int) -> np.ndarray:
        return rng.integers(0, jets, min(jets, MOST_DRAWN))

    return [(resampled(truth), resampled(generated)) for _ in range(BATCHES)]


def bootstrapped(
    distance: Callable[[np.ndarray, np.ndarray], float], rows: list[tuple], jets: int
) -> Result:
    """Mean and standard deviation of a distance of two bootstrap samples, given as rows."""
    values = [distance(first, second) for first, second in rows]
    return Result(float(np.mean(values)), float(np.std(values)), jets)


def wasserstein(truth: np.ndarray, generated: np.ndarray, seed: int) -> Result:
    """W1 of one number per jet, (N,) and (M,); arXiv:2106.11535, Section 4, and jetnet's w1m."""
    return bootstrapped(
        lambda a, b: wasserstein_distance(truth[a], generated[b]),
        draws(len(truth), len(generated), seed),
        len(generated),
    )


def constituent_wasserstein(truth: np.ndarray, generated: np.ndarray, seed: int) -> list[Result]:
    """W1 of eta_rel, phi_rel and pt_rel of constituents (N, P, 4), last column the mask.

    Whole jets are drawn, their real constituents compared; as jetnet's w1p does it.
    """
    rows = draws(len(truth), len(generated), seed)
    values = np.array(
        [
            [wasserstein_distance(first[:, feature], second[:, feature]) for feature in range(3)]
            for first, second in (
                (drawn[drawn[..., 3] > 0] for drawn in (truth[a], generated[b])) for a, b in rows
            )
        ]
    )
    return [
        Result(float(mean), float(error), len(generated))
        for mean, error in zip(values.mean(axis=0), values.std(axis=0), strict=True)
    ]


def kullback_leibler(
    truth: np.ndarray, generated: np.ndarray, edges: np.ndarray, seed: int
) -> Result:
    """D(generated || truth) of one number per jet in bins; what lies outside is in the outer bins.

    arXiv:2412.10504, Eq. 1, with scipy.stats.entropy. Half a jet is added to every bin of both
    samples: a bin that is empty in the truth alone would make the divergence infinite.
    """

    def shares(values):
        inside = np.clip(values, edges[0], np.nextafter(edges[-1], edges[0]))
        return np.histogram(inside, edges)[0] + 0.5

    return bootstrapped(
        lambda a, b: entropy(shares(generated[b]), shares(truth[a])),
        draws(len(truth), len(generated), seed),
        len(generated),
    )


def coverage_and_mmd(
    truth: np.ndarray, generated: np.ndarray, seed: int, most: int = 0
) -> tuple[Result, Result]:
    """Coverage and minimum matching distance of constituents (N, P, 4), by energy mover's distance.

    Of `most` jets of each (0: EMD_JETS), or as many as the smaller sample has: the share of true
    jets that are the nearest to any generated one, and the mean distance from a true jet to the
    nearest generated one; both depend on that number, which is n / EMD_BATCHES of the results.
    arXiv:2106.11535, Section 4; jets are drawn with replacement as the jetnet package does.
    """
    import energyflow  # late: no other distance needs it

    rng = np.random.default_rng(seed)
    drawn = min(most or EMD_JETS, len(truth), len(generated))
    coverage, distance = [], []
    with progress(EMD_BATCHES * drawn**2, "energy mover's distances", "pairs") as bar:
        for _ in range(EMD_BATCHES):
            ours, theirs = (
                pt_eta_phi(sample[rng.choice(len(sample), drawn)]) for sample in (generated, truth)
            )
            nearest, distances = np.empty(drawn, int), np.full(drawn, np.inf)
            for start in range(0, drawn, EMD_ROWS):
                rows = slice(start, start + EMD_ROWS)
                emd = energyflow.emd.emds(ours[rows], theirs, n_jobs=cores())  # (generated, truth)
                nearest[rows] = emd.argmin(axis=1)
                distances = np.minimum(distances, emd.min(axis=0))
                bar.update(emd.size)
            coverage.append(len(np.unique(nearest)) / drawn)
            distance.append(distances.mean())

    def averaged(values: list[float]) -> Result:
        return Result(float(np.mean(values)), float(np.std(values)), drawn * EMD_BATCHES)

    return averaged(coverage), averaged(distance)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pt_eta_phi(constituents: np.ndarray) -> list[np.ndarray]:
    """Constituents (N, P, 4) -> for every jet its real ones as (n, 3) pt_rel, eta_rel, phi_rel."""
    return [jet[jet[:, 3] > 0][:, (2, 0, 1)].astype(np.float64) for jet in constituents]


def frechet(truth: np.ndarray, generated: np.ndarray) -> float:
    """Frechet distance of the Gaussians with the means and covariances of features (N, F)."""
    means = [sample.mean(axis=0) for sample in (truth, generated)]
    covariances = [np.cov(sample, rowvar=False) for sample in (truth, generated)]
    # the trace of the product's square root is the sum of the roots of its eigenvalues
    roots = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0.0))
    trace = np.trace(covariances[0] + covariances[1]) - 2 * roots.sum()
    return float(np.sum((means[0] - means[1]) ** 2) + trace)


def frechet_extrapolated(truth: np.ndarray, generated: np.ndarray, seed: int) -> Result:
    """The Frechet distance at infinite sample size, from a line in 1/N (arXiv:2211.10295, III.B).

    Features (N, F) are divided by the truth's largest absolute value. Samples go from half of all
    jets to all; the uncertainty is that of the fit.
    """
    truth, generated = scaled(truth, generated)
    rng = np.random.default_rng(seed)
    most = min(len(truth), len(generated))

    def resampled(size):
        return [sample[rng.choice(len(sample), size)] for sample in (truth, generated)]

    sizes = np.unique(np.geomspace(max(2, PROPER_SHARE * most), most, POINTS).astype(int))
    if len(sizes) < 3:
        return Result(float("nan"), None, most, reason=f"{most} jets are too few to extrapolate")
    values = [np.mean([frechet(*resampled(size)) for _ in range(BATCHES)]) for size in sizes]
    (_, value), covariance = np.polyfit(1 / sizes, values, 1, cov=True)
    return Result(float(value), float(np.sqrt(covariance[1, 1])), most)


def kernel_distance(truth: np.ndarray, generated: np.ndarray, seed: int) -> Result:
    """Unbiased squared maximum mean discrepancy, polynomial kernel of degree 4, features (N, F).

    The kernel physics distance of arXiv:2211.10295, III.C: the median over samples of jets, its
    uncertainty half the width that holds 68 % of them.
    """
    truth, generated = scaled(truth, generated)
    rng = np.random.default_rng(seed)
    # halves at most, each jet once: a jet drawn twice would pass for two that agree
    size = min(KERNEL_JETS, len(truth) // 2, len(generated) // 2)
    if size < 2:
        return Result(float("nan"), None, size, reason="fewer than four jets")
    values = []
    for _ in range(KERNEL_BATCHES):
        a, b = (
            sample[rng.choice(len(sample), size, replace=False)] for sample in (truth, generated)
        )
        within = [(kernel(x, x).sum() - kernel_diagonal(x)) / (size * (size - 1)) for x in (a, b)]
        values.append(sum(within) - 2 * kernel(a, b).mean())
    low, median, high = np.quantile(values, (0.16, 0.5, 0.84))
    return Result(float(median), float((high - low) / 2), size)


def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a.b / F + 1)^4 of all pairs."""
    return (a @ b.T / a.shape[1] + 1) ** 4


def kernel_diagonal(a: np.ndarray) -> float:
    return float(np.sum((np.sum(a * a, axis=1) / a.shape[1] + 1) ** 4))


def scaled(truth: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both samples over the truth's largest absolute value of each feature."""
    largest = np.abs(truth).max(axis=0)
    largest[largest == 0] = 1.0
    return truth / largest, generated / largest
