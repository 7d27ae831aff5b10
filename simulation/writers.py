"""The containers of public files: ROOT trees, flat HDF5, npz archives; filled chunk by chunk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import uproot

from omnilearn.hdf5 import new_file

ROWS_PER_CHUNK = 1000


def slots(values: ak.Array, number: int) -> np.ndarray:
    """Jagged values as (jets, number): the first ones of each jet, zeros behind."""
    return ak.to_numpy(ak.fill_none(ak.pad_none(values, number, clip=True), 0))


class TreeWriter:
    """A tree of an open ROOT file, made by the first chunk; `name` may hold a folder."""

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


class ArrayWriter:
    """Arrays of equal names in every chunk, put one behind the other along axis 0."""

    def __init__(self):
        self.chunks: list[dict[str, np.ndarray]] = []

    def append(self, chunk: dict[str, np.ndarray]) -> None:
        self.chunks.append(chunk)

    def arrays(self) -> dict[str, np.ndarray]:
        """All chunks together; axis 1 is filled up with zeros where it differs."""
        return {
            name: np.concatenate(filled_up([chunk[name] for chunk in self.chunks]))
            for name in self.chunks[0]
        }


def filled_up(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays with zeros behind axis 1, so that all have the longest one's length."""
    if arrays[0].ndim < 2:
        return arrays
    longest = max(array.shape[1] for array in arrays)
    return [
        np.pad(array, [(0, 0), (0, longest - array.shape[1])] + [(0, 0)] * (array.ndim - 2))
        for array in arrays
    ]


@contextmanager
def npz(path: Path) -> Iterator[ArrayWriter]:
    """A compressed npz archive; the sample of one file is held in memory, as its readers do."""
    writer = ArrayWriter()
    yield writer
    with path.open("wb") as file:  # a path without .npz would get that ending
        np.savez_compressed(file, **writer.arrays())


class HDF5Writer:
    """Datasets of an open HDF5 file that grow along axis 0, made by the first chunk."""

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
