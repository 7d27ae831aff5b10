"""Two jets of a given dijet mass as eight numbers without sharp edges, and the inverse.

Two constraints hold exactly for generated events: the jets have the given dijet mass, and the first
is the hardest. The pT of the hardest jet is therefore not among the numbers: it follows from dijet
mass, ratio of pT, angles and masses.
"""

from dataclasses import dataclass

import numpy as np

from omnilearn.content import hashed
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.spec import DatasetSpec
from omnilearn.training import distributed

COUNTED = (6, 7)  # columns of the multiplicities
SOFTEST_RATIO, CLOSEST_RATIO = 1e-3, 1 - 1e-4  # limits of pT2 / pT1
LEAST_ANGLE = 1e-3  # smallest pi - delta phi that float32 resolves
LEAST_MASS = 1.0  # GeV
MASS_SCALE = (3500.0, 0.2)  # GeV, and width of the logarithm: condition of the network
BISECTIONS = 60


def encoded(jets: np.ndarray, dijet_mass: np.ndarray) -> np.ndarray:
    """Jets (n, 2, 4) pT, eta, mass [GeV], multiplicity, and their dijet mass (n,) -> (n, 8).

    Logit of pT2 / pT1, logarithm of pi - delta phi, half sum and half difference of eta,
    logarithms of the masses, multiplicities. delta phi follows from the dijet mass.
    """
    pt, eta, mass, multiplicity = np.moveaxis(np.asarray(jets, np.float64), -1, 0)
    ratio = np.clip(pt[:, 1] / pt[:, 0], SOFTEST_RATIO, CLOSEST_RATIO)
    energy, pz = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2), pt * np.sinh(eta)
    product = energy.prod(axis=1) - pz.prod(axis=1)
    cosine = ((mass**2).sum(axis=1) + 2 * product - dijet_mass**2) / (2 * pt.prod(axis=1))
    angle = np.maximum(np.arccos(np.clip(-cosine, -1, 1)), LEAST_ANGLE)
    log_mass = np.log(np.maximum(mass, LEAST_MASS))
    half = (eta[:, 0] + eta[:, 1]) / 2, (eta[:, 0] - eta[:, 1]) / 2
    shape = np.log((1 - ratio) / ratio), np.log(angle), *half
    return np.column_stack([*shape, log_mass, multiplicity])


def decoded(columns: np.ndarray, dijet_mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `encoded`: jets (n, 2, 4) of exactly this dijet mass (n,) and delta phi (n,).

    Multiplicities are rounded. pT is 0 where no jets of these masses have the dijet mass.
    """
    columns = np.asarray(columns, np.float64)
    ratio = 1 / (1 + np.exp(np.clip(columns[:, 0], -50, 50)))
    angle = np.minimum(np.exp(np.minimum(columns[:, 1], 2.0)), np.pi)
    eta = np.column_stack([columns[:, 2] + columns[:, 3], columns[:, 2] - columns[:, 3]])
    mass = np.exp(np.minimum(columns[:, 4:6], 9.0))
    multiplicity = np.maximum(np.rint(columns[:, 6:8]), 1)
    share = np.column_stack([np.ones_like(ratio), ratio])

    def mass_squared(hardest):
        pt = hardest[:, None] * share
        energy, pz = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2), pt * np.sinh(eta)
        product = energy.prod(axis=1) - pz.prod(axis=1) + pt.prod(axis=1) * np.cos(angle)
        return (mass**2).sum(axis=1) + 2 * product

    opening = np.cosh(eta[:, 0] - eta[:, 1]) + np.cos(angle)
    low = np.zeros(len(columns))
    high = dijet_mass / np.sqrt(2 * ratio * np.maximum(opening, 1e-6))  # exact without masses
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = mass_squared(middle) > dijet_mass**2
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    pt = low[:, None] * share
    return np.stack([pt, eta, mass, multiplicity], axis=-1), np.pi - angle


@dataclass(frozen=True)
class KinematicsScale:
    """Mean and width of the eight numbers, and the trigger of the events.

    least_pt [GeV] and largest_eta are those of the hardest jet.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    least_pt: float
    largest_eta: float

    @classmethod
    def of(cls, jets: np.ndarray, dijet_mass: np.ndarray) -> "KinematicsScale":
        """Measured on events: jets (n, 2, 4), dijet mass (n,)."""
        columns = encoded(jets, dijet_mass)
        width = np.maximum(columns.std(axis=0), 1e-3)
        return cls(
            columns.mean(axis=0).tolist(),
            width.tolist(),
            float(jets[:, 0, 0].min()),
            float(np.abs(jets[:, 0, 1]).max()),
        )

    def transform(self, jets: np.ndarray, dijet_mass: np.ndarray) -> np.ndarray:
        """Standardised numbers (n, 8) of events."""
        return ((encoded(jets, dijet_mass) - self.mean) / self.std).astype(np.float32)

    def inverse_transform(
        self, columns: np.ndarray, dijet_mass: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Jets (n, 2, 4) and delta phi (n,) of standardised numbers (n, 8)."""
        return decoded(columns * np.asarray(self.std) + self.mean, dijet_mass)

    def passing(self, jets: np.ndarray) -> np.ndarray:
        """Events (n,) bool that pass the trigger."""
        pt, eta = jets[:, 0, 0], np.abs(jets[:, 0, 1])
        return (pt >= self.least_pt) & (eta <= self.largest_eta)


def condition(dijet_mass: np.ndarray) -> np.ndarray:
    """Condition (n, 2) of the network for the dijet mass (n,) [GeV]."""
    scale, width = MASS_SCALE
    unit = np.log(np.asarray(dijet_mass, np.float64) / scale) / width
    return np.column_stack([unit, unit**2]).astype(np.float32)


@dataclass(frozen=True)
class Rows:
    """Rows in memory, in the interface that pipelines expect of files."""

    num_jets: int

    @property
    def multiplicity(self) -> np.ndarray:
        return np.ones(self.num_jets, np.uint8)

    @property
    def edges(self) -> np.ndarray:
        return np.append(np.arange(0, self.num_jets, 16), self.num_jets)


class KinematicsPipeline(Pipeline):
    """Batches of standardised events: jet (B, 8), label (B, 2) the condition; no constituents."""

    def __init__(
        self,
        columns: np.ndarray,
        conditions: np.ndarray,
        spec: DatasetSpec,
        batch_size: int,
        seed: int,
    ):
        ranks = distributed.rank_and_size()
        super().__init__(Rows(len(columns)), spec, batch_size, *ranks, seed, weighted=False)
        self._columns, self._conditions = columns, conditions

    def sources(self) -> list[list]:
        """As `Pipeline.sources`, for the events in memory."""
        content = hashed(self._columns, self._conditions)
        return [["kinematics of the events", len(self._columns), content]]

    def _read(self, rows, batches):
        for positions, _ in batches:
            index = rows[positions]
            ones = np.ones(len(index), np.float32)
            yield {
                "mask": ones[:, None],
                "jet": self._columns[index],
                "label": self._conditions[index],
                "weight": ones,
                "index": index,
            }
