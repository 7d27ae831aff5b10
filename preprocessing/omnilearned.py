"""HDF5 files of OmniLearned: public data sets repacked, DIR/{train,val,test}/*.h5.

`data` (jets, slots, 4 or more) holds eta and phi relative to the jet, log pt, log E and, for data
sets with identity, an index into IDENTITIES; further columns are not read. `pid` is the label,
`global` (jets, n) holds quantities of the jet, the multiplicity last. Where these are pt, eta, mass
and multiplicity, consistent with the constituents, they define the jet. Else it is recovered: pt
and mass from the sum of the stored constituents, eta from their ratios of energy to pt and relative
eta. The jet's phi is lost and taken as 0; no feature depends on it.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import requests

from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from preprocessing.identity import identity
from preprocessing.jet_chunk import CHUNK_ROWS, MOMENTUM_LIMIT, JetChunk
from preprocessing.public_hdf5 import open_public, uncompressed
from preprocessing.sources import (
    SPLITS,
    RemoteFile,
    Shard,
    files_below,
    named,
    refuse_row,
    require_files,
    require_finite,
)

ADDRESS = "https://portal.nersc.gov/cfs/dasrepo/omnilearned"
NAMES = ("jetclass", "top", "qg", "atlas", "h1", "aspen")  # on the server and here
TIMEOUT = 30.0  # seconds without a byte
LINK = re.compile(r'href="([\w.+-]+\.h5)"')
KEYS = ("data", "pid", "global")
PUBLIC_SUFFIXES = (".root", ".npz", ".h5", ".hdf5", ".h5.gz", ".hdf5.gz", ".parquet")
IDENTITIES = np.array([-211, -13, -11, 0, 11, 13, 22, 130, 211])
# label of class 0, in the data set itself and in the mix for pre-training
FIRST_LABELS = {"jetclass": (0, 2), "aspen": (0, 200)}
JET_COLUMNS = (4,)  # of `global`, where it is that of the jet
STEPS = 8  # of the fit of eta
FIT_TOLERANCE = 0.03  # relative distance of the energies to those of the fitted eta
CENTRAL = 0.1  # |eta| below which the sign may be wrong
# largest median differences of `global` and the recovered jets: relative in pt, in eta
CONSISTENT = (0.3, 0.02)
MOST_LOST = 2 / 3  # of the jets of a file; with exchanged columns few but central jets are left
LOST = "jets whose eta cannot be recovered from their energies"


def remote(spec: DatasetSpec) -> list[RemoteFile]:
    """The files that the server lists, each in the folder of its split.

    Raises UserError where the server lacks the data set, and what `requests` raises.
    """
    files = []
    for split in SPLITS if spec.name in NAMES else ():
        address = f"{ADDRESS}/{spec.name}/{split}/"
        with requests.get(address, timeout=TIMEOUT) as response:
            if response.ok:
                names = sorted(set(LINK.findall(response.text)))
                files += [RemoteFile(f"{split}/{name}", address + name) for name in names]
    if not files:
        raise UserError(
            f"{ADDRESS}/{spec.name} lists no .h5 file; look there with a browser, or omit --source"
        )
    return files


def files_of(raw: Path) -> dict[str, list[Path]]:
    """The HDF5 files of each split folder of `raw`, also damaged ones; empty unless one of them is
    in this layout."""
    files = {}
    for split in SPLITS:
        if paths := named(raw / split, "*.h5"):
            files[split] = paths
    return files if any(has_layout(path) for paths in files.values() for path in paths) else {}


def has_layout(path: Path) -> bool:
    """Whether a file has the keys of this layout."""
    try:
        with open_for_reading(uncompressed(path)) as file:
            return set(KEYS) <= set(file)
    except (OSError, EOFError, zlib.error):  # damaged; a reader refuses the file
        return False


@dataclass(frozen=True)
class Reader:
    """The functions of a dataset's module, for its files in this layout."""

    spec: DatasetSpec

    @property
    def columns(self) -> int:
        """Columns of `data` that are read."""
        return 5 if self.spec.has_identity else 4

    def shards(self, raw: Path) -> list[Shard]:
        """One output file per file; raises UserError for further files of another layout."""
        files = files_of(raw)
        paths = [path for paths in files.values() for path in paths]
        require_files(paths)
        if others := [path for path in files_below(raw, *PUBLIC_SUFFIXES) if path not in paths]:
            raise UserError(
                f"{others[0]} and {paths[0]} are of two layouts and may hold the same jets; keep "
                "one kind in the folder"
            )
        return [
            Shard.whole(split, index, (path,))
            for split, paths in files.items()
            for index, path in enumerate(paths)
        ]

    def count(self, path: Path) -> int:
        """Jets in the file."""
        with open_public(path) as file:
            return len(self.arrays(file, path)["data"])

    def read(self, path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
        """The jets of one file, `chunk_rows` rows at a time.

        Raises UserError on numbers that are not finite, unknown labels and identities, and after
        the last chunk where most of the jets were left out.
        """
        lost = 0
        with open_public(path) as file:
            arrays = self.arrays(file, path)
            first_label = self.first_label(arrays["pid"], path)
            for first in range(0, len(arrays["data"]), chunk_rows):
                stored = {key: array[first : first + chunk_rows] for key, array in arrays.items()}
                stored["data"] = stored["data"][..., : self.columns]
                for key, values in stored.items():
                    if key != "global" or values.shape[1:] == JET_COLUMNS:  # else it is not used
                        require_finite(values, path, key, first)
                label = stored["pid"].reshape(-1)
                whole = label.astype(np.int64)
                refuse_row(
                    whole != label, path, "pid is no whole number", first, "expected a class"
                )
                stored["pid"] = whole - first_label
                jets = self.chunk(stored, path, first)
                lost += jets.rejected.get(LOST, 0)
                yield jets
            if lost > MOST_LOST * len(arrays["data"]):
                raise UserError(
                    f"{path}: data has {lost} of {len(arrays['data'])} {LOST}; its columns must be "
                    "eta_rel, phi_rel, log pt, log E"
                )

    def arrays(self, file: h5py.File, path: Path) -> dict[str, h5py.Dataset]:
        """The arrays of an open file; raises UserError if they do not fit the dataset."""
        if missing := [key for key in KEYS if not isinstance(file.get(key), h5py.Dataset)]:
            raise UserError(f"{path} has no array {missing[0]} but {', '.join(file) or 'nothing'}")
        arrays = {key: file[key] for key in KEYS}
        for key in ("data", "pid"):
            if arrays[key].dtype.kind not in "biuf":
                raise UserError(f"{path}: {key} holds {arrays[key].dtype}, expected numbers")
        shapes = {key: array.shape for key, array in arrays.items()}
        jets = (*shapes["data"], 0)[0]
        if len(shapes["data"]) != 3 or shapes["data"][2] < self.columns:
            raise UserError(
                f"{path}: data has shape {shapes['data']}, but {self.spec.title} needs (jets, "
                f"slots, {self.columns} or more): eta_rel, phi_rel, log pt, log E"
                f"{', identity' if self.columns == 5 else ''}"
            )
        if shapes["pid"] not in ((jets,), (jets, 1)) or shapes["global"][:1] != (jets,):
            raise UserError(
                f"{path}: data, pid and global have shapes {', '.join(map(str, shapes.values()))}, "
                "which do not belong together; download it again"
            )
        if jets == 0:
            raise UserError(f"{path} holds no jets; download it again")
        return arrays

    def first_label(self, labels: h5py.Dataset, path: Path) -> int:
        """The label of class 0, from the range of all labels in the file; raises UserError if the
        range fits no numbering of the classes, or two."""
        chunks = (labels[i : i + 2**20] for i in range(0, len(labels), 2**20))
        ranges = np.array([(chunk.min(), chunk.max()) for chunk in chunks])
        low, high = ranges[:, 0].min(), ranges[:, 1].max()
        known = FIRST_LABELS.get(self.spec.name, (0,))
        possible = [
            first for first in known if first <= low and high < first + self.spec.num_classes
        ]
        if len(possible) != 1:
            raise UserError(
                f"{path}: pid runs from {low:g} to {high:g}, which "
                f"{'does not identify' if possible else 'is not'} the "
                f"{self.spec.num_classes} classes of {self.spec.title}, counted from "
                f"{' or '.join(map(str, known))}"
            )
        return possible[0]

    def chunk(self, stored: dict[str, np.ndarray], path: Path, first_row: int) -> JetChunk:
        """Rows of the arrays as jets."""
        data = stored["data"].astype(np.float64)
        real = (data[..., :4] != 0).any(axis=-1)
        counts, flat = real.sum(axis=1), data[real]
        owner = np.repeat(np.arange(len(data)), counts)
        absurd = np.bincount(owner[(flat[:, 2:4] > np.log(MOMENTUM_LIMIT)).any(axis=1)]) > 0
        problem = f"data has a momentum above {MOMENTUM_LIMIT:g} GeV"
        remedy = "its columns must be eta_rel, phi_rel, log pt, log E"
        refuse_row(absurd, path, problem, first_row, remedy)
        eta_rel, phi_rel = flat[:, :2].T
        pt, energy = np.exp(flat[:, 2:4]).T
        flags = None
        if self.spec.has_identity:
            pdg_id = pdg_ids(flat[:, 4], owner, path, first_row)
            flags = identity(pdg_id, path, "data")[:, : self.spec.num_features - 7]
        jet, known = recover_jets(counts, pt, eta_rel, phi_rel, energy)
        if (stored_jet := stored_jets(stored["global"], jet)) is not None:
            jet, known = stored_jet, np.ones(len(jet), bool)
        jets = JetChunk(
            constituents=np.stack([pt, jet[owner, 1] + eta_rel, phi_rel, energy], axis=-1),
            counts=counts,
            jet=jet,
            label=stored["pid"],
            rows=first_row + np.arange(len(data)),
            identity=flags,
        )
        lost = int(np.count_nonzero(~known))
        jets.rejected = {LOST: lost} if lost else {}
        return jets.take(known)


def pdg_ids(indices: np.ndarray, owner: np.ndarray, path: Path, first_row: int) -> np.ndarray:
    """PDG ids (n,) from indices into IDENTITIES (n,) of constituents of the jets `owner` (n,)."""
    valid = np.isin(indices, np.arange(len(IDENTITIES)))
    if not valid.all():
        bad = int(np.argmin(valid))
        raise UserError(
            f"{path}: the identity {indices[bad]:g} of a constituent of jet "
            f"{first_row + owner[bad]} (counted from 0) is none of 0-{len(IDENTITIES) - 1}"
        )
    return IDENTITIES[indices.astype(np.int64)]


def stored_jets(features: np.ndarray, recovered: np.ndarray) -> np.ndarray | None:
    """Jets (jets, 4) pt, eta, 0, energy from the `global` features (jets, n), if these are pt, eta,
    mass and multiplicity, consistent with the `recovered` jets (jets, 4); else None."""
    if features.shape[1:] != JET_COLUMNS:
        return None
    pt, eta, mass, _ = features.astype(np.float64).T
    filled = recovered[:, 0] > 0
    if not filled.any() or not (pt[filled] > 0).all() or (mass < 0).any():
        return None
    pt_difference = np.median(np.abs(pt / recovered[:, 0].clip(1e-9) - 1)[filled])
    eta_difference = np.median(np.abs(eta - recovered[:, 1])[filled])
    if pt_difference > CONSISTENT[0] or eta_difference > CONSISTENT[1]:
        return None
    return np.stack([pt, eta, np.zeros_like(pt), np.hypot(pt * np.cosh(eta), mass)], axis=-1)


def recover_jets(
    counts: np.ndarray, pt: np.ndarray, eta_rel: np.ndarray, phi_rel: np.ndarray, energy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Jets (jets, 4) pt, eta, 0, energy [GeV], and whether they are known (jets,).

    The other arrays are (constituents,), of jets with `counts` (jets,) constituents. The eta is the
    least-squares fit of momenta pt cosh(eta + eta_rel) to the energies: linear in cosh eta and
    sinh eta, then by Newton's method. A jet is known if the fit is good and, except for central
    jets, -eta fits worse.
    """
    owner = np.repeat(np.arange(len(counts)), counts)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, values, len(counts))

    even, odd = pt * np.cosh(eta_rel), pt * np.sinh(eta_rel)
    a, b, c = summed(even * even), summed(even * odd), summed(odd * odd)
    u, v = summed(even * energy), summed(odd * energy)
    ratio = np.divide(a * v - b * u, c * u - b * v, out=np.zeros_like(a), where=c * u != b * v)
    eta = np.arctanh(np.clip(ratio, -1 + 1e-9, 1 - 1e-9))

    def distance(eta: np.ndarray) -> np.ndarray:
        fitted = pt * np.cosh(eta[owner] + eta_rel)
        total = summed(energy)
        return np.divide(
            summed(np.abs(fitted - energy)), total, out=total * 0 + np.inf, where=total > 0
        )

    for _ in range(STEPS):
        slope = pt * np.sinh(eta[owner] + eta_rel)
        residual = pt * np.cosh(eta[owner] + eta_rel) - energy
        curvature = summed(slope * slope)
        step = np.divide(
            summed(slope * residual), curvature, out=np.zeros_like(eta), where=curvature > 0
        )
        trial = eta - np.clip(step, -0.5, 0.5)
        eta = np.where(distance(trial) < distance(eta), trial, eta)
    fit = distance(eta)
    known = (fit < FIT_TOLERANCE) & ((distance(-eta) > 2 * fit) | (np.abs(eta) < CENTRAL))
    jet_pt = np.hypot(summed(pt * np.cos(phi_rel)), summed(pt * np.sin(phi_rel)))
    # the mass is computed in the frame boosted by the jet's eta, where an error of eta cancels
    mass2 = energy**2 - (pt * np.cosh(eta[owner] + eta_rel)) ** 2
    pz, boosted_energy = summed(odd), summed(np.sqrt(np.maximum(even**2 + mass2, 0.0)))
    jet_mass2 = np.maximum(boosted_energy**2 - pz**2 - jet_pt**2, 0.0)
    jet_energy = np.sqrt((jet_pt * np.cosh(eta)) ** 2 + jet_mass2)
    return np.stack([jet_pt, eta, np.zeros_like(eta), jet_energy], axis=-1), known
