"""Rows of HDF5 datasets that may be compressed with Blosc, which pandas offers and h5py lacks."""

import itertools

import blosc2
import h5py
import numpy as np

from omnilearn.errors import UserError

BLOSC_FILTER = 32001


def rows(dataset: h5py.Dataset, first: int, last: int | None) -> np.ndarray:
    """dataset[first:last], whether or not its chunks are compressed with Blosc.

    Raises UserError for other compressions that HDF5 cannot undo by itself.
    """
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if filters != [BLOSC_FILTER]:
        for unknown in [code for code in filters if not h5py.h5z.filter_avail(code)]:
            raise UserError(
                f"{dataset.file.filename}: {dataset.name} is compressed with HDF5 filter "
                f"{unknown}, which cannot be read here; repack the file with: "
                "ptrepack --complib zlib --complevel 1 OLD.h5 NEW.h5"
            )
        return dataset[first:last]
    first, last, _ = slice(first, last).indices(len(dataset))
    result = np.empty((last - first, *dataset.shape[1:]), dataset.dtype)
    starts = [range(first - first % dataset.chunks[0], last, dataset.chunks[0])]
    starts += [
        range(0, length, step)
        for length, step in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
    ]
    for start in itertools.product(*starts):
        block = read_chunk(dataset, start)
        skip = max(0, first - start[0])  # rows of the first chunk before the wanted ones
        block = block[skip : last - start[0]]
        inside = tuple(
            slice(at, at + step) for at, step in zip(start[1:], block.shape[1:], strict=True)
        )
        target = result[
            (slice(start[0] + skip - first, start[0] + skip - first + len(block)), *inside)
        ]
        target[...] = block[(slice(None), *(slice(length) for length in target.shape[1:]))]
    return result


def read_chunk(dataset: h5py.Dataset, start: tuple[int, ...]) -> np.ndarray:
    """One chunk, decompressed; edge chunks are full-sized as they are stored."""
    filter_mask, stored = dataset.id.read_direct_chunk(start)
    # a set bit says that the filter was skipped for this chunk
    content = stored if filter_mask & 1 else blosc2.decompress(stored)
    return np.frombuffer(content, dataset.dtype).reshape(dataset.chunks)
