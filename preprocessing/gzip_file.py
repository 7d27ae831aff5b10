"""HDF5 files that are published compressed as a whole (.h5.gz): unpacked to a nameless file.

HDF5 jumps to and fro in a file, gzip cannot: the content lies in the folder for temporary files
($TMPDIR) while it is read, never in memory, and is gone when the process ends, however it ends.
"""

import gzip
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from omnilearn.errors import DISK_ERRORS, UserError

SUFFIX = ".gz"
BLOCK = 2**20  # bytes held at a time


_held: dict[tuple, BinaryIO] = {}  # one file, which is counted, looked at and read in turn


def plain(path: Path) -> Path | BinaryIO:
    """What h5py.File can open: `path` itself, or the content of a compressed file, which is open
    until that of another one is asked for.

    Raises UserError if there is no room for the content, and what gzip raises on a damaged file.
    """
    if path.suffix != SUFFIX:
        return path
    stat = path.stat()
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _held:
        while _held:
            _held.popitem()[1].close()
        _held[key] = unpacked(path)
    return _held[key]


def unpacked(path: Path) -> BinaryIO:
    """The content of a compressed file, in a file without a name; raises as `plain` does."""
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
        stack.pop_all()  # it stays open
    return content
