"""CMS 2011A jets of the MOD HDF5 format: simulated QCD jets above 375 GeV, in slices of parton pt.

P. Komiske, R. Mastandrea, E. Metodiev, P. Naik, J. Thaler, arXiv:1908.08542. Jets of a light quark
or a gluon are kept, with their weight (a cross section in nb). The four-momentum of the jet is
multiplied by its energy correction; particles below 1 GeV are left out, pile-up is kept.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.catalogue import CMS
from omnilearn.errors import UserError
from omnilearn.kinematics import from_rapidity
from preprocessing.flat_hdf5 import CHUNK_CACHE
from preprocessing.identity import identity
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk, require_gev
from preprocessing.public_hdf5 import open_public
from preprocessing.sources import (
    UNKNOWN_NAME,
    RemoteFile,
    Shard,
    files_below,
    mix_classes,
    other_files_in,
    public_name,
    refuse_row,
    require_files,
    require_finite,
)

LOWEST_PT = 1.0  # GeV, of a particle
MOST_PARTICLES = 2000  # in one jet; a larger count means a damaged index
# array -> its columns in the public order, for files that do not name them
COLUMNS = {
    "jets_i": ("fn", "rn", "lbn", "evn", "npv", "quality", "hard_pid"),
    "jets_f": (
        "jet_pt",
        "jet_y",
        "jet_phi",
        "jet_m",
        "jet_eta",
        "jec",
        "jet_area",
        "jet_max_nef",
        "gen_jet_pt",
        "gen_jet_y",
        "gen_jet_phi",
        "gen_jet_m",
        "gen_jet_eta",
        "hard_pt",
        "hard_y",
        "hard_phi",
        "weight",
    ),
    "pfcs": ("pt", "y", "phi", "m", "pid", "vertex"),
}
NEEDED = {
    "jets_i": ("hard_pid",),
    "jets_f": ("jet_pt", "jet_eta", "jet_phi", "jet_m", "jec", "weight"),
    "pfcs": ("pt", "y", "phi", "m", "pid"),
}
INDEX = "pfcs_index"  # (jets + 1,): first particle of each jet, then the number of particles
GLUON = 21
LIGHT, HEAVY = (1, 2, 3), (4, 5)  # |PDG id| of quarks

FILE_NAME = re.compile(r"SIM(\d+)_.*?_(\d+)(?:_compressed)?\.h5")
# lowest parton pt [GeV] of a slice, its number of files, its Zenodo record
SLICES = (
    (170, 1, 3341500),
    (300, 24, 3341498),
    (470, 73, 3341419),
    (600, 78, 3364139),
    (800, 79, 3341413),
    (1000, 40, 3341502),
    (1400, 40, 3341770),
    (1800, 20, 3341772),
)
REMOTE = tuple(
    RemoteFile.zenodo(record, f"SIM{pt}_Jet300_pT375-infGeV_{index}_compressed.h5")
    for pt, files, record in SLICES
    for index in range(files)
)


def shards(raw: Path) -> list[Shard]:
    """Output file i takes the i-th file of every slice, so each one covers the whole spectrum.

    All folders below `raw` are searched, also linked ones. Raises UserError if there is no
    simulated file, one of another name, or two copies of one.
    """
    slices: dict = defaultdict(dict)
    paths = files_below(raw, ".h5", ".h5.gz")
    for path in paths:
        if name := FILE_NAME.fullmatch(public_name(path)):
            first = slices[int(name[1])].setdefault(int(name[2]), path)
            if first != path:
                raise UserError(
                    f"{first} and {path} are the same public file twice (slice {name[1]}, number "
                    f"{name[2]}), whose jets would count twice; remove one of them"
                )
        elif path.name.startswith("SIM"):
            raise UserError(f"{path} {UNKNOWN_NAME}, such as {REMOTE[0].name}")
    if not slices:
        others = any(path.name.startswith(("GEN", "CMS")) for path in paths)
        hint = "recorded and generated files lack the parton or the detector; " if others else ""
        raise UserError(
            f"{raw} holds no simulated SIM*.h5 but {other_files_in(raw)}; {hint}get them from "
            f"{CMS.source}"
        )
    files = [[slices[pt][number] for number in sorted(slices[pt])] for pt in sorted(slices)]
    for of_slice in files:
        require_files(of_slice)
    return [Shard(CMS.splits, index, sources) for index, sources in enumerate(mix_classes(files))]


@dataclass
class ModFile:
    """The arrays of an open file, and the positions of the needed columns."""

    arrays: dict[str, h5py.Dataset]
    positions: dict[str, list[int]]  # array -> column number of each of its NEEDED columns
    index: h5py.Dataset
    path: Path

    @property
    def jets(self) -> int:
        return len(self.arrays["jets_i"])

    def read(self, array: str, first: int, last: int) -> dict[str, np.ndarray]:
        """The needed columns of rows first to last, as float64: a mass is a small difference."""
        table = self.arrays[array][first:last].astype(np.float64)
        return dict(zip(NEEDED[array], table[:, self.positions[array]].T, strict=True))


def open_mod(file: h5py.File, path: Path) -> ModFile:
    """The arrays of a file; raises UserError for a missing array or column and unequal lengths."""
    arrays, positions = {}, {}
    for key in (*COLUMNS, INDEX):
        array = file.get(key)
        if not isinstance(array, h5py.Dataset) or array.dtype.kind not in "iuf":
            raise UserError(
                f"{path} has no array {key} but {', '.join(file) or 'nothing'}; "
                f"is this a simulated file of {CMS.title}?"
            )
        arrays[key] = array
    index = arrays.pop(INDEX)
    for key, array in arrays.items():
        if array.ndim != 2:
            raise UserError(f"{path}: {key} has shape {array.shape}, but it must be a table")
        names = column_names(file, array, key)
        if len(names) != array.shape[1]:
            raise UserError(
                f"{path}: {key} has {array.shape[1]} columns, but those of {CMS.title} are "
                f"{', '.join(names)}"
            )
        missing = [name for name in NEEDED[key] if name not in names]
        if missing:
            raise UserError(
                f"{path}: {key} has no column {missing[0]} but {', '.join(names)}; recorded and "
                "generated files lack it, take the simulated ones (SIM)"
            )
        positions[key] = [names.index(name) for name in NEEDED[key]]
    jets = len(arrays["jets_i"])
    if len(arrays["jets_f"]) != jets or index.shape != (jets + 1,):
        raise UserError(
            f"{path}: jets_i has {jets} rows, jets_f {len(arrays['jets_f'])} and {INDEX} shape "
            f"{index.shape}, which do not belong together; download it again"
        )
    if jets == 0:
        raise UserError(f"{path} holds no jets; download it again")
    return ModFile(arrays, positions, index, path)


def column_names(file: h5py.File, array: h5py.Dataset, key: str) -> list[str]:
    """Names of the columns from the attributes of the array or the file, else the public order."""
    names = array.attrs.get("cols", file.attrs.get(f"{key}_cols", COLUMNS[key]))
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def count(path: Path) -> int:
    """Jets in the file, including those that `read` rejects."""
    with open_public(path, **CHUNK_CACHE) as file:
        return open_mod(file, path).jets


def read(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `chunk_rows` rows at a time.

    Jets of no parton, of charm and of beauty are rejected. Raises UserError on numbers that are not
    finite, partons other than quarks and gluons, and an index that does not fit the particles.
    """
    with open_public(path, **CHUNK_CACHE) as file:
        mod = open_mod(file, path)
        for first in range(0, mod.jets, chunk_rows):
            yield chunk(mod, first, min(first + chunk_rows, mod.jets))


