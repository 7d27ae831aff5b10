"""Top tagging reference (doi 10.5281/zenodo.2603256): pandas HDF tables, one file per split."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.catalogue import TOP
from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian
from preprocessing import converted, pandas_table
from preprocessing.flat_hdf5 import require_classes
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.pandas_table import Table
from preprocessing.public_hdf5 import open_public
from preprocessing.sources import (
    SPLITS,
    RemoteFile,
    Shard,
    named,
    other_files_in,
    public_name,
    refuse_row,
    require_files,
    require_finite,
)

REMOTE = tuple(RemoteFile.zenodo(2603256, f"{split}.h5") for split in SPLITS)

KEY = "table"
SLOTS = 200
COLUMNS = (
    *(f"{name}_{slot}" for slot in range(SLOTS) for name in ("E", "PX", "PY", "PZ")),
    "truthE",
    "truthPX",
    "truthPY",
    "truthPZ",
    "ttv",
    "is_signal_new",
)
READ = (*COLUMNS[: 4 * SLOTS], COLUMNS[-1])


def shards(raw: Path) -> list[Shard]:
    """train.h5, val.h5 and test.h5 become one file each; converted files are read in their place.

    Raises UserError if there is none, or both kinds.
    """
    paths = named(raw, *(f"{split}.h5" for split in SPLITS))
    converted_shards = converted.shards(raw)
    converted.require_one_version(converted_shards, paths)
    if converted_shards:
        return converted_shards
    if not paths:
        raise UserError(
            f"{raw} holds none of train.h5, val.h5, test.h5 but {other_files_in(raw)}; get them "
            f"from {TOP.source}"
        )
    require_files(paths)
    return [Shard.whole(Path(public_name(path)).stem, 0, (path,)) for path in paths]


def open_table(file: h5py.File, path: Path) -> tuple[Table, list[int] | None]:
    """The public table, and the position of each of the columns READ; None for the public order.

    Other columns are ignored. A table without names is in the public order, and so are the numbers
    in place of names. Raises UserError if there is no table, a column that is read is missing among
    the names, or a table without them has not 806 columns.
    """
    table = pandas_table.open_table(file, path, TOP.name, KEY)
    names = tuple(table.names or ())
    position = {name: index for index, name in enumerate(names)}
    missing = [name for name in READ if name not in position]
    if not missing:
        return table, None if names == COLUMNS else [position[name] for name in READ]
    if not all(name.isdecimal() for name in names):
        raise UserError(
            f"{path}: the table {KEY!r} has no column {missing[0]} but {', '.join(names[:5])} ...; "
            f"name its columns as the public files of top do: {', '.join(READ[:4])} ... {READ[-1]}"
        )
    if table.width != len(COLUMNS):
        raise UserError(
            f"{path}: the table {KEY!r} has {table.width} columns, but the public "
            f"files of top have {len(COLUMNS)}"
        )
    order = sorted(range(len(names)), key=lambda index: int(names[index]))
    return table, [order[COLUMNS.index(name)] for name in READ] if names else None


def count(path: Path) -> int:
    """Jets in the file."""
    if converted.is_converted(path):
        return converted.count(path, TOP)
    with open_public(path) as file:
        return len(open_table(file, path)[0])


def read(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `chunk_rows` rows at a time; a jet is the sum of its constituents.

    Raises UserError on numbers that are not finite, labels other than 0 and 1, and columns whose
    energy is below the momentum.
    """
    if converted.is_converted(path):
        yield from converted.read(path, TOP, chunk_rows)
        return
    with open_public(path) as file:
        table, order = open_table(file, path)
        for first in range(0, len(table), chunk_rows):
            rows = table.read(first, min(first + chunk_rows, len(table)))
            yield chunk(rows if order is None else rows[:, order], path, first)


def chunk(table: np.ndarray, path: Path, first_row: int) -> JetChunk:
    """Rows (jets, 806) of the table, or (jets, 801) of the columns READ, as jets."""
    finite = np.isfinite(table).all(axis=0)
    finite[4 * SLOTS : -1] = True  # truth: not read
    for column in np.flatnonzero(~finite)[:1]:
        key = f"{KEY}/{READ[min(column, 4 * SLOTS)]}"
        require_finite(table[:, column], path, key, first_row)
    momenta = table[:, : 4 * SLOTS].reshape(-1, SLOTS, 4)[..., [1, 2, 3, 0]]  # E comes first
    real = (momenta[..., 0] != 0) | (momenta[..., 1] != 0)
    counts = real.sum(axis=1)
    flat = momenta[real]
    spacelike = flat[:, 3] ** 2 < 0.99 * (flat[:, :3] ** 2).sum(axis=1)
    bad = np.bincount(np.repeat(np.arange(len(table)), counts)[spacelike]) > 0
    problem = "a constituent has less energy than momentum"
    remedy = "the columns must be E, PX, PY, PZ for each constituent"
    refuse_row(bad, path, problem, first_row, remedy)
    label = table[:, -1]
    require_classes(label, TOP, path, COLUMNS[-1], first_row)
    return JetChunk(
        constituents=from_cartesian(flat),
        counts=counts,
        jet=from_cartesian((momenta * real[..., None]).sum(axis=1)),
        label=label.astype(np.int64),
        rows=first_row + np.arange(len(table)),
    )
