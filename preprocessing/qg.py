"""Quark and gluon jets (doi 10.5281/zenodo.3164691): padded npz arrays, 100k jets a file.

P. Komiske, E. Metodiev, J. Thaler, arXiv:1810.05165. Constituents are (pt, rapidity, phi, PDG id),
in no order; their energies follow from the masses of the species.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnilearn.data.catalogue import QG
from omnilearn.errors import UserError
from omnilearn.kinematics import from_rapidity, to_cartesian
from preprocessing import converted
from preprocessing.flat_hdf5 import require_classes
from preprocessing.identity import identity, masses
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk, summed_jets
from preprocessing.npz_stream import NpzRows, open_npz
from preprocessing.sources import (
    UNKNOWN_NAME,
    RemoteFile,
    Shard,
    other_files_in,
    refuse_row,
    require_files,
    require_finite,
)

KEYS = ("X", "y")
COLUMNS = ("pt", "rapidity", "phi", "PDG id")
# Pythia or Herwig, with or without charm and beauty: four sets that must not be mixed
FILE_NAME = re.compile(r"(QG_jets(?:_herwig)?(?:_withbc)?)(?:_(\d+))?\.npz")
MD5 = (
    "f5d052f10a79c6e8b9382637aca0ef52",
    "f6a1081c76a47386bc11abcf0e499552",
    "2628367c57ba598f4473c870d1381041",
    "dd3ad998b0a1bd9acea2ecf029a8a921",
    "a56d6bb98361b55382aa8c06225e05d8",
    "266c688e9e6ff1cd20840692d45eaaf8",
    "95a9f7e555fb7b1073967056b9030b11",
    "4ae72aaabe121bd489532c99a6bdde95",
    "a2b80bd4199468fde4f302d346a8c9d8",
    "1157cbace488c70c9dcfc250f3345b06",
    "4b424b553e1e7f852e47ea9904bc2dcf",
    "ccd29c9d1abb34dd7cfb48cfc57a9695",
    "1ed1f6f19fb8439c9811dced41d5127d",
    "af45818c361e11ca9b3adaba30db06ad",
    "488ced3ea409d7e2b196da67f7d182ec",
    "c5e083019de6cd6a0ef12bcec1ea566b",
    "48605d55edff665f0c7d2f800b5a622e",
    "8fd47760957b5fd9adec9048b50cd1a9",
    "d43d611484b55391e891ba31c605f792",
    "6753508e34014cc69714a01fca20ec38",
)
REMOTE = tuple(
    RemoteFile.zenodo(3164691, f"QG_jets_{index}.npz" if index else "QG_jets.npz", f"md5:{md5}")
    for index, md5 in enumerate(MD5)
)


def shards(raw: Path) -> list[Shard]:
    """Each public file is shared among the splits.

    Converted files are read in their place. Raises UserError if there is none, both kinds, a
    QG_jets* of another name, or files of two of the four public sets.
    """
    sets: dict = defaultdict(dict)
    for path in sorted(raw.glob("QG_jets*.npz")):
        name = FILE_NAME.fullmatch(path.name)
        if name is None:
            raise UserError(f"{path} {UNKNOWN_NAME}, such as QG_jets_1.npz")
        sets[name[1]][int(name[2] or 0), path.name] = path
    converted_shards = converted.shards(raw)
    originals = [path for files in sets.values() for path in files.values()]
    converted.require_one_version(converted_shards, originals)
    if converted_shards:
        return converted_shards
    if not sets:
        raise UserError(
            f"{raw} holds no QG_jets*.npz but {other_files_in(raw)}; get them from {QG.source}"
        )
    if len(sets) > 1:
        first, second = (next(iter(sets[name].values())) for name in sorted(sets)[:2])
        raise UserError(
            f"{first} and {second} are of different sets (generator, charm and beauty) and would "
            "be mixed; keep one set in the folder"
        )
    (files,) = sets.values()
    paths = [files[key] for key in sorted(files)]
    require_files(paths)
    return [Shard(QG.splits, index, (path,)) for index, path in enumerate(paths)]


def require_layout(arrays: NpzRows, path: Path) -> None:
    """Raise UserError unless X is (jets, slots, 4) and y (jets,)."""
    for key, columns in (("X", ("slots", len(COLUMNS))), ("y", ())):
        shape = arrays.shapes[key]
        if len(shape) != 1 + len(columns) or (columns and shape[-1] != columns[-1]):
            expected = " x ".join(map(str, ("jets", *columns)))
            raise UserError(
                f"{path}: {key} has shape {shape}, but files of {QG.title} have {expected}"
            )


def count(path: Path) -> int:
    """Jets in the file."""
    if converted.is_converted(path):
        return converted.count(path, QG)
    with open_npz(path, KEYS, QG.title) as arrays:
        require_layout(arrays, path)
        return arrays.rows


def read(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `chunk_rows` rows at a time; a jet is the sum of its constituents.

    Raises UserError on numbers that are not finite, labels other than 0 (gluon) and 1 (quark), and
    unknown PDG ids.
    """
    if converted.is_converted(path):
        yield from converted.read(path, QG, chunk_rows)
        return
    with open_npz(path, KEYS, QG.title) as arrays:
        require_layout(arrays, path)
        for first_row, stored in arrays.chunks(chunk_rows):
            yield chunk(stored["X"], stored["y"], path, first_row)


def chunk(particles: np.ndarray, label: np.ndarray, path: Path, first_row: int) -> JetChunk:
    """Constituents (jets, slots, 4) and labels (jets,) of the file as jets."""
    require_finite(particles, path, "X", first_row)
    require_classes(label, QG, path, "y", first_row)
    pt = particles[..., 0]
    remedy = f"its columns must be {', '.join(COLUMNS)}"
    refuse_row((pt < 0).any(axis=1), path, "X has a pt below 0", first_row, remedy)
    real = pt > 0
    counts = real.sum(axis=1)
    pt, rapidity, phi, pdg_id = particles[real].T
    constituents = from_rapidity(pt, rapidity, phi, masses(pdg_id, path, "X"))
    return JetChunk(
        constituents=constituents,
        counts=counts,
        jet=summed_jets(to_cartesian(constituents), np.nonzero(real)[0], len(label)),
        label=label.astype(np.int64),
        rows=first_row + np.arange(len(label)),
        identity=identity(pdg_id, path, "X"),
    )
