"""HDF5 files are opened here alone: reading needs no lock, files are written whole or not at all.

Clusters mount disks that know no locks, and a notebook that holds a file open is no reason to call
it damaged: where a lock cannot be had, the file is read without one. Blosc, bzip2, Zstandard and
the other registered compressions are those of hdf5plugin. A file is read only if all of it is in
the file: it cannot show what lies elsewhere.
"""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import hdf5plugin  # noqa: F401 - h5py knows its filters once it is imported
import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError

NOT_READ = "such a file is not read, copy the content into one file"


def open_for_reading(path: Path | str | BinaryIO, **options) -> h5py.File:
    """The open file, a context manager; `options` are those of h5py.File.

    `path` may be an open binary file, whose content is read. Raises OSError for a file that is not
    there or damaged, and UserError for a sound file that cannot be read: a lock, another program
    that is writing it, no permission, content or compressions that are not in the file or not
    installed.
    """
    try:
        try:
            # as any other reader in this process does: HDF5 opens no file twice in two ways
            file = h5py.File(path, "r", **options)
        except OSError as error:
            if "lock" not in str(error):
                raise
            file = h5py.File(path, "r", locking=False, **options)
    except OSError as error:
        is_path = isinstance(path, str | os.PathLike)
        if is_path and os.path.islink(path) and not os.path.exists(path):
            raise UserError(f"{path} is a link to {os.readlink(path)}, which is gone") from error
        if reason := obstacle(error):
            raise UserError(f"{path} {reason}") from error
        raise
    try:
        insist_on_own_content(file, path)
    except UserError:
        file.close()
        raise
    except Exception as error:  # a flipped bit makes HDF5 and h5py raise almost any kind
        file.close()
        raise OSError(f"the keys cannot be listed: {error}") from error
    return file


def obstacle(error: OSError) -> str | None:
    """Why a file that may be sound was not opened, and what helps; None for a damaged one."""
    if "unable to lock file" in str(error):
        return (
            "is locked: another program has it open for writing, or its disk knows no locks, and "
            "the environment variable HDF5_USE_FILE_LOCKING asks for them; unset it, or close the "
            "file there"
        )
    if "already open for write" in str(error):
        return (
            "is being written by another program, or was when that one died; wait for it, or "
            "repair the file with: h5clear --status FILE"
        )
    if not error.errno or error.errno in (errno.ENOENT, errno.EISDIR, errno.EINVAL):
        return None
    return f"cannot be opened ({os.strerror(error.errno)}); it was left as it is"


def insist_on_own_content(file: h5py.File, path: Path | str) -> None:
    """Raise UserError naming the first key of an open file that cannot be read from it alone."""

    def look(name: str, link) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            return f"{name!r} is a link to {link.filename}; {NOT_READ}"
        if isinstance(link, h5py.HardLink):
            item = file[name]
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                return f"the numbers of {name!r} lie in other files; {NOT_READ}"
            if isinstance(item, h5py.Dataset) and (code := unknown_filter(item)):
                return (
                    f"{name!r} is compressed with HDF5 filter {code}, which cannot be undone here "
                    "(hdf5plugin has others); repack the file where it was made, with: "
                    "ptrepack --complib zlib --complevel 1 OLD.h5 NEW.h5"
                )
        return None

    found = file.visititems_links(look)
    if found:
        raise UserError(f"{path}: {found}")


def unknown_filter(dataset: h5py.Dataset) -> str:
    """Number (and name) of the first filter of stored numbers that nothing here can undo."""
    made = dataset.id.get_create_plist()
    for place in range(made.get_nfilters()):
        code, _, _, name = made.get_filter(place)
        if h5py.h5z.filter_avail(code) or not dataset.id.get_num_chunks():
            continue
        # a set bit says that the filter was left out, as an optional one may be
        if not dataset.id.get_chunk_info(0).filter_mask & (1 << place):
            return f"{code} ({name.decode(errors='replace')})" if name else str(code)
    return ""


def attributes(item: h5py.HLObject) -> dict:
    """Attributes by name; text that was stored as bytes, alone or in arrays, as text."""
    return {name: as_text(value) for name, value in item.attrs.items()}


def as_text(value):
    """Bytes as text, arrays of bytes as arrays of text, anything else as it is."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        texts = [as_text(one) for one in value.ravel()]
        return np.array(texts, object).reshape(value.shape)
    return value


class Sink(io.FileIO):
    """The file below HDF5, which must not see a full disk: it crashes when it cannot write."""

    def __init__(self, path: Path):
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data) -> int:
        """Write all of `data`; after a first failure nothing more, `check` tells."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = error
        return size

    def check(self) -> None:
        """Raise the OSError that kept something from being written."""
        if self.error is not None:
            raise self.error


def written_to(target: BinaryIO, **options) -> h5py.File:
    """A new HDF5 file in memory or in a `Sink`, a context manager; no lock is asked for."""
    return h5py.File(target, "w", **options)


@contextmanager
def new_file(path: Path | str, **options) -> Iterator[h5py.File]:
    """A new file at `path`; raises OSError, not a crash of HDF5, when the disk is full."""
    with Sink(path) as sink:
        with written_to(sink, **options) as file:
            yield file
        sink.check()


@contextmanager
def atomic_file(path: Path | str, **options) -> Iterator[h5py.File]:
    """A new file that appears at `path` whole when the block ends, or not at all."""
    with atomic_path(path) as temporary, new_file(temporary, **options) as file:
        yield file
