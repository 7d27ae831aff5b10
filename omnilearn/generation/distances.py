"""Distances between samples of jets: Wasserstein-1, Kullback-Leibler, energy mover's, Frechet.

Unless stated otherwise, uncertainties are standard deviations over bootstrap samples of both sets.
"""

import numpy as np
from scipy.stats import entropy, wasserstein_distance

from omnilearn.parent_process import cores
from omnilearn.progress import progress
from omnilearn.statistics.results import Result

BATCHES = 20  # bootstrap samples
MOST_RESAMPLED = 50_000  # jets of a bootstrap sample at most, as in published tables
EMD_JETS, EMD_BATCHES = 1000, 10  # as in published tables; the jetnet package takes 100 jets
EMD_ROWS = 50  # generated jets per step of the progress bar
KERNEL_JETS, KERNEL_BATCHES = 2000, 10
SMALLEST_SHARE = 0.5  # of all jets, for the extrapolated Frechet distance
POINTS = 8  # sample sizes of the extrapolation


def bootstrap_rows(truth: int, generated: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of truth and of generated jets, for each bootstrap sample."""
    rng = np.random.default_rng(seed)

    def resampled(jets: int) -> np.ndarray:
        return rng.integers(0, jets, min(jets, MOST_RESAMPLED))

    return [(resampled(truth), resampled(generated)) for _ in range(BATCHES)]


def averaged(values: list[float], jets: int) -> Result:
    """Mean and standard deviation of a distance over bootstrap samples."""
    return Result(float(np.mean(values)), float(np.std(values)), jets)


def wasserstein(truth: np.ndarray, generated: np.ndarray, seed: int) -> Result:
    """W1 of one number per jet, (N,) and (M,); arXiv:2106.11535, Section 4, and jetnet's w1m."""
    rows = bootstrap_rows(len(truth), len(generated), seed)
    values = [wasserstein_distance(truth[a], generated[b]) for a, b in rows]
    return averaged(values, len(generated))


def constituent_wasserstein(truth: np.ndarray, generated: np.ndarray, seed: int) -> list[Result]:
    """W1 of eta_rel, phi_rel and pt_rel of constituents (N, P, 4), last column the mask.

    As in jetnet's w1p, jets are resampled and their constituents compared, without padding.
    """
    values = []
    for a, b in bootstrap_rows(len(truth), len(generated), seed):
        first, second = (jets[jets[..., 3] > 0].T for jets in (truth[a], generated[b]))
        values.append([wasserstein_distance(first[i], second[i]) for i in range(3)])
    return [
        Result(float(mean), float(error), len(generated))
        for mean, error in zip(np.mean(values, axis=0), np.std(values, axis=0), strict=True)
    ]


def kullback_leibler(
    truth: np.ndarray, generated: np.ndarray, edges: np.ndarray, seed: int
) -> Result:
    """D(generated || truth) of one number per jet, (N,) and (M,), in bins.

    arXiv:2412.10504, Eq. 1, with scipy.stats.entropy. Values outside the bins are counted in the
    outer bins. Half a jet is added to every bin of both samples: a bin that is empty only in the
    truth would make the divergence infinite.
    """

    def counts(values):
        inside = np.clip(values, edges[0], np.nextafter(edges[-1], edges[0]))
        return np.histogram(inside, edges)[0] + 0.5

    rows = bootstrap_rows(len(truth), len(generated), seed)
    values = [entropy(counts(generated[b]), counts(truth[a])) for a, b in rows]
    return averaged(values, len(generated))


def coverage_and_mmd(
    truth: np.ndarray, generated: np.ndarray, seed: int, most: int = 0
) -> tuple[Result, Result]:
    """Coverage and minimum matching distance of constituents (N, P, 4), by energy mover's distance.

    arXiv:2106.11535, Section 4: the share of true jets that are the nearest to any generated one,
    and the mean distance from a true jet to the nearest generated one. Both depend on the batch:
    `most` jets (0: EMD_JETS), or those of the smaller sample, drawn with replacement as in the
    jetnet package. The sample size of the results is batch times EMD_BATCHES.
    """
    import energyflow  # late: no other distance needs it

    rng = np.random.default_rng(seed)
    batch = min(most or EMD_JETS, len(truth), len(generated))
    coverage, mmd = [], []
    with progress(EMD_BATCHES * batch**2, "energy mover's distances", "pairs") as bar:
        for _ in range(EMD_BATCHES):
            generated_jets, true_jets = (
                pt_eta_phi(sample[rng.choice(len(sample), batch)]) for sample in (generated, truth)
            )
            nearest, distances = np.empty(batch, int), np.full(batch, np.inf)
            for start in range(0, batch, EMD_ROWS):
                rows = slice(start, start + EMD_ROWS)
                emd = energyflow.emd.emds(generated_jets[rows], true_jets, n_jobs=cores())
                nearest[rows] = emd.argmin(axis=1)
                distances = np.minimum(distances, emd.min(axis=0))
                bar.update(emd.size)
            coverage.append(len(np.unique(nearest)) / batch)
            mmd.append(distances.mean())
    return averaged(coverage, batch * EMD_BATCHES), averaged(mmd, batch * EMD_BATCHES)


def pt_eta_phi(constituents: np.ndarray) -> list[np.ndarray]:
    """Constituents (N, P, 4) -> pt_rel, eta_rel, phi_rel (n, 3) of each jet, without padding."""
    return [jet[jet[:, 3] > 0][:, (2, 0, 1)].astype(np.float64) for jet in constituents]


def frechet(truth: np.ndarray, generated: np.ndarray) -> float:
    """Frechet distance of the Gaussians with the means and covariances of features (N, F)."""
    means = [sample.mean(axis=0) for sample in (truth, generated)]
    covariances = [np.cov(sample, rowvar=False) for sample in (truth, generated)]
    # the trace of the square root of a matrix is the sum of the roots of its eigenvalues
    roots = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0.0))
    trace = np.trace(covariances[0] + covariances[1]) - 2 * roots.sum()
    return float(np.sum((means[0] - means[1]) ** 2) + trace)


