"""Digests of whole public files, remembered, so that an unchanged file is read for one only once.

OUT/<dataset>/sources.json holds them with size and times of every file; the time of the last
change of a file's entry cannot be set back by a program, so that a file changed in place is read
again. Bits that a disk loses by itself change no time: the formats' own checksums tell those.
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
    """The digests of public files, and the record of them in `folder`."""

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self.known = remembered(self.path)
        self.new: dict[str, list] = {}

    def of(self, paths: list[Path], workers: int = 1) -> dict[Path, str]:
        """Size and BLAKE2b of every file, of all its bytes; what is known is not read again.

        Raises UserError naming a file that cannot be read.
        """
        stamps = {path: stamp(path) for path in paths}
        unknown = [
            path for path, seen in stamps.items() if self.known.get(name(path), [])[:-1] != seen
        ]
        total = sum(stamps[path][0] for path in unknown)
        with (
            progress(total, "reading the public files", "B") as bar,
            ThreadPoolExecutor(workers) as pool,
        ):
            found = pool.map(lambda path: digest(path, bar.update), unknown)
            new = {
                name(path): [*stamps[path], one] for path, one in zip(unknown, found, strict=True)
            }
        self.known |= new
        self.new |= new
        return {path: self.known[name(path)][-1] for path in paths}

    def write(self) -> None:
        """Keep what is new, beside files that were made; where none is, nothing is left."""
        if self.new and any(self.path.parent.glob("*/*.h5")):
            with atomic_path(self.path) as temporary:
                temporary.write_text(json.dumps(self.known, indent=1) + "\n")


def name(path: Path) -> str:
    """By which a file is remembered."""
    return str(path.resolve())


def stamp(path: Path) -> list[int]:
    """Size and times, in ns, of the last change of content and of entry."""
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}") from error
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def remembered(record: Path) -> dict[str, list]:
    """What is known of files, by name; nothing where the record is not of our making."""
    try:
        found = json.loads(record.read_text())
        lists = {path: seen for path, seen in found.items() if isinstance(seen, list)}
        return {
            path: seen
            for path, seen in lists.items()
            if len(seen) == 4 and isinstance(seen[-1], str)
        }
    except (OSError, ValueError, AttributeError):
        return {}


def digest(path: Path, advance: Callable[[int], object]) -> str:
    """Size and hash of all bytes of a file, a block at a time."""
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
