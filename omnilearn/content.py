"""Digests of the content of HDF5 files, by which damage and changes are noticed.

A file of ours carries the digest of all its arrays and attributes, computed while it is written.
"""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from omnilearn.hdf5_sums import attributes

DIGEST = "content_digest"  # the attribute that carries it
BUFFER_BYTES = 2**23  # read at a time
NARROW = 64  # bytes per row up to which `content` reads all of an array: labels, weights, jets
SAMPLES, ROWS_PER_SAMPLE = 4, 64  # evenly spread over any other array


def hashed(*parts: bytes | np.ndarray) -> str:
    """BLAKE2b of the parts, 32 characters; arrays by their bytes."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return state.hexdigest()


class ContentDigest:
    """The digest of arrays whose rows are added buffer by buffer; memory does not grow."""

    def __init__(self):
        self.arrays: dict[str, hashlib.blake2b] = {}

    def add(self, name: str, rows: np.ndarray) -> None:
        """The next rows of an array, in the type in which they are stored."""
        if name not in self.arrays:
            kind = f"{rows.dtype.str} {rows.shape[1:]}".encode()
            self.arrays[name] = hashlib.blake2b(kind, digest_size=16)
        self.arrays[name].update(np.ascontiguousarray(rows).data)

    def of(self, file: h5py.File) -> str:
        """The digest of the arrays so far and of the attributes of `file`."""
        arrays = {name: state.hexdigest() for name, state in self.arrays.items()}
        texts = {"": json_attributes(file)} | {name: json_attributes(file[name]) for name in arrays}
        return hashed(json.dumps([arrays, texts], sort_keys=True).encode())


def json_attributes(item: h5py.HLObject) -> dict:
    """Attributes as JSON can hold them, without the digest itself."""
    return {
        name: np.asarray(value).tolist()
        for name, value in attributes(item).items()
        if name != DIGEST
    }


def arrays_of(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The arrays of numbers in a file, by name."""
    arrays = ((name, item) for name, item in sorted(file.items()) if isinstance(item, h5py.Dataset))
    return {name: item for name, item in arrays if item.ndim and item.dtype.kind in "biuf"}


def buffer_rows(array: h5py.Dataset) -> int:
    """Rows to read at a time, whole chunks of them."""
    chunk = array.chunks[0] if array.chunks else 1
    row_bytes = max(1, array.dtype.itemsize * int(np.prod(array.shape[1:])))
    return max(1, BUFFER_BYTES // (chunk * row_bytes)) * chunk


def is_as_written(path: Path, advance: Callable[[int], object] = lambda size: None) -> bool:
    """Whether a file of ours has the content that was written; False where it has no digest.

    `advance` is called with the approximate bytes of the file as they are read.
    """
    try:
        with open_for_reading(path) as file:
            stored = attributes(file).get(DIGEST)
            if not stored:
                return False
            digest, arrays = ContentDigest(), arrays_of(file)
            size, total = path.stat().st_size, sum(item.nbytes for item in arrays.values())
            for name, array in arrays.items():
                step = buffer_rows(array)
                digest.add(name, array[:0])
                for first in range(0, len(array), step):
                    rows = array[first : first + step]
                    digest.add(name, rows)
                    advance(round(size * rows.nbytes / total))
            return digest.of(file) == stored
    except UserError:  # of a sound file that cannot be read now: a lock, no permission
        raise
    except Exception:  # a flipped bit makes HDF5 and h5py raise almost any kind
        return False


def content(path: Path) -> str:
    """A cheap digest of a file of jets: its stored digest where it has one, all labels, weights,
    multiplicities and jets, and samples of everything else.

    A value changed in place under an old digest is noticed in the small arrays, and a change of
    many constituents most likely too. Raises OSError and UserError as `open_for_reading`.
    """
    stat = Path(path).stat()
    return _content(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _content(path: str, size: int, _modified: int) -> str:
    digest = ContentDigest()
    with open_for_reading(path) as file:
        stored = attributes(file).get(DIGEST) or f"{size} bytes"
        for name, array in arrays_of(file).items():
            digest.add(name, array[:0])
            row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
            if row_bytes <= NARROW:
                step = buffer_rows(array)
                firsts = range(0, len(array), step)
            else:
                step = ROWS_PER_SAMPLE
                firsts = np.unique(np.linspace(0, len(array) - 1, SAMPLES).astype(int))
            for first in firsts:
                digest.add(name, array[first : first + step])
        arrays = [f"{name} {state.hexdigest()}" for name, state in digest.arrays.items()]
    return hashed(str(stored).encode(), "\n".join(arrays).encode())
