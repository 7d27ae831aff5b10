"""The heaps in which HDF5 keeps texts of any length, looked at before HDF5 reads them.

A heap is a row of objects, each with its size. HDF5 2.0 follows the sizes without a check: where
free space claims the size zero, as a damaged file may, it never comes back. Layout: "HDF5 File
Format Specification", version 3, section III.E (Global Heap).
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
BLOCK = 2**24  # bytes looked through at a time


def refuse_endless_heaps(file: h5py.File, path: Path | str | BinaryIO) -> None:
    """Raise OSError for a heap of the open file at `path` that HDF5 could not read to its end.

    The whole file is looked through, but only if it holds texts of any length that HDF5 would be
    asked for: those of our files are read from a copy.
    """
    if DIGEST in file.attrs or not has_heap_texts(file):
        return
    with ExitStack() as stack:
        content = stack.enter_context(open(path, "rb")) if isinstance(path, str | Path) else path
        for place in places_of(SIGNATURE, content):
            content.seek(place)
            if is_endless(content):
                raise OSError(f"the heap of texts at byte {place} has objects of impossible sizes")


def has_heap_texts(file: h5py.File) -> bool:
    """Whether an attribute or an array holds values of varying length."""
    types = []
    for item in items_of(file).values():
        types += [item.attrs.get_id(name).dtype for name in item.attrs]
        if isinstance(item, h5py.Dataset):
            types.append(item.dtype)
    return any(dtype.kind == "O" for dtype in types)


def places_of(pattern: bytes, content: BinaryIO) -> Iterator[int]:
    """Bytes from the start of the file at which the pattern begins."""
    first, rest = 0, b""
    content.seek(0)
    while block := content.read(BLOCK):
        after = content.tell()
        block = rest + block
        place = block.find(pattern)
        while place >= 0:
            yield first + place
            place = block.find(pattern, place + 1)
        rest = block[1 - len(pattern) :]
        first += len(block) - len(rest)
        content.seek(after)


def is_endless(content: BinaryIO) -> bool:
    """Whether the objects of the heap that begins here do not fill it step by step."""
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
