"""Which jets a limit takes: the first ones of the suite's files, which were mixed when written; of
others, which may hold one class each or be sorted by class, a share of every file and class.
"""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.layout import stored_layout
from omnilearn.data.reader import JetFiles
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError

FORMAT = "omnilearn"  # an attribute of the suite's files
LOOKED_AT = 256  # labels of a file, evenly spaced, that tell which classes it holds


def limited(paths: list[Path], spec: DatasetSpec, limit: int) -> tuple[JetFiles, np.ndarray | None]:
    """`limit` jets (0: all) of the files, and rows (num_jets,) bool; None where all take part.

    A file that is not sorted gives its first jets, so that no others are looked through. Raises
    UserError where a class that the files hold is not among the jets.
    """
    if not limit or all(map(is_mixed, paths)):
        return JetFiles(paths, spec, limit=limit or None), None
    files = [Labels(path, spec) for path in paths]
    events = -(-limit // spec.jets_per_event)
    total = sum(file.rows for file in files)
    if events >= total:
        return JetFiles(paths, spec), None
    ends = np.cumsum([file.rows for file in files]) * events // total
    places = [
        file.places(share) for file, share in zip(files, np.diff(ends, prepend=0), strict=True)
    ]
    there = set().union(*(file.classes for file in files))
    taken = set().union(*(file.of(place) for file, place in zip(files, places, strict=True)))
    if missing := sorted(there - taken):
        names = ", ".join(spec.class_names[number] for number in missing)
        raise UserError(
            f"{paths[0].parent}: {limit} jets, a share of each file, hold no jet of the class "
            f"{names}; take more"
        )
    chosen = [np.isin(np.arange(place[-1] + 1), place) for place in places if len(place)]
    used = [path for path, place in zip(paths, places, strict=True) if len(place)]
    rows = np.repeat(np.concatenate(chosen), spec.jets_per_event)
    limits = [len(part) * spec.jets_per_event for part in chosen]
    return Beginnings(used, spec, limits), None if rows.all() else rows


class Beginnings(JetFiles):
    """The first jets of each of several files; nothing behind them is looked through."""

    def __init__(self, paths: list[Path], spec: DatasetSpec, limits: list[int]):
        """limits: jets of each file, whole events."""
        self._limits = dict(zip(paths, limits, strict=True))
        super().__init__(paths, spec)

    def _check(self, path: Path):
        found = super()._check(path)
        return replace(found, num_jets=min(found.num_jets, self._limits[path]))


def is_mixed(path: Path) -> bool:
    """Whether the suite wrote a file, its jets in random order."""
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("format", "")) == FORMAT
    except OSError:  # whatever it is, the reader says so
        return True


class Labels:
    """The labels of one file: rows (events), and the numbers of the classes it holds."""

    def __init__(self, path: Path, spec: DatasetSpec):
        with h5py.File(path, "r") as file:
            self.rows = stored_layout(file, path, spec).rows
        self.path, self.spec = path, spec
        self.classes = self.of(spread(min(LOOKED_AT, self.rows), self.rows))

    def of(self, rows: np.ndarray) -> set[int]:
        """Class numbers at these rows (n,), which rise."""
        if not len(rows):
            return set()
        with h5py.File(self.path, "r") as file:
            pid = file["pid"]
            if rows[-1] + 1 == len(rows):
                found = pid[: len(rows)]
            else:  # as many as tell
                some = rows[:: max(1, len(rows) // LOOKED_AT)]
                found = np.concatenate([pid[row : row + 1] for row in some])
        one_hot = found.ndim == 2 and found.shape[1] > 1
        return set((found.argmax(axis=1) if one_hot else found.reshape(-1)).astype(int).tolist())

    def places(self, share: int) -> np.ndarray:
        """Rows (share,) of this file: the first ones if they hold all its classes, else spread."""
        first = np.arange(share)
        return first if self.classes <= self.of(first) else spread(share, self.rows)


def spread(number: int, rows: int) -> np.ndarray:
    """So many rows (number,) of all `rows`, evenly spaced."""
    return ((np.arange(number) + 0.5) * rows / max(1, number)).astype(np.int64)
