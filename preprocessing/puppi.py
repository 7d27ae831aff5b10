"""CMS jets of candidates with PUPPI weights, for both formats of Aspen Open Jets.

The stored four-momenta are not weighted. As in CMS, the momentum of an AK8 jet is the sum of
momenta times PUPPI weights (arXiv:1407.6013): constituents have the weighted momentum, candidates
of weight 0 are no constituents. Jet pt, eta and phi are the calibrated ones of the file, so that
constituents need not sum to the jet. The mass before grooming is that of the weighted sum, scaled
by the calibration of pt, which multiplies the four-momentum.
"""

from pathlib import Path

import numpy as np

from omnilearn.data.catalogue import ASPEN
from omnilearn.kinematics import from_cartesian, invariant_mass
from preprocessing.identity import identity
from preprocessing.jet_chunk import JetChunk, summed_jets
from preprocessing.sources import refuse_row

# columns of a candidate: those of the public HDF5 files of Aspen Open Jets
CANDIDATE = ("px", "py", "pz", "E", "d0", "d0Err", "dz", "dzErr", "charge", "pdgId", "puppiWeight")
TRACK = slice(4, 8)
PDG_ID, PUPPI_WEIGHT = CANDIDATE.index("pdgId"), CANDIDATE.index("puppiWeight")
HIGHEST_WEIGHT = 1.001  # rounding of a weight of 1
# columns of the spec's jet_extra that identify the event
EVENT = ("run", "luminosity_block", "event")


def weighted_jets(
    candidates: np.ndarray,
    owner: np.ndarray,
    jets: np.ndarray,
    extra: dict[str, np.ndarray],
    rows: np.ndarray,
    path: Path,
    key: str,
) -> JetChunk:
    """The jets of candidates (n, 11) of the columns CANDIDATE, ordered by jet.

    owner (n,): the jet of each candidate. jets (jets, 3): calibrated pt [GeV], eta, phi. extra:
    the columns of ASPEN.jet_extra that the file has, each (jets,); the others are NaN. rows
    (jets,): number of each jet in its file. Raises UserError on unknown PDG ids, naming `path` and
    `key`.
    """
    real = candidates[:, PUPPI_WEIGHT] > 0
    real &= (candidates[:, 0] != 0) | (candidates[:, 1] != 0)
    flat, owner = candidates[real].astype(np.float64), owner[real]
    weighted = flat[:, :4] * flat[:, PUPPI_WEIGHT, None]
    summed = summed_jets(weighted, owner, len(jets))
    pt, eta, phi = jets.T.astype(np.float64)
    calibration = np.divide(pt, summed[:, 0], out=np.ones_like(pt), where=summed[:, 0] > 0)
    energy = np.hypot(pt * np.cosh(eta), calibration * invariant_mass(summed))
    jet_extra = np.full((len(jets), len(ASPEN.jet_extra)), np.nan)
    for name, values in (extra | {"jet_phi": phi}).items():
        jet_extra[:, ASPEN.jet_extra.index(name)] = values
    return JetChunk(
        constituents=from_cartesian(weighted),
        counts=np.bincount(owner, minlength=len(jets)),
        jet=np.stack([pt, eta, phi, energy], axis=-1),
        label=np.zeros(len(jets), np.int64),
        rows=rows,
        identity=identity(flat[:, PDG_ID], path, key),
        constituent_extra=np.column_stack(
            [flat[:, TRACK], flat[:, PUPPI_WEIGHT], flat[:, PDG_ID]]
        ).astype(np.float32),
        jet_extra=jet_extra,
    )


def require_weights(
    weight: np.ndarray, owner: np.ndarray, path: Path, key: str, first_row: int, remedy: str
) -> None:
    """Raise UserError for the first weight (n,) outside 0-1, naming the row of its owner (n,)."""
    outside = np.bincount(owner[(weight < 0) | (weight > HIGHEST_WEIGHT)]) > 0
    refuse_row(outside, path, f"{key} is not between 0 and 1", first_row, remedy)
