"""The smooth, falling spectrum of dijet masses, fitted to the sidebands of a region.

The function of dijet searches (arXiv:1206.1849 and others): with x = m / sqrt(s),
dN/dm = p0 (1 - x)^p1 / x^(p2 + p3 ln x + p4 ln^2 x). Its logarithm is linear in the logarithm of p0
and in the other parameters, so that the binned Poisson likelihood has one maximum.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2

from omnilearn.errors import UserError

COLLISION_ENERGY = 13_000.0  # GeV
BIN_WIDTH = 50.0  # GeV
# with three parameters the background of 40 000 simulated events is off by half a sigma
LEAST_PARAMETERS, MOST_PARAMETERS = 4, 5
P_VALUE = 0.3  # another parameter is kept if its improvement of the fit has a smaller p-value
LEAST_EVENTS = 10  # in the sidebands, for a fit


@dataclass(frozen=True)
class FallingSpectrum:
    """A fit: expected events per bin with edges (bins + 1,), and their covariance.

    inside (bins,) bool: bins of the region, which the fit excludes. counts (bins,) are those
    of the data; design (bins, parameters) and covariance (parameters, parameters) of ln expected.
    The spectrum is per BIN_WIDTH: wider bins have more events.
    """

    edges: np.ndarray
    counts: np.ndarray
    inside: np.ndarray
    expected: np.ndarray
    design: np.ndarray
    covariance: np.ndarray

    @classmethod
    def fitted(
        cls, masses: np.ndarray, region: tuple[float, ...], limits: tuple[float, float]
    ) -> "FallingSpectrum":
        """The fit to masses (N,) within `limits` but not in `region` [GeV]; raises as of_counts."""
        edges = bin_edges(region, limits)
        return cls.of_counts(edges, np.histogram(masses, edges)[0], region)

    @classmethod
    def of_counts(
        cls, edges: np.ndarray, counts: np.ndarray, region: tuple[float, ...]
    ) -> "FallingSpectrum":
        """The fit to events (bins,) between `edges` but not in `region` [GeV].

        Parameters are added one by one as long as each improves the likelihood significantly.
        Raises UserError below LEAST_EVENTS events in the sidebands.
        """
        centres = (edges[1:] + edges[:-1]) / 2
        inside = (centres > region[0]) & (centres < region[1])
        if counts[~inside].sum() < LEAST_EVENTS:
            raise UserError(
                f"{counts[~inside].sum()} events in the sidebands of {region[0]:g} to "
                f"{region[1]:g} GeV; a fit needs {LEAST_EVENTS}"
            )
        columns = basis(centres, ~inside)
        log_width = np.log(np.diff(edges) / BIN_WIDTH)
        fitted = counts[~inside], log_width[~inside]
        design = columns[:, :LEAST_PARAMETERS]
        parameters, likelihood = maximum(design[~inside], *fitted)
        for count in range(LEAST_PARAMETERS + 1, MOST_PARAMETERS + 1):
            larger = columns[:, :count]
            refitted, higher = maximum(larger[~inside], *fitted)
            if chi2.sf(2 * (higher - likelihood), 1) > P_VALUE:
                break
            design, parameters, likelihood = larger, refitted, higher
        expected = np.exp(design @ parameters + log_width)
        information = design[~inside].T @ (expected[~inside, None] * design[~inside])
        return cls(edges, counts, inside, expected, design, np.linalg.inv(information))

    @property
    def parameters(self) -> int:
        return self.design.shape[1]

    @property
    def background(self) -> tuple[float, float]:
        """Expected events in the region and the uncertainty of the fit."""
        gradient = self.expected[self.inside] @ self.design[self.inside]
        return float(self.expected[self.inside].sum()), float(
            np.sqrt(gradient @ self.covariance @ gradient)
        )

    @property
    def error(self) -> np.ndarray:
        """Uncertainty of the expected events of every bin (bins,)."""
        variance = np.einsum("bi,ij,bj->b", self.design, self.covariance, self.design)
        return self.expected * np.sqrt(variance)

    @property
    def chi2_per_bin(self) -> float:
        """Pearson's chi2 of the sidebands over the degrees of freedom."""
        counts, expected = self.counts[~self.inside], self.expected[~self.inside]
        freedom = max(1, len(counts) - self.parameters)
        return float(np.sum((counts - expected) ** 2 / np.maximum(expected, 1e-9)) / freedom)

    def sampled(self, uniform: np.ndarray) -> np.ndarray:
        """Masses (N,) in the region, of the fitted spectrum, from numbers (N,) uniform in [0, 1).

        The logarithm of the spectrum is interpolated linearly between centres of bins.
        """
        inside = np.flatnonzero(self.inside)
        edges = self.edges[inside[0] : inside[-1] + 2]
        fine = np.linspace(edges[0], edges[-1], 64 * len(inside) + 1)
        centres = (self.edges[1:] + self.edges[:-1]) / 2
        density = np.exp(np.interp(fine, centres, np.log(self.expected / np.diff(self.edges))))
        steps = (density[1:] + density[:-1]) / 2
        summed = np.concatenate([[0.0], np.cumsum(steps)])
        return np.interp(uniform, summed / summed[-1], fine)


def bin_edges(region: tuple[float, ...], limits: tuple[float, float]) -> np.ndarray:
    """Edges of bins about BIN_WIDTH wide, with edges at the limits of the region."""
    parts = []
    for low, high in ((limits[0], region[0]), region, (region[1], limits[1])):
        parts.append(np.linspace(low, high, max(2, round((high - low) / BIN_WIDTH) + 1)))
    return np.unique(np.concatenate(parts))


def basis(masses: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """1, ln x, ln(1 - x), ln^2 x, ln^3 x at masses (bins,), orthogonal over the `fitted` bins."""
    x = masses / COLLISION_ENERGY
    log = np.log(x)
    columns = np.stack([np.ones_like(x), log, np.log1p(-x), log**2, log**3], axis=1)
    return columns @ np.linalg.inv(np.linalg.qr(columns[fitted])[1]) * np.sqrt(fitted.sum())


def maximum(
    design: np.ndarray, counts: np.ndarray, log_width: np.ndarray
) -> tuple[np.ndarray, float]:
    """Parameters of ln expected = design @ parameters + ln width of the bins (bins,).

    Returns them and the logarithm of the likelihood, up to a constant.
    """

    def expected(parameters):
        return np.exp(np.minimum(design @ parameters + log_width, 50.0))

    start = np.linalg.lstsq(design, np.log(np.maximum(counts, 0.3)) - log_width, rcond=None)[0]
    result = minimize(
        lambda p: np.sum(expected(p) - counts * (design @ p)),
        start,
        jac=lambda p: design.T @ (expected(p) - counts),
        hess=lambda p: design.T @ (expected(p)[:, None] * design),
        method="trust-exact",
        options={"gtol": 1e-6},
    )
    return result.x, -float(result.fun)
