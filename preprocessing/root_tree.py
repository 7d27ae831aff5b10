"""Opens trees of ROOT files and checks their branches."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from omnilearn.errors import UserError
from preprocessing.sources import reading, refuse_row, require_finite

# for a local file: no event loop of a remote one, no cache of arrays
PLAIN = {"handler": uproot.MultithreadedFileSource, "array_cache": None}


@contextmanager
def open_tree(
    path: Path,
    names: tuple[str, ...],
    branches: tuple[str, ...],
    title: str,
    may_be_empty: bool = False,
    row: str = "jet",
) -> Iterator[tuple[uproot.TTree, str]]:
    """The one tree of the file among `names`, and its name; damage of the file raises UserError.

    Raises UserError if the tree, one of its `branches` or, unless it may be empty, every row is
    missing; `row` is the word for a row in the message.
    """
    with reading(path), uproot.open(path, **PLAIN) as file:
        keys = file.keys(cycle=False)
        present = [name for name in names if name in keys]
        if len(present) != 1:
            raise UserError(
                f"{path} has {'more than one' if present else 'no'} tree "
                f"{' or '.join(map(repr, names))} but {', '.join(keys[:5]) or 'nothing'}; {title} "
                "files have one"
            )
        tree = file[present[0]]
        if not hasattr(tree, "num_entries"):
            raise UserError(
                f"{path}: {present[0]} is a {file.classname_of(present[0])} and no tree; is this "
                f"{title}?"
            )
        missing = [name for name in branches if name not in tree]
        if missing:
            raise UserError(f"{path}: the tree lacks the branch {missing[0]}; is this {title}?")
        if tree.num_entries == 0 and not may_be_empty:
            raise UserError(f"{path} holds no {row}s; download it again")
        yield tree, present[0]


def jagged(
    arrays: ak.Array, names: tuple[str, ...], path: Path, first_row: int, row: str = "jet"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Entries per row (rows,) of the branches `names`, and their flattened entries.

    Raises UserError on branches of unequal lengths, missing rows, text and numbers that are not
    finite; `row` is the word for a row in the message.
    """
    flat: dict[str, np.ndarray] = {}
    counts = np.zeros(0, np.int64)
    for name in names:
        if arrays[name].ndim != 2:
            raise UserError(
                f"{path}: {name} has not several numbers per row; is this file of another layout?"
            )
        missing = ak.to_numpy(ak.is_none(arrays[name]))
        refuse_row(missing, path, f"{name} is missing", first_row, f"leave that {row} out", row)
        lengths = ak.to_numpy(ak.num(arrays[name]))
        counts = counts if flat else lengths
        problem = f"{name} and {names[0]} have unequal lengths"
        refuse_row(lengths != counts, path, problem, first_row, "download it again", row)
        flat[name] = ak.to_numpy(ak.flatten(arrays[name]))
        require_finite(flat[name], path, name, first_row, counts, row)
    return counts, flat


def per_row(
    arrays: ak.Array, names: tuple[str, ...], path: Path, first_row: int, row: str = "jet"
) -> dict[str, np.ndarray]:
    """The branches `names` of one number per row; raises UserError as `jagged` does."""
    columns = {}
    for name in names:
        if arrays[name].ndim != 1:
            raise UserError(
                f"{path}: {name} has not one number per row; is this file of another layout?"
            )
        columns[name] = ak.to_numpy(arrays[name])
        require_finite(columns[name], path, name, first_row, row=row)
    return columns
