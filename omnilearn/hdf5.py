"""The only module that opens HDF5 files: read without locks, written whole or not at all.

Every chunk we write carries a Fletcher-32 sum over its compressed bytes, the structure of the file
the sums of HDF5 1.10, and digests cover the rest: attributes, single values, unchunked arrays.
Damage is noticed when it is read. Files without sums, public ones and older ones, are read too.
HDF5 stores text attributes without sums; of our own files we read the copy beside the digests.

Some cluster disks support no locks, and a notebook may hold a file open: where a lock is refused,
the file is read without one. hdf5plugin reads Blosc, bzip2, Zstandard and other registered
compressions. Links to other files and data outside the file are refused.
"""

import errno
import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import hdf5plugin  # noqa: F401 - registers its filters with h5py
import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError, broken_link
from omnilearn.file_kinds import HDF5, recognised
from omnilearn.hdf5_heap import refuse_endless_heaps
from omnilearn.hdf5_sums import DIGEST, attributes, changed_keys, of_fixed_length, write_record

SUMMED_LAYOUT = {"libver": ("v110", "v110")}  # the oldest whose headers and indices carry sums
COMPRESSED = {"compression": "gzip", "compression_opts": 1}  # a zeroed chunk fails to decompress
MOST_COMPRESSION = 1032  # largest ratio that zlib reaches
SMALL = 2**28  # bytes that a chunked array may claim in any file: Zstandard, bzip2 and Blosc pack
# zeros to a hundred-thousandth, and a chunk may be larger than its array
SLACK = 4096  # bytes that a file of headers alone may claim beyond its size
NOT_READ = "such a file is not read, copy the content into one file"


def open_for_reading(path: Path | str | BinaryIO, checked: bool = False, **options) -> h5py.File:
    """The open file, a context manager; `options` are those of h5py.File.

    `path` may be an open binary file. checked: this process has checked the structure of the same
    file before and does not check it again. Raises OSError for a file that is missing or damaged,
    and UserError for a sound file that cannot be read: it is locked, being written, or not
    permitted, has content in other files, or needs a compression that is not installed.
    """
    try:
        try:
            # with locking as other readers in this process: HDF5 refuses to open a file both ways
            file = h5py.File(path, "r", **options)
        except OSError as error:
            if "lock" not in str(error):
                raise
            file = h5py.File(path, "r", locking=False, **options)
    except OSError as error:
        if isinstance(path, str | Path) and (link := broken_link(path)):
            raise UserError(f"{path} is {link}") from error
        if reason := obstacle(error):
            raise UserError(f"{path} {reason}") from error
        raise
    if checked:
        return file
    try:
        refuse_external_links(file, path)
        refuse_endless_heaps(file, path)
        changed = changed_keys(file)
    except UserError:
        file.close()
        raise
    except Exception as error:  # a flipped bit makes HDF5 and h5py raise almost any kind
        file.close()
        raise OSError(f"it is damaged: {error}") from error
    if changed:
        file.close()
        raise OSError(
            f"{changed[0]} is not as it was written: it is damaged, or was changed later; after "
            f"an intended change, delete the attribute {DIGEST!r} of the file"
        )
    return file


@contextmanager
def stored_file(path: Path | str, kind: str, mend: str) -> Iterator[h5py.File]:
    """The open file, a context manager; any error within the block becomes a UserError.

    kind: of the expected file, in words; mend: what helps. HDF5, h5py and zlib raise almost any
    exception for a damaged file. A file of another kind is named with what helps there.
    """
    try:
        with open_for_reading(path) as file:
            yield file
    except UserError:
        raise
    except Exception as error:
        found, helps = recognised(path)
        if found and found != HDF5:
            raise UserError(f"{path} is {found}; expected {kind}; {helps}") from error
        raise UserError(f"{path} cannot be read as {kind} ({error}); {mend}") from error


def array(file: h5py.File, key: str) -> np.ndarray:
    """Numbers or text under a key.

    bfloat16, which Keras stores as opaque bytes with the attribute `dtype`, becomes float32. Raises
    UserError for another type, and OSError naming the key for damage.
    """
    if not isinstance(item := file.get(key), h5py.Dataset):
        raise OSError(f"no {key!r} among its keys: {', '.join(file) or 'none'}")
    try:
        is_bfloat16 = item.dtype == "V2" and attributes(item).get("dtype") == "bfloat16"
        values = item[()] if item.dtype.kind in "biufSO" or is_bfloat16 else None
    except Exception as error:
        raise OSError(f"{key!r} cannot be read: {error}") from error
    if values is None:
        raise UserError(
            f"{file.filename}: {key!r} holds {item.dtype}, expected numbers or text; write it "
            "again as float32"
        )
    if is_bfloat16:  # the first half of the bytes of float32
        values = (np.asarray(values).view("<u2").astype("u4") << 16).view("f4")
    return values


