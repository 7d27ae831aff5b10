"""Distances of weighted spectra: triangular discriminator and chi2 of the six observables.

Binning and definition are those of arXiv:2502.14652, Table 7, and arXiv:2404.16091v2, Table II.
Weights may be negative: sums are signed. A spectrum whose sum is not above zero cannot be scaled
to an area of one: its distances are undefined, with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnilearn.statistics.results import Result

BINNING = {
    "jet_mass": np.linspace(0.0, 75.0, 50),  # GeV
    "multiplicity": np.linspace(0.0, 80.0, 80),
    "jet_width": np.linspace(0.0, 0.6, 50),
    "ln_rho": np.linspace(-14.0, -2.0, 50),
    "tau21": np.linspace(0.0, 1.2, 50),
    "z_g": np.linspace(0.0, 0.5, 50),
}
TOYS = 100  # variations of a histogram, as in the papers
LEAST_EVENTS = 10.0  # effective events of either histogram in a bin of the chi2
TOO_FEW = "all events lie in one bin, once bins are merged to 10 effective events"


@dataclass(frozen=True)
class Spectrum:
    """A weighted histogram: edges (bins + 1,), sums of weights and variances of them (bins,)."""

    edges: np.ndarray
    sums: np.ndarray
    variances: np.ndarray
    entries: int

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray, edges: np.ndarray) -> "Spectrum":
        """Values (N,) with weights (N,); those outside the edges are not counted."""
        weights = np.asarray(weights, "float64")
        sums = np.histogram(values, edges, weights=weights)[0]
        variances = np.histogram(values, edges, weights=weights**2)[0]
        return cls(np.asarray(edges), sums, variances, int(np.count_nonzero(weights)))

    @property
    def problem(self) -> str | None:
        """The reason why the spectrum cannot be scaled to an area of one, or None."""
        if self.total > 0:
            return None
        return (
            f"the weights of {self.entries} events between {self.edges[0]:g} and "
            f"{self.edges[-1]:g} add up to {self.total:g}, not to more than zero"
        )

    @property
    def share(self) -> np.ndarray:
        """Fraction of the sum in each bin."""
        return self.sums / self.total

    @property
    def share_variance(self) -> np.ndarray:
        """Variance of `share` (bins,), without that of the total."""
        return self.variances / self.total**2

    def plotted(self) -> dict[str, list[float] | str]:
        """Density and its uncertainty per bin, for results.json.

        A spectrum that cannot be scaled to one has its sums per unit instead, and the reason under
        `undefined`.
        """
        scale = np.diff(self.edges) * (1.0 if self.problem else self.total)
        density = {
            "density": (self.sums / scale).tolist(),
            "uncertainty": (np.sqrt(self.variances) / scale).tolist(),
        }
        return density | ({"undefined": self.problem} if self.problem else {})

    @property
    def total(self) -> float:
        return float(self.sums.sum())


def of_equal_total(spectra: Sequence[np.ndarray], total: float) -> np.ndarray:
    """Spectra (R, bins), each scaled to the sum `total`: their spread is that of the shape.

    Those whose sum is not above zero have no shape and stay as they are; so do all if `total` is
    not above zero.
    """
    sums = np.stack(spectra)
    totals = sums.sum(axis=1, keepdims=True)
    scaled = (totals > 0) & (total > 0)
    return sums * np.where(scaled, total / np.where(scaled, totals, 1.0), 1.0)


def undefined_distance(*spectra: Spectrum) -> Result | None:
    """The undefined result where a spectrum cannot be scaled to an area of one, else None."""
    problems = [spectrum.problem for spectrum in spectra if spectrum.problem]
    return Result(np.nan, None, spectra[0].entries, reason=problems[0]) if problems else None


def separation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Triangular discriminator of shares (..., bins): sum (p - q)^2 / (p + q) / 2."""
    total = np.abs(first) + np.abs(second)
    difference = (first - second) ** 2
    return 0.5 * np.sum(difference / np.where(total > 0, total, 1.0), axis=-1)


def triangular_discriminator(spectrum: Spectrum, truth: Spectrum) -> Result:
    """1000 times the triangular discriminator of two spectra, each of area one.

    The uncertainty is the spread over variations of `spectrum`, each bin uniformly within one
    sigma and all renormalised (arXiv:2404.16091v2, Table II). `noise_floor` is the value expected
    from statistics alone.
    """
    if undefined := undefined_distance(spectrum, truth):
        return undefined
    value = 1000 * float(separation(spectrum.share, truth.share))
    rng = np.random.default_rng(0)
    sigma = np.sqrt(spectrum.variances)
    toys = spectrum.sums + rng.uniform(-1, 1, (TOYS, len(sigma))) * sigma
    totals = toys.sum(axis=-1, keepdims=True)
    if not (totals > 0).all():
        reason = "within one sigma the weights of the spectrum add up to zero or less"
        return Result(value, None, spectrum.entries, reason=reason)
    spread = 1000 * float(np.std(separation(toys / totals, truth.share), ddof=1))
    return Result(value, spread, spectrum.entries)


def noise_floor(spectrum: Spectrum, truth: Spectrum) -> float | None:
    """1000 times the triangular discriminator expected of two samples of the same distribution.

    None where the discriminator itself is undefined.
    """
    if undefined_distance(spectrum, truth):
        return None
    variance = spectrum.share_variance + truth.share_variance
    total = np.abs(spectrum.share) + np.abs(truth.share)
    return 1000 * float(0.5 * np.sum(variance / np.where(total > 0, total, 1.0)))


def chi2_per_bin(spectrum: Spectrum, truth: Spectrum) -> Result:
    """chi2 of two spectra, each of area one, per degree of freedom; its error is sqrt(2 / ndf).

    Neighbouring bins are merged until both spectra have 10 effective events.
    """
    if undefined := undefined_distance(spectrum, truth):
        return undefined
    spectra = (spectrum, truth)
    groups = merged_bins(spectra)
    shares = [np.add.reduceat(each.share, groups) for each in spectra]
    variances = [np.add.reduceat(each.share_variance, groups) for each in spectra]
    freedom = len(groups) - 1
    if freedom < 1:
        return Result(np.nan, None, spectrum.entries, reason=TOO_FEW)
    chi2 = np.sum((shares[0] - shares[1]) ** 2 / (variances[0] + variances[1]))
    return Result(float(chi2) / freedom, float(np.sqrt(2 / freedom)), spectrum.entries)


def merged_bins(spectra: Sequence[Spectrum]) -> np.ndarray:
    """First bins of groups of neighbours with 10 effective events in all spectra."""
    starts, start = [0], 0
    for stop in range(1, len(spectra[0].sums) + 1):
        events = [
            spectrum.sums[start:stop].sum() ** 2 / max(spectrum.variances[start:stop].sum(), 1e-300)
            for spectrum in spectra
        ]
        if min(events) >= LEAST_EVENTS:
            starts.append(stop)
            start = stop
    # the last group contains the remaining bins
    return np.array(starts[:-1] if len(starts) > 1 else starts)