def chunk(mod: ModFile, first: int, last: int) -> JetChunk:
    """Rows first to last of the file as jets."""
    path = mod.path
    edges = mod.index[first : last + 1].astype(np.int64)
    counts = np.diff(edges)
    bad = (edges[:-1] < 0) | (edges[1:] > len(mod.arrays["pfcs"]))
    bad |= (counts < 0) | (counts > MOST_PARTICLES)
    problem = f"{INDEX} does not fit the particles"
    refuse_row(bad, path, problem, first, "the file is damaged, download it again")
    jet, particle = mod.read("jets_f", first, last), mod.read("pfcs", edges[0], edges[-1])
    for name, values in jet.items():
        require_finite(values, path, f"jets_f/{name}", first)
    for name, values in particle.items():
        require_finite(values, path, f"pfcs/{name}", first, counts)
    correction = jet["jec"]
    pt = correction * jet["jet_pt"]
    if first == 0:
        require_gev(pt, CMS, path)
    # rounding gives jets of one particle a mass below zero
    energy = correction * np.hypot(
        jet["jet_pt"] * np.cosh(jet["jet_eta"]), np.maximum(jet["jet_m"], 0)
    )
    hard = particle["pt"] >= LOWEST_PT
    owner = np.repeat(np.arange(last - first), counts)[hard]
    particle = {name: values[hard] for name, values in particle.items()}
    label, selected, rejected = classes(mod.read("jets_i", first, last)["hard_pid"], path, first)
    jets = JetChunk(
        constituents=from_rapidity(
            particle["pt"], particle["y"], particle["phi"], np.maximum(particle["m"], 0)
        ),
        counts=np.bincount(owner, minlength=last - first),
        jet=np.stack([pt, jet["jet_eta"], jet["jet_phi"], energy], axis=-1),
        label=label,
        rows=np.arange(first, last),
        identity=identity(particle["pid"], path, "pfcs/pid"),
        weight=jet["weight"],
        rejected=rejected,
    )
    return jets.take(selected)


def classes(
    hard_pid: np.ndarray, path: Path, first: int
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Class (jets,), selection (jets,) and rejected jets by reason, from the parton of each jet."""
    species = np.abs(hard_pid)
    is_quark, is_heavy, unmatched = np.isin(species, LIGHT), np.isin(species, HEAVY), species == 0
    known = is_quark | is_heavy | unmatched | (species == GLUON)
    if not known.all():
        row = int(np.argmin(known))
        raise UserError(
            f"{path}: hard_pid is {hard_pid[row]:g} in jet {first + row} (counted from 0), but it "
            "must be a quark (1 to 5), a gluon (21) or 0"
        )
    rejected = {"of no parton": unmatched.sum(), "of charm or beauty": is_heavy.sum()}
    return (
        is_quark.astype(np.int64),
        is_quark | (species == GLUON),
        {reason: int(jets) for reason, jets in rejected.items() if jets},
    )
