"""Check of the heaps in which HDF5 keeps texts of variable length, before HDF5 reads them.

A heap is a sequence of objects, each with its size. HDF5 2.0 follows the sizes without a check: if
free space has size zero, as in a damaged file, it does not return. Layout: "HDF5 File Format
Specification", version 3, section III.E (Global Heap).
"""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import h5py

from omnilearn.hdf5_sums import DIGEST, items_of

SIGNATURE = b"GCOL\x01\x00\x00\x00"  # version 1, and three reserved bytes
HEADER = struct.Struct("<8sQ")  # signature, bytes of the heap with this header
OBJECT = struct.Struct("<HH4xQ")  # index (0: free space), references, size
BUFFER_BYTES = 2**24  # searched at a time


def refuse_endless_heaps(file: h5py.File, path: Path | str | BinaryIO) -> None:
    """Raise OSError for a heap of the open file at `path` that HDF5 could not read to its end.

    The whole file is searched, but only if HDF5 would read texts of variable length from it; those
    of our files are read from a copy.
    """
    if DIGEST in file.attrs or not has_heap_texts(file):
        return
    with ExitStack() as stack:
        content = stack.enter_context(open(path, "rb")) if isinstance(path, str | Path) else path
        for offset in offsets_of(SIGNATURE, content):
            content.seek(offset)
            if is_endless(content):
                raise OSError(f"the heap of texts at byte {offset} has objects of impossible sizes")


def has_heap_texts(file: h5py.File) -> bool:
    """Whether an attribute or an array holds values of varying length."""
    types = []
    for item in items_of(file).values():
        types += [item.attrs.get_id(name).dtype for name in item.attrs]
        if isinstance(item, h5py.Dataset):
            types.append(item.dtype)
    return any(dtype.kind == "O" for dtype in types)


def offsets_of(pattern: bytes, content: BinaryIO) -> Iterator[int]:
    """Offsets in the file at which the pattern begins."""
    first, rest = 0, b""
    content.seek(0)
    while buffer := content.read(BUFFER_BYTES):
        end = content.tell()
        buffer = rest + buffer
        offset = buffer.find(pattern)
        while offset >= 0:
            yield first + offset
            offset = buffer.find(pattern, offset + 1)
        rest = buffer[1 - len(pattern) :]
        first += len(buffer) - len(rest)
        content.seek(end)


def is_endless(content: BinaryIO) -> bool:
    """Whether an object of the heap that begins here has a size with which it cannot be read."""
    header = content.read(HEADER.size)
    if len(header) < HEADER.size:
        return False  # the end of the file: HDF5 refuses it
    _, left = HEADER.unpack(header)
    left -= HEADER.size
    while left >= OBJECT.size:
        entry = content.read(OBJECT.size)
        if len(entry) < OBJECT.size:
            return False
        index, _, size = OBJECT.unpack(entry)
        step = OBJECT.size + (size + 7) // 8 * 8 if index else size
        if step < OBJECT.size or step > left:
            return True
        content.seek(step - OBJECT.size, 1)
        left -= step
    return False
