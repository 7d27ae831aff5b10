"""The public files a run reads: which go into which output file, and how their damage is told."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError

SPLITS = ("train", "val", "test")
EDGE_BYTES = 65536  # read from both ends of a file to know it again


@dataclass(frozen=True)
class Shard:
    """One output file: the `index`-th of a split, and the public files whose jets it holds."""

    split: str
    index: int
    sources: tuple[Path, ...]

    def file_name(self, dataset: str) -> str:
        return f"{dataset}_{self.split}_{self.index:03d}.h5"


def fingerprint(path: Path) -> str:
    """Size and both ends of a file, hashed: a replaced file is noticed, a copied one is not."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read(EDGE_BYTES))
            file.seek(max(0, size - EDGE_BYTES))
            digest.update(file.read(EDGE_BYTES))
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}") from error
    return f"{size}:{digest.hexdigest()[:16]}"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a file library throws at a damaged file into one sentence about that file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # ROOT and HDF5 readers fail on damaged bytes with any exception there is
        first_line = (str(error).strip().splitlines() or [""])[0][:200]
        reason = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
        raise UserError(
            f"{path} cannot be read ({reason}); it is truncated or damaged, download it again"
        ) from error


def require_files(paths: list[Path]) -> None:
    """Raise UserError naming the first file without a byte."""
    for path in paths:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes); download it again")


def require_finite(
    values: np.ndarray, path: Path, key: str, first_row: int, counts: np.ndarray | None = None
) -> None:
    """Refuse NaN and infinity in `values`, naming file, key and the first such jet's row.

    `values` has one entry (or row) per jet, or one per constituent with `counts` (jets,).
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    where = int(np.argwhere(~finite)[0, 0])
    row = where if counts is None else int(np.searchsorted(np.cumsum(counts), where, side="right"))
    raise UserError(
        f"{path}: {key} is not a finite number in jet {first_row + row} (counted from 0); "
        "the file is damaged, download it again or remove that jet"
    )
