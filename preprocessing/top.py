"""Top tagging reference (doi 10.5281/zenodo.2603256): pandas HDF tables, one file per split.

Read with h5py alone: pandas and PyTables would unpickle the attributes of the file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.catalogue import TOP
from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian
from preprocessing.blosc import rows
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.sources import SPLITS, Shard, reading, require_files, require_finite

KEY = "table"
SLOTS = 200
COLUMNS = (
    *(f"{name}_{slot}" for slot in range(SLOTS) for name in ("E", "PX", "PY", "PZ")),
    "truthE", "truthPX", "truthPY", "truthPZ", "ttv", "is_signal_new",
)  # fmt: skip
COLUMN_NAME = re.compile(rb"(?:E|PX|PY|PZ)_\d+|truth(?:E|PX|PY|PZ)|ttv|is_signal_new")


def shards(raw: Path) -> list[Shard]:
    """train.h5, val.h5 and test.h5 become one file each."""
    found = [split for split in SPLITS if (raw / f"{split}.h5").is_file()]
    if not found:
        raise UserError(
            f"{raw} holds none of train.h5, val.h5, test.h5; get them from {TOP.source}"
        )
    require_files([raw / f"{split}.h5" for split in found])
    return [Shard(split, 0, (raw / f"{split}.h5",)) for split in found]


@dataclass
class Table:
    """The blocks of columns of a pandas frame, by row, and where each column of COLUMNS is."""

    blocks: list[tuple[h5py.Dataset, str | None]]  # dataset, and its field in a compound table
    order: list[int] | None  # of the columns of all blocks, None if they are in place

    @property
    def jets(self) -> int:
        return len(self.blocks[0][0])

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows first to last of all columns in public order: (rows, 806) float64."""
        table = np.empty((last - first, len(COLUMNS)))
        stop, stored = 0, {}
        for dataset, name in self.blocks:
            if dataset.name not in stored:
                stored[dataset.name] = rows(dataset, first, last)
            block = stored[dataset.name] if name is None else stored[dataset.name][name]
            start, stop = stop, stop + block.shape[1]
            table[:, start:stop] = block
        return table if self.order is None else table[:, self.order]


def open_table(file: h5py.File, path: Path) -> Table:
    """The table under the public key, in either of the two layouts pandas writes.

    Raises UserError if the key is missing or there are not 806 columns.
    """
    group = file.get(KEY)
    if not isinstance(group, h5py.Group):
        raise UserError(
            f"{path} has no pandas table under the key {KEY!r} but "
            f"{', '.join(file) or 'nothing'}; the public files of top have one"
        )
    if "table" in group:  # pandas format='table': one compound dataset
        dataset = group["table"]
        fields = sorted(name for name in dataset.dtype.names or () if "values_block" in name)
        blocks = [(dataset, name) for name in fields]
        widths = [int(np.prod(dataset.dtype[name].shape)) for name in fields]
        names = [dataset.attrs.get(f"{name}_kind", b"") for name in fields]
    else:  # pandas format='fixed': one dataset per block
        fields = sorted(name[: -len("_values")] for name in group if name.endswith("_values"))
        blocks = [(group[f"{name}_values"], None) for name in fields]
        widths = [dataset.shape[1] for dataset, _ in blocks]
        names = [b" ".join(rows(group[f"{name}_items"], 0, None).tolist()) for name in fields]
    if sum(widths) != len(COLUMNS):
        raise UserError(
            f"{path}: the table {KEY!r} has {sum(widths)} columns, but the public "
            f"files of top have {len(COLUMNS)}"
        )
    if len({len(dataset) for dataset, _ in blocks}) != 1:
        raise UserError(f"{path}: the columns of {KEY!r} have unequal lengths; download it again")
    if len(blocks[0][0]) == 0:
        raise UserError(f"{path} holds no jets; download it again")
    return Table(blocks, column_order(names))


def column_order(names: list[bytes]) -> list[int] | None:
    """Where each public column is, from the names pandas keeps as text; None if all are in place.

    The names are looked for in the bytes of the attribute, which is never unpickled. Without
    names the public order holds.
    """
    found = [name.decode() for block in names for name in COLUMN_NAME.findall(bytes(block))]
    if tuple(found) == COLUMNS or set(found) != set(COLUMNS):
        return None
    return [found.index(name) for name in COLUMNS]


def count(path: Path) -> int:
    """Jets in the file."""
    with reading(path), h5py.File(path, "r") as file:
        return open_table(file, path).jets


def read(path: Path) -> Iterator[JetChunk]:
    """The jets of one file, a stretch at a time; the jet is the sum of all its constituents.

    Raises UserError on numbers that are not finite, labels other than 0 and 1, and columns whose
    energy is below the momentum.
    """
    with reading(path), h5py.File(path, "r") as file:
        table = open_table(file, path)
        for first in range(0, table.jets, CHUNK_ROWS):
            yield chunk(table.read(first, min(first + CHUNK_ROWS, table.jets)), path, first)


def chunk(table: np.ndarray, path: Path, first_row: int) -> JetChunk:
    """Rows (jets, 806) of the table as jets."""
    for column in np.flatnonzero(~np.isfinite(table).all(axis=0))[:1]:
        require_finite(table[:, column], path, f"{KEY}/{COLUMNS[column]}", first_row)
    momenta = table[:, : 4 * SLOTS].reshape(-1, SLOTS, 4)[..., [1, 2, 3, 0]]  # E comes first
    real = (momenta[..., 0] != 0) | (momenta[..., 1] != 0)
    counts = real.sum(axis=1)
    flat = momenta[real]
    low = flat[:, 3] ** 2 < 0.99 * (flat[:, :3] ** 2).sum(axis=1)
    if low.any():
        row = int(np.searchsorted(np.cumsum(counts), np.argmax(low), side="right"))
        raise UserError(
            f"{path}: a constituent of jet {first_row + row} (counted from 0) has less energy than "
            "momentum; the columns must be E, PX, PY, PZ for each constituent"
        )
    label = table[:, -1]
    if not np.isin(label, (0, 1)).all():
        row = int(np.argmin(np.isin(label, (0, 1))))
        raise UserError(
            f"{path}: is_signal_new is {label[row]:g} in jet {first_row + row} (counted from 0), "
            "but it must be 0 or 1"
        )
    return JetChunk(
        constituents=from_cartesian(flat),
        counts=counts,
        jet=from_cartesian((momenta * real[..., None]).sum(axis=1)),
        label=label.astype(np.int64),
        first_row=first_row,
    )
