"""A cache of the digests of public files, so that an unchanged file is digested only once.

OUT/<dataset>/sources.json holds them with the size and times of every file. No program can set back
the change time of a file's entry, so that a file changed in place is read again. Bits lost by the
disk change no time; the checksums of the formats detect those.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.progress import progress

NAME = "sources.json"
BLOCK_BYTES = 2**22


class SourceDigests:
    """The digests of public files, and their record in `folder`."""

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self.known = read_record(self.path)
        self.new: dict[str, list] = {}

    def of(self, paths: list[Path], workers: int = 1) -> dict[Path, str]:
        """Size and BLAKE2b of every file; a file of unchanged size and times is not read again.

        Raises UserError naming a file that cannot be read.
        """
        stamps = {path: stamp(path) for path in paths}
        unknown = [
            path for path, now in stamps.items() if self.known.get(name(path), [])[:-1] != now
        ]
        total = sum(stamps[path][0] for path in unknown)
        with (
            progress(total, "reading the public files", "B") as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            digests = pool.map(lambda path: digest(path, bar.update), unknown)
            new = {
                name(path): [*stamps[path], text]
                for path, text in zip(unknown, digests, strict=True)
            }
        self.known |= new
        self.new |= new
        return {path: self.known[name(path)][-1] for path in paths}

    def write(self) -> None:
        """Write new digests to the record, if there is any converted file beside it."""
        if self.new and any(self.path.parent.glob("*/*.h5")):
            with atomic_path(self.path) as temporary:
                temporary.write_text(json.dumps(self.known, indent=1) + "\n")


def name(path: Path) -> str:
    """The key of a file in the record."""
    return str(path.resolve())


def stamp(path: Path) -> list[int]:
    """Size, modification time and change time [ns]."""
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}") from error
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def read_record(path: Path) -> dict[str, list]:
    """Name of a file -> [*stamp, digest]; entries of another form are ignored."""
    try:
        entries = json.loads(path.read_text()).items()
    except (OSError, ValueError, AttributeError):
        return {}
    return {
        name: entry
        for name, entry in entries
        if isinstance(entry, list) and len(entry) == 4 and isinstance(entry[-1], str)
    }


def digest(path: Path, advance: Callable[[int], object]) -> str:
    """Size and hash of a file, read in blocks."""
    state, size = hashlib.blake2b(digest_size=16), 0
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                state.update(block)
                size += len(block)
                advance(len(block))
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}") from error
    return f"{size}:{state.hexdigest()}"