def frechet_extrapolated(truth: np.ndarray, generated: np.ndarray, seed: int) -> Result:
    """The Frechet distance at infinite sample size, from a line in 1/N (arXiv:2211.10295, III.B).

    Features (N, F) are divided by the largest absolute value in the truth. The line is fitted to
    samples of half of all jets to all jets; the uncertainty is that of the fit.
    """
    truth, generated = scaled(truth, generated)
    rng = np.random.default_rng(seed)
    jets = min(len(truth), len(generated))

    def resampled(size):
        return [sample[rng.choice(len(sample), size)] for sample in (truth, generated)]

    sizes = np.unique(np.geomspace(max(2, SMALLEST_SHARE * jets), jets, POINTS).astype(int))
    if len(sizes) < 3:
        return Result(float("nan"), None, jets, reason=f"{jets} jets are too few to extrapolate")
    values = [np.mean([frechet(*resampled(size)) for _ in range(BATCHES)]) for size in sizes]
    (_, value), covariance = np.polyfit(1 / sizes, values, 1, cov=True)
    return Result(float(value), float(np.sqrt(covariance[1, 1])), jets)


def kernel_distance(truth: np.ndarray, generated: np.ndarray, seed: int) -> Result:
    """Unbiased squared maximum mean discrepancy, polynomial kernel of degree 4, features (N, F).

    The kernel physics distance of arXiv:2211.10295, III.C: the median over samples of jets, with
    half the width of their central 68 % as uncertainty.
    """
    truth, generated = scaled(truth, generated)
    rng = np.random.default_rng(seed)
    # at most half of the jets, each once: a jet drawn twice would bias the estimate
    size = min(KERNEL_JETS, len(truth) // 2, len(generated) // 2)
    if size < 2:
        return Result(float("nan"), None, size, reason="fewer than four jets")
    values = []
    for _ in range(KERNEL_BATCHES):
        a, b = (
            sample[rng.choice(len(sample), size, replace=False)] for sample in (truth, generated)
        )
        within = [(kernel(x, x).sum() - kernel_trace(x)) / (size * (size - 1)) for x in (a, b)]
        values.append(sum(within) - 2 * kernel(a, b).mean())
    low, median, high = np.quantile(values, (0.16, 0.5, 0.84))
    return Result(float(median), float((high - low) / 2), size)


def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(a.b / F + 1)^4 of all pairs of features (N, F), (M, F) -> (N, M)."""
    return (a @ b.T / a.shape[1] + 1) ** 4


def kernel_trace(a: np.ndarray) -> float:
    """Trace of kernel(a, a)."""
    return float(np.sum((np.sum(a * a, axis=1) / a.shape[1] + 1) ** 4))


def scaled(truth: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both samples divided by the largest absolute value of each feature in the truth."""
    largest = np.abs(truth).max(axis=0)
    largest[largest == 0] = 1.0
    return truth / largest, generated / largest
