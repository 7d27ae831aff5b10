"""HDF5 files of plain columns: one dataset per quantity, one row per jet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from preprocessing.public_hdf5 import open_public
from preprocessing.sources import refuse_row

# the chunks of a reader need not agree with the stored ones: a stored chunk shared by two reads is
# decompressed once
CHUNK_CACHE: dict[str, Any] = {"rdcc_nbytes": 2**25, "rdcc_nslots": 10_007}


@dataclass(frozen=True)
class Column:
    """One dataset of a public file: its possible keys, of which the first present is read."""

    keys: tuple[str, ...]
    shape: tuple[int, ...] = ()  # of one row


@dataclass
class Columns:
    """The columns of an open file, by the names in the reader's layout."""

    datasets: dict[str, h5py.Dataset]
    path: Path

    @property
    def rows(self) -> int:
        return len(next(iter(self.datasets.values())))

    def key(self, name: str) -> str:
        """The key of a column in this file."""
        return self.datasets[name].name.removeprefix("/")

    def chunks(self, chunk_rows: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """The file, `chunk_rows` rows at a time: number of the first row, columns as stored."""
        for first in range(0, self.rows, chunk_rows):
            rows = slice(first, first + chunk_rows)
            yield first, {name: column[rows] for name, column in self.datasets.items()}


@contextmanager
def open_columns(path: Path, layout: dict[str, Column], title: str) -> Iterator[Columns]:
    """The checked columns of `layout`; within the block, damage of the file raises UserError.

    Raises UserError naming file and key for a missing or differently shaped column, columns of
    unequal lengths, and a file of no jets; `title` is the dataset's, for the message.
    """
    with open_public(path, **CHUNK_CACHE) as file:
        datasets = {name: find(file, column, path, title) for name, column in layout.items()}
        columns = Columns(datasets, path)
        for name, dataset in datasets.items():
            if len(dataset) != columns.rows:
                first = next(iter(datasets))
                raise UserError(
                    f"{path}: {columns.key(name)} has {len(dataset)} rows, but "
                    f"{columns.key(first)} has {columns.rows}; download it again"
                )
        if columns.rows == 0:
            raise UserError(f"{path} holds no jets; download it again")
        yield columns


def find(file: h5py.File, column: Column, path: Path, title: str) -> h5py.Dataset:
    """The dataset of one column; raises UserError if it is missing or has another shape or type."""
    key = next((key for key in column.keys if key in file), None)
    if key is None:
        raise UserError(
            f"{path} has no {' or '.join(column.keys)} but {', '.join(file) or 'nothing'}; "
            f"is this a file of {title}?"
        )
    dataset = file.get(key)  # None for a link within the file whose target is gone
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "biuf":
        found = "a link to nothing" if dataset is None else getattr(dataset, "dtype", "a group")
        raise UserError(f"{path}: {key} holds no numbers but {found}; is this a file of {title}?")
    if dataset.ndim == 0 or dataset.shape[1:] != column.shape:
        expected = " x ".join(["jets", *map(str, column.shape)])
        raise UserError(
            f"{path}: {key} has shape {dataset.shape}, but files of {title} have ({expected}); "
            "write it again in that shape, or download it again"
        )
    return dataset


def require_classes(
    labels: np.ndarray, spec: DatasetSpec, path: Path, key: str, first_row: int, row: str = "jet"
) -> None:
    """Raise UserError for the first of the labels (rows,) that is no class number."""
    invalid = ~np.isin(labels, range(spec.num_classes))
    if invalid.any():
        problem = f"{key} is {labels[np.argmax(invalid)]:g}"
        remedy = f"{spec.title} has the classes 0-{spec.num_classes - 1}"
        refuse_row(invalid, path, problem, first_row, remedy, row)
