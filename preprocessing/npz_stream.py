"""Reads several arrays of an npz archive together, chunk by chunk.

`numpy.load` would hold whole arrays in memory. Arrays of Python objects are pickles and refused.
"""

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from omnilearn.errors import UserError
from preprocessing.jet_chunk import CHUNK_ROWS
from preprocessing.sources import reading

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
MOST_NUMBERS = 100_000  # per jet or event, since a chunk of rows is held in memory
PIECE_BYTES = 2**20  # decompressed at a time


@dataclass
class Member:
    """One array of the archive, opened after its header."""

    file: IO[bytes]
    dtype: np.dtype
    shape: tuple[int, ...]

    def read(self, rows: int) -> np.ndarray:
        """The next `rows` rows; raises EOFError where the archive ends early."""
        array = np.empty((rows, *self.shape[1:]), self.dtype)
        rest = array.data.cast("B") if array.size else memoryview(b"")
        while rest:
            piece = self.file.read(min(len(rest), PIECE_BYTES))
            if not piece:
                raise EOFError("the array ends too early")
            rest[: len(piece)] = piece
            rest = rest[len(piece) :]
        return array


class NpzRows:
    """The open arrays of one archive, of equal length; they are read once from front to back."""

    def __init__(self, members: dict[str, Member]):
        self.members = members
        self.shapes = {key: member.shape for key, member in members.items()}
        self.rows = next(iter(self.shapes.values()))[0]
        self._done = 0

    def read(self, rows: int) -> dict[str, np.ndarray]:
        """The next `rows` rows of every array, fewer at the end, in the stored number types."""
        rows = min(rows, self.rows - self._done)
        self._done += rows
        arrays = {key: member.read(rows) for key, member in self.members.items()}
        if self._done == self.rows:
            for member in self.members.values():
                member.file.read(1)  # at the end of a member, zipfile compares the checksum
        return arrays

    def chunks(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """The rest of the rows, `chunk_rows` at a time: number of the first row, arrays."""
        while self._done < self.rows:
            first = self._done
            yield first, self.read(chunk_rows)


@contextmanager
def open_npz(path: Path, keys: tuple[str, ...], title: str, row: str = "jet") -> Iterator[NpzRows]:
    """The checked arrays `keys`; within the block, damage of the file raises UserError.

    Raises UserError naming file and key for a missing array, one of objects or text, arrays of
    unequal lengths, and a file of no rows; `title` is the dataset's and `row` the word for a row,
    for the message.
    """
    with reading(path), zipfile.ZipFile(path) as archive, ExitStack() as stack:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
        members = {}
        for key in keys:
            if key not in names:
                raise UserError(
                    f"{path} has no array {key} but {', '.join(sorted(names)) or 'nothing'}; "
                    f"is this a file of {title}?"
                )
            info = archive.getinfo(f"{key}.npy")
            members[key] = open_member(stack.enter_context(archive.open(info)), info, path, key)
        rows = {key: member.shape[0] for key, member in members.items()}
        for key in keys:
            if rows[key] != rows[keys[0]]:
                raise UserError(
                    f"{path}: {key} has {rows[key]} rows, but {keys[0]} has {rows[keys[0]]}; "
                    "download it again"
                )
        if rows[keys[0]] == 0:
            raise UserError(f"{path} holds no {row}s; download it again")
        yield NpzRows(members)


def open_member(file: IO[bytes], info: zipfile.ZipInfo, path: Path, key: str) -> Member:
    """The array that begins at the position of `file`; raises UserError as `open_npz` does."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise UserError(f"{path}: {key} is of an unknown npy version; save it again with NumPy")
    shape, is_fortran, dtype = HEADERS[version](file)
    if dtype.kind not in "biuf":
        raise UserError(
            f"{path}: {key} holds {dtype} and no plain numbers; it is never unpickled, save it as "
            "a padded array of floats"
        )
    if not shape or (is_fortran and len(shape) > 1):
        raise UserError(f"{path}: {key} is not stored row by row; save it in C order")
    if info.file_size != file.tell() + prod(shape) * dtype.itemsize:
        # a damaged shape; memory would be allocated for it
        raise UserError(
            f"{path}: {key} claims shape {shape}, which {info.file_size} bytes do not hold; "
            "it is damaged, download it again"
        )
    if prod(shape[1:]) > MOST_NUMBERS:
        raise UserError(
            f"{path}: {key} claims {prod(shape[1:])} numbers per jet, expected {MOST_NUMBERS} at "
            "most; is this another file?"
        )
    return Member(file, dtype, shape)
