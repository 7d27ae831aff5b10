"""The public files of a run: their assignment to output files, and checks for damage."""

import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from omnilearn.data.spec import SPLITS
from omnilearn.errors import UserError
from omnilearn.file_kinds import GZIP, HDF5, NPZ, ROOT, TAR, of_another_kind

# suffix of a public file, without .gz -> what it is; HDF5 may be compressed as a whole
FORMATS: dict[str, tuple[str, ...]] = {
    ".h5": (HDF5, GZIP),
    ".hdf5": (HDF5, GZIP),
    ".npz": (NPZ,),
    ".root": (ROOT,),
    ".tar": (TAR,),
}
SHOWN = 5  # names in a message about missing files
# endings of public files in capitals or small letters, alone or before that of a partial download
# or a copy, and of archives
MAY_HOLD_JETS = re.compile(
    r"\.(root|npz|h5|hdf5|parquet)(\W.*)?$|\.(tar|tgz|zip|7z|rar)(\.\w+)?$", re.IGNORECASE
)
TO_BE_FOUND = "unpack archives, give files their public names, and their folder as --raw"
UNKNOWN_NAME = "has no public name, and its jets would be left out; move it away, or name it as one"


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
        """Index of the share of each row (rows,) of a file.

        It is a hash of seed, file name and row, so that splits are disjoint and do not depend on
        chunks, order, the number of processes, or whether the file is compressed.
        """
        name = public_name(source).encode(errors="surrogateescape")  # may be any bytes
        salt = np.random.SeedSequence([seed, zlib.crc32(name)])
        hashed = rows.astype(np.uint64) + salt.generate_state(1, np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            # splitmix64 (S. Vigna, public domain): every bit of the row moves every bit of the hash
            hashed = (hashed ^ (hashed >> np.uint64(shift))) * np.uint64(factor)
        uniform = (hashed >> np.uint64(11)) * 2.0**-53
        edges = np.cumsum([fraction for _, fraction in self.shares])[:-1]
        return np.searchsorted(edges, uniform, side="right")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a public record: its name, its address, its hash if known."""

    name: str
    url: str
    checksum: str | None = None  # md5:... or sha256:...
    folder: str = ""  # where the content of an archive is unpacked

    @staticmethod
    def zenodo(
        record: int, name: str, checksum: str | None = None, folder: str = ""
    ) -> "RemoteFile":
        """A file of the Zenodo record of that number."""
        url = f"https://zenodo.org/records/{record}/files/{name}?download=1"
        return RemoteFile(name, url, checksum, folder)


def files_below(folder: Path, *suffixes: str) -> list[Path]:
    """The files of any of these suffixes in `folder` and all folders below it, sorted.

    Links to folders are followed, each folder once; names that begin with a dot are ignored.
    Raises UserError for a folder that cannot be listed, and a link whose file or folder is gone.
    """

    def refuse(error: OSError) -> None:
        raise UserError(
            f"{error.filename} cannot be listed ({error.strerror}), and its files would be left "
            "out; make it readable or move it away"
        ) from error

    found = list(visible_files(folder, refuse))
    require_files([path for path in found if path.is_symlink() and not path.exists()])
    return sorted(path for path in found if path.name.endswith(suffixes))


def visible_files(
    folder: Path, refuse: Callable[[OSError], object] | None = None
) -> Iterator[Path]:
    """The files of `files_below` of any suffix, also broken links, in no order.

    `refuse` is called with the error of a folder that cannot be listed.
    """
    visited = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        yield from (Path(parent) / name for name in files if not name.startswith("."))


def public_name(path: Path) -> str:
    """The name of a public HDF5 file without the .gz of its compressed form."""
    return path.name.removesuffix(".gz")


def named(folder: Path, *patterns: str) -> list[Path]:
    """The files in a folder with these public names or patterns, also compressed, each sorted.

    Links to files that are gone are among them, names that begin with a dot are not.
    """
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    paths = [folder / name for name in names if not name.startswith(".")]
    return [
        path for pattern in patterns for path in paths if fnmatchcase(public_name(path), pattern)
    ]


def first_of(names: list[str]) -> str:
    """The first of these names, and how many more there are."""
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join(names[:SHOWN] + more)


def names_in(folder: Path) -> str:
    """The first names in a folder, for a message about missing files."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return first_of(names) or "nothing"


def other_files_in(folder: Path) -> str:
    """The first files in a folder and below it, and what helps if they are the public ones, for a
    message where none of these was found."""
    names = sorted(str(path.relative_to(folder)) for path in visible_files(folder))
    if not names:
        return names_in(folder)
    listed = first_of(names)
    if any(MAY_HOLD_JETS.search(name) for name in names):
        listed += f" (if they are among these: {TO_BE_FOUND})"
    return listed


def mix_classes(classes: Iterable[list[Path]]) -> list[tuple[Path, ...]]:
    """The sources of each output file, so that each one contains all classes as far as possible.

    There are as many outputs as the largest class has files; smaller classes are spread evenly.
    """
    classes = list(classes)
    count = max(len(files) for files in classes)
    outputs: list[list[Path]] = [[] for _ in range(count)]
    for files in classes:
        for index, path in enumerate(files):
            outputs[index * count // len(files)].append(path)
    return [tuple(sources) for sources in outputs]


@contextmanager
def reading(path: Path, remedy: str = "download it again", expected: str = "") -> Iterator[None]:
    """Turn any exception of a file library about a damaged file into a UserError with `remedy`.

    expected: the format of the file, where it is not that of the suffix.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        kinds = (expected,) if expected else FORMATS.get(Path(public_name(path)).suffix.lower(), ())
        if other := of_another_kind(path, remedy, *kinds):
            raise UserError(f"{path} is {other}") from error
        # the type of the exception depends on the damaged bytes
        first_line = (str(error).strip().splitlines() or [""])[0][:200]
        reason = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
        raise UserError(
            f"{path} cannot be read ({reason}); it is truncated or damaged, {remedy}"
        ) from error


def unexpected_files(folder: Path, expected: set[Path]) -> list[Path]:
    """Files of a dataset's splits that are not `expected`, sorted; a training would read them, too.

    Names that begin with a dot are files that are being written.
    """
    paths = {path for split in SPLITS for path in folder.glob(f"{split}/*.h5")}
    return sorted(path for path in paths - expected if path.name[0] != ".")


def require_files(paths: list[Path]) -> None:
    """Raise UserError naming the first file that is missing or empty."""
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} is no file, or a link to one that is gone; remove it")
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes); download it again")


def refuse_row(
    bad: np.ndarray, path: Path, problem: str, first_row: int, remedy: str, row: str = "jet"
) -> None:
    """Raise UserError about the first row marked in `bad` (rows,); `row` is the word for a row."""
    if bad.any():
        index = first_row + int(np.argmax(bad))
        raise UserError(f"{path}: {problem} in {row} {index} (counted from 0); {remedy}")


def require_finite(
    values: np.ndarray,
    path: Path,
    key: str,
    first_row: int,
    counts: np.ndarray | None = None,
    row: str = "jet",
) -> None:
    """Raise UserError for text, NaN and infinity in `values`, naming file, key and the first row.

    `values` has one entry (or row) per jet, or one per constituent with `counts` (jets,). `row` is
    the word for a row.
    """
    if values.dtype.kind not in "biuf":
        raise UserError(
            f"{path}: {key} holds {values.dtype}, but numbers are expected; is this file of "
            "another layout?"
        )
    finite = np.isfinite(values)
    if finite.all():
        return
    bad = ~finite.reshape(len(values), -1).all(axis=1)
    if counts is not None:
        bad = np.bincount(np.repeat(np.arange(len(counts)), counts)[bad]) > 0
    remedy = f"the file is damaged, download it again or remove that {row}"
    refuse_row(bad, path, f"{key} is not a finite number", first_row, remedy, row)
