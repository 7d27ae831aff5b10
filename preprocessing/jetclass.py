"""JetClass (doi 10.5281/zenodo.6619768): ROOT files of 100k jets, one class per public file.

Momenta come from px, py, pz and energy; `part_deta` of the public files, which is multiplied by
the sign of the jet's eta, is not read.
"""

from collections.abc import Iterator
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.data.catalogue import JETCLASS
from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.jetclass_files import REMOTE, file_class, shards
from preprocessing.root_tree import jagged, open_tree, per_row
from preprocessing.sources import refuse_row

__all__ = ("REMOTE", "count", "read", "shards")

TREE = "tree"
MOMENTUM = ("part_px", "part_py", "part_pz", "part_energy")
IDENTITY = (
    "part_charge",
    "part_isChargedHadron",
    "part_isNeutralHadron",
    "part_isPhoton",
    "part_isElectron",
    "part_isMuon",
)
JET = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
LABELS = tuple(f"label_{name}" for name in JETCLASS.class_names)
BRANCHES = MOMENTUM + IDENTITY + JET + LABELS


def count(path: Path) -> int:
    """Jets in the file."""
    with open_tree(path, (TREE,), BRANCHES, JETCLASS.title) as (tree, _):
        return tree.num_entries


def read(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `chunk_rows` rows at a time.

    Raises UserError on jagged branches of unequal length, labels that are not one-hot or not of
    the class in the file name, and numbers that are not finite.
    """
    with open_tree(path, (TREE,), BRANCHES, JETCLASS.title) as (tree, _):
        first_row = 0
        for arrays in tree.iterate(BRANCHES, step_size=chunk_rows, library="ak"):
            yield chunk(arrays, path, first_row)
            first_row += len(arrays)


def chunk(arrays: ak.Array, path: Path, first_row: int) -> JetChunk:
    """Some entries of the tree as jets."""
    counts, flat = jagged(arrays, MOMENTUM + IDENTITY, path, first_row)
    jets = per_row(arrays, JET + LABELS, path, first_row)
    return JetChunk(
        constituents=from_cartesian(np.stack([flat[name] for name in MOMENTUM], axis=-1)),
        counts=counts,
        jet=np.stack([jets[name] for name in JET], axis=-1).astype(np.float64),
        label=labels(np.stack([jets[name] for name in LABELS], axis=-1), path, first_row),
        rows=first_row + np.arange(len(arrays)),
        identity=np.stack(
            [flat[name] for name in IDENTITY], axis=-1, dtype=np.float32, casting="unsafe"
        ),
    )


def labels(one_hot: np.ndarray, path: Path, first_row: int) -> np.ndarray:
    """Class numbers (jets,) from the label branches (jets, 10), checked against the file name."""
    valid = ((one_hot == 0) | (one_hot == 1)).all(axis=1) & (one_hot.sum(axis=1) == 1)
    problem = "the label branches do not name exactly one class"
    refuse_row(~valid, path, problem, first_row, "download it again")
    label = one_hot.argmax(axis=1)
    expected = file_class(path)
    if expected is not None:
        wrong = label != JETCLASS.class_names.index(expected)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(
                f"{path}: jet {first_row + row} (counted from 0) is labelled "
                f"{JETCLASS.class_names[label[row]]}, but the file name is that of {expected}; "
                "rename the file or download it again"
            )
    return label
