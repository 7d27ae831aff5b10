"""Tar archives of public files: unpacked into one folder, whatever folders the archive has."""

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from omnilearn.atomic import atomic_path
from omnilearn.errors import DISK_ERRORS, UserError
from omnilearn.progress import progress
from preprocessing.sources import reading

BLOCK = 2**22  # bytes copied at a time


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name without folders, and its size in bytes."""

    name: str
    size: int

    def is_in(self, folder: Path) -> bool:
        """Whether `folder` has a file of this name and size; `unpack` writes no partial files."""
        path = folder / self.name
        return path.is_file() and path.stat().st_size == self.size


def members(archive: Path) -> list[Member]:
    """The files of an archive; only its headers are read.

    Raises UserError for a damaged archive, a link, a device, a path outside of the archive and a
    repeated name: no public archive has any of them.
    """
    with reading(archive), tarfile.open(archive, "r:") as tar:
        return list(files_of(tar, archive))


def files_of(tar: tarfile.TarFile, archive: Path) -> dict[Member, tarfile.TarInfo]:
    """Member -> entry of an open archive; raises UserError as `members` does."""
    entries: dict[str, tarfile.TarInfo] = {}
    for entry in tar:
        if entry.isdir():
            continue
        path = Path(entry.name)
        if not entry.isfile() or path.is_absolute() or ".." in path.parts:
            kind = "a path outside" if entry.isfile() else "no plain file (a link or a device)"
            raise UserError(
                f"{archive}: its entry {entry.name!r} is {kind}; no public archive has such "
                "entries, nothing was unpacked, download it again"
            )
        if path.name in entries:
            raise UserError(
                f"{archive} holds {entries[path.name].name!r} and {entry.name!r}, two files of one "
                "name; nothing was unpacked, unpack it by hand"
            )
        entries[path.name] = entry
    return {Member(name, entry.size): entry for name, entry in entries.items()}


def unpack(archive: Path, folder: Path) -> int:
    """Write the files of an archive that `folder` lacks; returns their number.

    A run that is stopped leaves complete files, and the next one goes on. Raises UserError as
    `members` does, and before anything is written if the disk is too full.
    """
    with reading(archive), tarfile.open(archive, "r:") as tar:
        entries = files_of(tar, archive)
        missing = [member for member in entries if not member.is_in(folder)]
        if not missing:
            return 0
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(member.size for member in missing)
        require_room(folder, size, f"{archive.name} unpacked")
        with progress(size, f"unpacking {archive.name}", "B") as bar:
            for member in missing:
                copy(tar, entries[member], folder / member.name, bar.update)
    return len(missing)


def copy(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path, advance) -> None:
    """Write one file of an open archive atomically; `advance` is called with each block's size."""
    source = cast(IO[bytes], tar.extractfile(entry))  # None for folders alone
    try:
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            while block := source.read(BLOCK):
                file.write(block)
                advance(len(block))
            file.flush()
            if file.tell() != entry.size:
                raise EOFError(f"{entry.name} ends too early")
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(
            f"{target}: {DISK_ERRORS[error.errno]}; make room and run the same command again, it "
            "goes on"
        ) from error


def require_room(folder: Path, size: int, name: str) -> None:
    """Raise UserError if the disk of `folder` has less than `size` bytes left for the file."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"{folder} has {free} bytes left, but {name} needs {size}; make room or choose "
            "another --out"
        )