def stamp(path: Path) -> tuple[int, ...]:
    """Inode, size and times of a file, which change with its content; empty if it is missing."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def obstacle(error: OSError) -> str | None:
    """Why a file that may be sound was not opened, and what helps; None for a damaged one."""
    if "unable to lock file" in str(error):
        return (
            "is locked: another program has it open for writing, or its disk supports no locks "
            "and the environment variable HDF5_USE_FILE_LOCKING requires them; unset it, or close "
            "the file there"
        )
    if "already open for write" in str(error):
        return (
            "is being written by another program, or was when that one died; wait for it, or "
            "repair the file with: h5clear --status FILE"
        )
    if not error.errno or error.errno in (errno.ENOENT, errno.EISDIR, errno.EINVAL):
        return None
    return f"cannot be opened ({os.strerror(error.errno)}); it was left as it is"


def refuse_external_links(file: h5py.File, path: Path | str | BinaryIO) -> None:
    """Raise UserError naming the first key of an open file that cannot be read from it alone.

    Raises OSError for a shape that the file cannot hold, which would exhaust the memory.
    """

    def refusal(name: str, link) -> Exception | None:  # HDF5 hides what is raised in here
        if isinstance(link, h5py.ExternalLink):
            return UserError(f"{path}: {name!r} is a link to {link.filename}; {NOT_READ}")
        item = file[name] if isinstance(link, h5py.HardLink) else None
        if not isinstance(item, h5py.Dataset):
            return None
        if item.external or item.is_virtual:
            return UserError(f"{path}: the numbers of {name!r} lie in other files; {NOT_READ}")
        if is_too_large(item):
            return OSError(f"{name!r} claims the shape {item.shape}, which the file cannot hold")
        if code := unknown_filter(item):
            return UserError(
                f"{path}: {name!r} is compressed with HDF5 filter {code}, which cannot be undone "
                "here (hdf5plugin has others); repack the file where it was made, with: "
                "ptrepack --complib zlib --complevel 1 OLD.h5 NEW.h5"
            )
        return None

    if error := file.visititems_links(refusal):
        raise error


def is_too_large(dataset: h5py.Dataset) -> bool:
    """Whether the shape of an array, or of one chunk, exceeds what its file can hold compressed."""
    if dataset.shape is None:
        return False
    size = max(math.prod(dataset.shape), math.prod(dataset.chunks or ()))
    most = dataset.file.id.get_filesize() + SLACK
    if dataset.chunks:
        most = max(MOST_COMPRESSION * most, SMALL)
    return size * dataset.dtype.itemsize > most


def unknown_filter(dataset: h5py.Dataset) -> str:
    """Code (and name) of the first filter of an array that is not available; else empty."""
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(index)
        if h5py.h5z.filter_avail(code) or not dataset.id.get_num_chunks():
            continue
        # a set bit: this optional filter was not applied
        if not dataset.id.get_chunk_info(0).filter_mask & (1 << index):
            return f"{code} ({name.decode(errors='replace')})" if name else str(code)
    return ""


class Sink(io.FileIO):
    """The file that HDF5 writes to; it keeps write errors from HDF5, which would crash on them."""

    def __init__(self, path: Path | str):
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data) -> int:
        """Write all of `data`; after a first failure nothing more, see `check`."""
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


class SummedFile(h5py.File):
    """A new file whose arrays are kept in chunks with a Fletcher-32 sum each."""

    def create_dataset(self, name, shape=None, dtype=None, data=None, **options):
        """As h5py's; compressed unless `chunks` or `compression` is given."""
        data = of_fixed_length(data)
        dims = np.shape(data) if shape is None else (shape,) if np.isscalar(shape) else shape
        if dims and 0 not in dims and not {"chunks", "compression"} & set(options):
            options |= COMPRESSED
        if options.get("chunks") or options.get("compression"):
            options["fletcher32"] = True
        return super().create_dataset(name, shape=shape, dtype=dtype, data=data, **options)


@contextmanager
def written_to(target: BinaryIO, summed: bool = True, **options) -> Iterator[h5py.File]:
    """A new HDF5 file in memory or in a `Sink`, without a lock.

    summed: with the sums of our files; imitations of public files have none.
    """
    if not summed:
        with h5py.File(target, "w", **options) as file:
            yield file
        return
    with SummedFile(target, "w", **SUMMED_LAYOUT, **options) as file:
        yield file
        if isinstance(target, Sink):
            target.check()
        write_record(file)


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
