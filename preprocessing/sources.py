"""The public files a run reads: which go into which output file, and how their damage is told."""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Shard:
    """Public files read together, and the splits that share their rows: one output file each."""

    shares: tuple[tuple[str, float], ...]  # (split, fraction of the rows), in the order of SPLITS
    index: int  # of the output file within each of its splits
    sources: tuple[Path, ...]

    @staticmethod
    def whole(split: str, index: int, sources: tuple[Path, ...]) -> "Shard":
        """Files whose rows all belong to one split."""
        return Shard(((split, 1.0),), index, sources)

    def split_of(self, rows: np.ndarray, source: Path, seed: int) -> np.ndarray:
        """Number of the share that each row (rows,) of a file falls into.

        A hash of seed, file name and row decides: the same whatever is read together, in whatever
        order, on however many processes; so splits are disjoint and do not change.
        """
        salt = np.random.SeedSequence([seed, zlib.crc32(source.name.encode())])
        hashed = rows.astype(np.uint64) + salt.generate_state(1, np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            # splitmix64 (S. Vigna, public domain): every bit of the row moves every bit of the hash
            hashed = (hashed ^ (hashed >> np.uint64(shift))) * np.uint64(factor)
        uniform = (hashed >> np.uint64(11)) * 2.0**-53
        edges = np.cumsum([fraction for _, fraction in self.shares])[:-1]
        return np.searchsorted(edges, uniform, side="right")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a public record: its name there and here, its address, its hash if known."""

    name: str
    url: str
    checksum: str | None = None  # md5:... or sha256:...
    folder: str = ""  # of an archive: its files belong there

    @staticmethod
    def zenodo(
        record: int, name: str, checksum: str | None = None, folder: str = ""
    ) -> "RemoteFile":
        """A file of the Zenodo record of that number."""
        url = f"https://zenodo.org/records/{record}/files/{name}?download=1"
        return RemoteFile(name, url, checksum, folder)


def files_below(folder: Path, *suffixes: str) -> list[Path]:
    """The files of any of these endings in `folder` and all folders below it, sorted.

    Linked folders are entered, each place once; names that begin with a dot are not looked at.
    """
    found, entered = [], set()
    for here, folders, files in os.walk(folder, followlinks=True):
        place = os.path.realpath(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if place in entered:
            folders.clear()
            continue
        entered.add(place)
        found += [
            Path(here) / name
            for name in files
            if name.endswith(suffixes) and not name.startswith(".")
        ]
    return sorted(found)


def names_in(folder: Path, most: int = 5) -> str:
    """Names in a folder, the first few of many, for a sentence about what is missing there."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join(names[:most] + more) or "nothing"


def mix_classes(classes: Iterable[list[Path]]) -> list[tuple[Path, ...]]:
    """The sources of each output file, so that every one has its share of all classes.

    There are as many as the largest class has files; those of the smaller ones are spread evenly.
    """
    classes = list(classes)
    number = max(len(files) for files in classes)
    outputs: list[list[Path]] = [[] for _ in range(number)]
    for files in classes:
        for position, path in enumerate(files):
            outputs[position * number // len(files)].append(path)
    return [tuple(sources) for sources in outputs]


@contextmanager
def reading(path: Path, mend: str = "download it again") -> Iterator[None]:
    """Turn whatever a file library throws at a damaged file into one sentence about that file.

    mend: what helps.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # ROOT and HDF5 readers fail on damaged bytes with any exception there is
        first_line = (str(error).strip().splitlines() or [""])[0][:200]
        reason = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
        raise UserError(
            f"{path} cannot be read ({reason}); it is truncated or damaged, {mend}"
        ) from error


def unexpected_files(folder: Path, expected: set[Path]) -> list[Path]:
    """Files in the splits of a dataset's folder that are not `expected` to be made now, sorted.

    They would be read together with the new ones. A name that begins with a dot is being written.
    """
    found = [path for split in SPLITS for path in folder.glob(f"{split}/*.h5")]
    return sorted(path for path in found if path not in expected and path.name[0] != ".")


def require_files(paths: list[Path]) -> None:
    """Raise UserError naming the first file that is gone or without a byte."""
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is no file, or a link to one that is gone; remove it")
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes); download it again")


def require_finite(
    values: np.ndarray,
    path: Path,
    key: str,
    first_row: int,
    counts: np.ndarray | None = None,
    row: str = "jet",
) -> None:
    """Refuse NaN and infinity in `values`, naming file, key and the first such jet's row.

    `values` has one entry (or row) per jet, or one per constituent with `counts` (jets,).
    row: the word for a row.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    where = int(np.argwhere(~finite)[0, 0])
    if counts is not None:
        where = int(np.searchsorted(np.cumsum(counts), where, side="right"))
    raise UserError(
        f"{path}: {key} is not a finite number in {row} {first_row + where} (counted from 0); "
        f"the file is damaged, download it again or remove that {row}"
    )
