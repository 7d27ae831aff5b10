"""Tar archives of public files: each file goes whole into one folder, nothing goes elsewhere.

An archive may bring a folder of its own or none: the name of a file counts, not its folder there.
"""

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

    def lies_in(self, folder: Path) -> bool:
        """Whether the whole file is in `folder`: files appear there only when they are complete."""
        path = folder / self.name
        return path.is_file() and path.stat().st_size == self.size


def members(archive: Path) -> list[Member]:
    """The files of an archive, by its headers alone.

    Raises UserError for a damaged archive, a link, a device, a path that leaves the archive and a
    name that comes twice: none of them is in a public archive.
    """
    with reading(archive), tarfile.open(archive, "r:") as tar:
        return [Member(Path(one.name).name, one.size) for one in files_of(tar, archive)]


def files_of(tar: tarfile.TarFile, archive: Path) -> list[tarfile.TarInfo]:
    """The entries of an open archive that are files; raises UserError as `members` does."""
    found: dict[str, tarfile.TarInfo] = {}
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
        if path.name in found:
            raise UserError(
                f"{archive} holds {found[path.name].name!r} and {entry.name!r}, two files of one "
                "name; nothing was unpacked, unpack it by hand"
            )
        found[path.name] = entry
    return list(found.values())


def unpack(archive: Path, folder: Path) -> int:
    """Put the files of an archive that are not there yet into `folder`; how many these were.

    A run that is stopped leaves whole files, and the next one goes on. Raises UserError as
    `members` does, and before anything is written if the disk has not the room.
    """
    with reading(archive), tarfile.open(archive, "r:") as tar:
        entries = files_of(tar, archive)
        missing = [
            entry
            for entry in entries
            if not Member(Path(entry.name).name, entry.size).lies_in(folder)
        ]
        if not missing:
            return 0
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(entry.size for entry in missing)
        require_room(folder, size, f"{archive.name} unpacked")
        with progress(size, f"unpacking {archive.name}", "B") as bar:
            for entry in missing:
                copy(tar, entry, folder / Path(entry.name).name, bar.update)
    return len(missing)


def copy(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path, advance) -> None:
    """One file out of an open archive, whole or not at all; `advance` hears of its bytes."""
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


def require_room(folder: Path, missing: int, what: str) -> None:
    """Raise UserError if the disk below `folder` has not `missing` bytes left for `what`."""
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise UserError(
            f"{folder} has {free} bytes left, but {what} needs {missing}; make room or choose "
            "another --out"
        )
