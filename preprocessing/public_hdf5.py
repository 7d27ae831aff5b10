"""Public HDF5 files, also those that are gzip-compressed as a whole (.h5.gz).

The first bytes decide, since browsers decompress a download and keep its name, or the reverse. HDF5
needs random access, which gzip has not: the content goes to a temporary file in $TMPDIR, which has
no name, so that it disappears with the process.
"""

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py

from omnilearn.errors import DISK_ERRORS, UserError
from omnilearn.file_kinds import HDF5, recognised
from omnilearn.hdf5 import open_for_reading
from preprocessing.sources import reading

MAGIC = b"\x1f\x8b"  # first bytes of gzip
BLOCK = 2**20  # bytes decompressed at a time

# the last decompressed file, since a file is opened several times in turn
_decompressed: dict[tuple, BinaryIO] = {}


@contextmanager
def open_public(path: Path, **options) -> Iterator[h5py.File]:
    """The open file; `options` as for h5py. Damage, also within the block, raises UserError."""
    with reading(path), open_for_reading(uncompressed(path), **options) as file:
        yield file


def uncompressed(path: Path) -> Path | BinaryIO:
    """`path` itself, or the content of a gzip file, open until another one is decompressed.

    Raises UserError if there is no room for the content, and what gzip raises on a damaged file.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return path
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _decompressed:
        while _decompressed:
            _decompressed.popitem()[1].close()
        _decompressed[key] = decompress(path)
    return _decompressed[key]


def decompress(path: Path) -> BinaryIO:
    """The content of a compressed file in a temporary file; raises as `uncompressed` does, and
    UserError for a content that is of another kind, such as a file compressed twice."""
    with ExitStack() as stack:
        content = stack.enter_context(tempfile.TemporaryFile())
        try:
            with gzip.open(path) as compressed:
                shutil.copyfileobj(compressed, content, BLOCK)
            content.flush()
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            raise UserError(
                f"{path} cannot be unpacked into {tempfile.gettempdir()}: "
                f"{DISK_ERRORS[error.errno]}; make room or set TMPDIR to a larger folder"
            ) from error
        found, _ = recognised(f"/dev/fd/{content.fileno()}")
        if found not in ("", HDF5):
            raise UserError(
                f"{path} is compressed with gzip and holds, unpacked, {found}; "
                f"expected {HDF5}; unpack it by hand, or download it again"
            )
        stack.pop_all()  # leaves the file open
    return content
