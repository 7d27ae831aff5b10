"""Trees of ROOT files: opened and checked once, for every dataset that has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from omnilearn.errors import UserError
from preprocessing.sources import reading, require_finite

# a plain local file: no event loop of a remote one, no arrays kept after they were handed out
PLAIN = {"handler": uproot.MultithreadedFileSource, "array_cache": None}


@contextmanager
def open_tree(
    path: Path, names: tuple[str, ...], branches: tuple[str, ...], title: str
) -> Iterator[tuple[uproot.TTree, str]]:
    """The one tree of the file among `names`, and its name; damage within becomes a UserError.

    Raises UserError if the tree, one of its `branches` or every row is missing.
    """
    with reading(path), uproot.open(path, **PLAIN) as file:
        keys = file.keys(cycle=False)
        found = [name for name in names if name in keys]
        if len(found) != 1:
            raise UserError(
                f"{path} has no tree {' or '.join(map(repr, names))} but "
                f"{', '.join(keys[:5]) or 'nothing'}; {title} files have one"
            )
        tree = file[found[0]]
        missing = [name for name in branches if name not in tree]
        if missing:
            raise UserError(f"{path}: the tree lacks the branch {missing[0]}; is this {title}?")
        if tree.num_entries == 0:
            raise UserError(f"{path} holds no jets; download it again")
        yield tree, found[0]


def jagged(
    arrays: ak.Array, names: tuple[str, ...], path: Path, first_row: int, row: str = "jet"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Entries per row (rows,) of the branches `names`, and all their entries one behind the other.

    row: the word for a row in complaints.

    Raises UserError on branches of unequal lengths and numbers that are not finite.
    """
    flat: dict[str, np.ndarray] = {}
    counts = np.zeros(0, np.int64)
    for name in names:
        if arrays[name].ndim != 2:
            raise UserError(
                f"{path}: {name} has not several numbers per row; is this file of another layout?"
            )
        number = ak.to_numpy(ak.num(arrays[name]))
        counts = counts if flat else number
        unequal = number != counts
        if unequal.any():
            raise UserError(
                f"{path}: {name} and {names[0]} have unequal lengths in {row} "
                f"{first_row + int(np.argmax(unequal))} (counted from 0); download it again"
            )
        flat[name] = ak.to_numpy(ak.flatten(arrays[name]))
        require_finite(flat[name], path, name, first_row, counts, row)
    return counts, flat


def per_row(
    arrays: ak.Array, names: tuple[str, ...], path: Path, first_row: int, row: str = "jet"
) -> dict[str, np.ndarray]:
    """The branches `names` of one number per row; raises UserError as `jagged` does."""
    found = {}
    for name in names:
        if arrays[name].ndim != 1:
            raise UserError(
                f"{path}: {name} has not one number per row; is this file of another layout?"
            )
        found[name] = ak.to_numpy(arrays[name])
        require_finite(found[name], path, name, first_row, row=row)
    return found
