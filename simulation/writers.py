"""Writers of the public formats: ROOT trees, flat HDF5, npz archives, pandas stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import uproot

from omnilearn.hdf5 import new_file

ROWS_PER_CHUNK = 1000
MEMORY_STEP = 2**24  # bytes by which a pandas store grows in memory


def slots(values: ak.Array, count: int) -> np.ndarray:
    """Jagged values as (jets, count): the first ones of each jet, padded with zeros."""
    return ak.to_numpy(ak.fill_none(ak.pad_none(values, count, clip=True), 0))


def typed(columns: dict[str, ak.Array], dtype: type) -> dict[str, ak.Array]:
    """The columns in this number type."""
    return {name: ak.values_astype(values, dtype) for name, values in columns.items()}


class TreeWriter:
    """A tree of an open ROOT file, created with the first chunk; `name` may contain a folder."""

    def __init__(self, file: uproot.WritableDirectory, name: str):
        self.file, self.name = file, name
        self.tree: uproot.WritableTree | None = None

    def append(self, chunk: dict[str, ak.Array]) -> None:
        if self.tree is None:
            self.tree = self.file.mktree(
                self.name,
                {
                    name: values.dtype if isinstance(values, np.ndarray) else values.type.content
                    for name, values in chunk.items()
                },
            )
        self.tree.extend(chunk)


@contextmanager
def root_tree(path: Path, name: str) -> Iterator[TreeWriter]:
    """A ROOT file with one tree called `name`, compressed."""
    with uproot.recreate(path, compression=uproot.ZLIB(4)) as file:
        yield TreeWriter(file, name)


def padded(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays, padded with zeros to the same length along axis 1."""
    if arrays[0].ndim < 2:
        return arrays
    longest = max(array.shape[1] for array in arrays)
    return [
        np.pad(array, [(0, 0), (0, longest - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
        for array in arrays
    ]


@contextmanager
def npz(path: Path) -> Iterator[list[dict[str, np.ndarray]]]:
    """A compressed npz archive of the arrays of all chunks, held in memory until the end.

    Arrays are padded with zeros along axis 1 where it differs.
    """
    chunks: list[dict[str, np.ndarray]] = []
    yield chunks
    arrays = {name: np.concatenate(padded([chunk[name] for chunk in chunks])) for name in chunks[0]}
    with path.open("wb") as file:  # NumPy would append .npz to a path without it
        np.savez_compressed(file, **arrays)


class HDF5Writer:
    """Datasets of an open HDF5 file that grow along axis 0, created with the first chunk."""

    def __init__(self, file: h5py.File):
        self.file = file

    def append(self, chunk: dict[str, np.ndarray]) -> None:
        for name, values in chunk.items():
            if name not in self.file:
                shape = (0, *values.shape[1:])
                self.file.create_dataset(
                    name,
                    shape,
                    values.dtype,
                    maxshape=(None, *shape[1:]),
                    chunks=(ROWS_PER_CHUNK, *shape[1:]),
                    compression="gzip",
                    compression_opts=1,
                )
            stored = self.file[name]
            stored.resize(len(stored) + len(values), axis=0)
            stored[len(stored) - len(values) :] = values


@contextmanager
def hdf5(path: Path, attributes: dict | None = None) -> Iterator[HDF5Writer]:
    """A flat HDF5 file with these attributes."""
    with new_file(path) as file:
        file.attrs.update(attributes or {})
        yield HDF5Writer(file)


@contextmanager
def pandas_store(path: Path) -> Iterator[pd.HDFStore]:
    """A new compressed HDF store, held in memory and written at the end.

    A full disk is then an OSError, while PyTables on the disk itself would lose rows in silence.
    """
    with pd.HDFStore(
        path,
        mode="w",
        complevel=5,
        complib="blosc",
        driver="H5FD_CORE",
        driver_core_backing_store=0,
        driver_core_increment=MEMORY_STEP,
    ) as store:
        yield store
        store.flush()
        path.write_bytes(store.root._v_file.get_file_image())
