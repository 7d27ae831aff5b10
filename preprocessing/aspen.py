"""Aspen Open Jets (O. Amram et al., arXiv:2412.10504): CMS jets of 2016 in flat HDF5 columns.

The stored four-momenta are not weighted; the momentum of a CMS AK8 jet is the sum of momenta times
PUPPI weights (arXiv:1407.6013), and so it is here: constituents carry the weighted momentum, those
of weight 0 are none. Jet pt, eta and phi are the calibrated ones of the file, so that constituents
need not sum to the jet. The file has no ungroomed mass: it is that of the weighted sum, scaled by
the calibration of pt, which multiplies the whole four-momentum. The soft-drop mass is not read,
neither are the impact parameters, whose -1 marks particles without a track.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnilearn.data.catalogue import ASPEN
from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian, invariant_mass
from preprocessing.flat_hdf5 import Column, open_columns
from preprocessing.identity import identity
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.sources import RemoteFile, Shard, require_files, require_finite

SLOTS = 150
CANDIDATE = (
    "px", "py", "pz", "E", "d0", "d0Err", "dz", "dzErr", "charge", "pdgId", "puppiWeight",
)  # fmt: skip
PDG_ID, PUPPI_WEIGHT = CANDIDATE.index("pdgId"), CANDIDATE.index("puppiWeight")
READ = (0, 1, 2, 3, PDG_ID, PUPPI_WEIGHT)
LAYOUT = {
    "candidates": Column(("PFCands",), (SLOTS, len(CANDIDATE))),
    "jets": Column(("jet_kinematics",), (4,)),  # pt, eta, phi, soft-drop mass
}
FILE_NAME = re.compile(r"Run([GH])_batch(\d+)\.h5")
BATCHES = 40  # of each of the two runs
HIGHEST_WEIGHT = 1.001  # rounding of a weight of 1

# addresses after the pattern of the repository; no file was fetched from them yet
REMOTE = tuple(
    RemoteFile(name, f"https://www.fdr.uni-hamburg.de/record/16505/files/{name}")
    for name in (f"Run{run}_batch{batch}.h5" for run in "GH" for batch in range(BATCHES))
)


def shards(raw: Path) -> list[Shard]:
    """Every public file is shared among the splits; its number stays the same however many come."""
    found = {path: FILE_NAME.fullmatch(path.name) for path in sorted(raw.glob("Run*.h5"))}
    if not found:
        raise UserError(f"{raw} holds no RunG_batch0.h5 or the like; get them from {ASPEN.source}")
    for path, name in found.items():
        if name is None or int(name[2]) >= BATCHES:
            raise UserError(
                f"{path} is no public file name; they are RunG_batch0.h5 to RunH_batch39.h5"
            )
    require_files(list(found))
    return [
        Shard(ASPEN.splits, int(name[2]) + BATCHES * (name[1] == "H"), (path,))
        for path, name in found.items()
    ]


def count(path: Path) -> int:
    """Jets in the file."""
    with open_columns(path, LAYOUT, ASPEN.title) as columns:
        return columns.rows


def read(path: Path, at_once: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `at_once` rows at a time.

    Raises UserError on momenta, ids or weights that are not finite, PUPPI weights outside 0-1 and
    ids that no constituent has.
    """
    with open_columns(path, LAYOUT, ASPEN.title) as columns:
        for first_row, stored in columns.stretches(at_once):
            yield chunk(stored["candidates"], stored["jets"], path, first_row)


def chunk(candidates: np.ndarray, jets: np.ndarray, path: Path, first_row: int) -> JetChunk:
    """PFCands (jets, 150, 11) and jet_kinematics (jets, 4) of the file as jets."""
    for column in READ:
        key = f"PFCands/{CANDIDATE[column]}"
        require_finite(candidates[..., column], path, key, first_row)
    require_finite(jets[:, :3], path, "jet_kinematics", first_row)
    weight = candidates[..., PUPPI_WEIGHT]
    outside = ((weight < 0) | (weight > HIGHEST_WEIGHT)).any(axis=1)
    if outside.any():
        raise UserError(
            f"{path}: PFCands/puppiWeight is not between 0 and 1 in jet "
            f"{first_row + int(np.argmax(outside))} (counted from 0); the columns of PFCands must "
            f"be {', '.join(CANDIDATE)}"
        )
    real = (weight > 0) & ((candidates[..., 0] != 0) | (candidates[..., 1] != 0))
    counts = real.sum(axis=1)
    flat = candidates[real].astype(np.float64)
    weighted = flat[:, :4] * flat[:, PUPPI_WEIGHT, None]
    pt, eta, phi, _ = jets.T.astype(np.float64)
    owner = np.nonzero(real)[0]
    summed = from_cartesian(
        np.stack([np.bincount(owner, part, len(jets)) for part in weighted.T], axis=-1)
    )
    calibration = np.divide(pt, summed[:, 0], out=np.ones_like(pt), where=summed[:, 0] > 0)
    energy = np.hypot(pt * np.cosh(eta), calibration * invariant_mass(summed))
    return JetChunk(
        constituents=from_cartesian(weighted),
        counts=counts,
        jet=np.stack([pt, eta, phi, energy], axis=-1),
        label=np.zeros(len(jets), np.int64),
        rows=first_row + np.arange(len(jets)),
        identity=identity(flat[:, PDG_ID], path, "PFCands/pdgId"),
    )
