"""Many HDF5 files of one split seen as one sequence of jets, checked as they are opened and read.

An event with several jets is as many rows, one behind the other; of files with levels one level is
read. Files of the suite and files of the released code (keys data, jet, pid alone; float64; empty
slots anywhere) are read alike. In the latter a slot is filled if any of its features is not zero,
as no multiplicity is stored; filled slots are moved to the front.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.layout import StoredLayout, remedy, stored_layout
from omnilearn.data.spec import JET_FEATURES, DatasetSpec
from omnilearn.data.stored_values import check_finite, filled_slots, move_to_front
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from omnilearn.progress import progress

OPEN_FILES = 16  # handles kept: blocks come from random files, and a handle costs about 1 MB
BLOCK_ROWS = 256  # rows read together; the suite's files are chunked alike
BLOCKS_WANTED = 64  # small sets are cut finer, or too few blocks would be permuted to mix classes
SCAN_ROWS = 1024  # rows held while multiplicities are counted


@dataclass(frozen=True)
class _File:
    path: Path
    first: int  # row of its first jet in the whole sequence
    num_jets: int
    stored: StoredLayout


class JetFiles:
    """The jets of several files as one sequence of rows; a context manager.

    num_jets; longer: those with more constituents than slots, whose softest are not read;
    origin: public; simulated, or own, where any file is;
    multiplicity (num_jets,): filled slots per jet, one byte each; edges (blocks + 1,):
    rows at which blocks of neighbouring rows begin, none across two files, and the end.
    Raises UserError naming file and key when a file cannot be what it should be.
    """

    def __init__(
        self, paths: list[Path], spec: DatasetSpec, limit: int | None = None, level: str = ""
    ):
        """limit: only that many jets, the first ones (the suite's files are mixed when written).

        level: one of spec.levels, the first where empty.
        """
        self.spec, self.level = spec, level
        self._jet_columns = [spec.jet_features.index(name) for name in JET_FEATURES]
        self.weight_unit = 1.0  # what the weights of `read` are divided by
        self._handles: OrderedDict[Path, h5py.File] = OrderedDict()
        self._lock = threading.Lock()  # training and validation may read on two threads
        self._files: list[_File] = []
        counts: list[np.ndarray] = []
        self.num_jets = self.longer = 0
        origins = set()
        for path in map(Path, paths):
            if limit is not None and self.num_jets >= limit:
                break
            found = self._check(path)
            if limit is not None:
                found = _shortened(found, limit - self.num_jets, spec.jets_per_event)
            self._files.append(found)
            origins.add(found.stored.origin)
            counts.append(self._count(found))
            self.num_jets += found.num_jets
        if self.num_jets == 0:
            raise UserError(f"{spec.name}: 0 jets to read in {len(paths)} files (limit {limit})")
        self.multiplicity = np.concatenate(counts)
        self.edges = self._block_edges()
        self.origin = next((name for name in ("simulated", "own") if name in origins), "public")

    def __enter__(self) -> "JetFiles":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let all handles go; a later read opens them again."""
        with self._lock:
            while self._handles:
                self._handles.popitem()[1].close()

    def jets_per_file(self) -> list[tuple[Path, int]]:
        """The files in the order of their rows, each with how many of its jets are read."""
        return [(file.path, file.num_jets) for file in self._files]

    def read(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Float32 arrays of the jets in rows start..stop, unscaled.

        data (n, P, F) filled slots in front; jet (n, 4); pid (n, C) one-hot; weight (n,).
        Raises UserError naming file, key and row of a value that is not finite or not a class.
        """
        return self.gather(np.arange(start, stop))

    def gather(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """As `read`, for rows in any order; those of one chunk of a file are read together."""
        jets = self._empty(len(rows))
        firsts = np.array([file.first for file in self._files])
        file_of = np.searchsorted(firsts, rows, side="right") - 1
        chunk = (rows - firsts[file_of]) // (BLOCK_ROWS * self.spec.jets_per_event)
        step, leaves = np.diff(rows), np.diff(chunk) != 0
        breaks = (step < 1) | (leaves & (step != 1)) | (np.diff(file_of) != 0)
        cuts = np.flatnonzero(breaks) + 1
        for begin, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            if begin == end:
                continue
            file, first = self._files[file_of[begin]], int(rows[begin])
            part = {key: array[begin:end] for key, array in jets.items()}
            places = rows[begin:end] - first
            if places[-1] + 1 == end - begin:
                self._fill(file, first - file.first, part)
                continue
            between = self._empty(int(places[-1]) + 1)  # a chunk is decompressed once, for all
            self._fill(file, first - file.first, between)
            for key, array in part.items():
                array[...] = between[key][places]
        return jets

    def _empty(self, jets: int) -> dict[str, np.ndarray]:
        """Room for the arrays of so many jets."""
        spec = self.spec
        return {
            "data": np.empty((jets, spec.max_constituents, spec.num_features), np.float32),
            "jet": np.empty((jets, len(JET_FEATURES)), np.float32),
            "pid": np.empty((jets, spec.num_classes), np.float32),
            "weight": np.empty(jets, np.float32),
        }

    def kinematics(self) -> np.ndarray:
        """The jet features (num_jets, 4) of all jets, without their constituents."""
        found = np.empty((self.num_jets, len(JET_FEATURES)), np.float32)
        for file, rows in self._stretches():
            self._fill_jets(file, rows.start - file.first, found[rows])
        return found

    def mean_weight(self) -> float:
        """Mean weight of all jets, 1 without weights; raises UserError unless it is above zero."""
        total = 0.0
        for file in self._files:
            total += self._weights(file, 0, file.num_jets).sum(dtype=np.float64)
        if not total > 0:
            raise UserError(
                f"{self._files[0].path}: the weights of all {self.num_jets} {self.spec.name} jets "
                f"add up to {total:g}, expected more than zero, {remedy(self.spec)}"
            )
        return float(total / self.num_jets)

    def labels_and_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers (num_jets,) int8 and weights (num_jets,) float64 of all jets."""
        label, weight = np.empty(self.num_jets, np.int8), np.empty(self.num_jets)
        for file, rows in self._stretches():
            start = rows.start - file.first
            stop = start + rows.stop - rows.start
            label[rows] = self._labels(file, start, stop).argmax(axis=1)
            weight[rows] = self._weights(file, start, stop)
        return label, weight

    def observable(self, name: str) -> np.ndarray:
        """One of the spec's observables (num_jets,), at this level; that of an event for each jet.

        Raises UserError naming the file that has none, or a value that is not finite.
        """
        column, key = self.spec.observables.index(name), self.spec.key("observables", self.level)
        found = np.empty(self.num_jets, np.float32)
        for file, rows in self._stretches():
            with self._lock:
                if key not in self._open(file.path):
                    raise UserError(f"{file.path}: no {key!r} among its keys, {remedy(self.spec)}")
            start = rows.start - file.first
            part = np.empty((rows.stop - rows.start, len(self.spec.observables)), np.float32)
            self._read(file.path, key, start, start + len(part), part, per_event=True)
            check_finite(part, file.path, key, start)
            found[rows] = part[:, column]
        return found

    def _stretches(self) -> Iterator[tuple[_File, slice]]:
        """All rows in order, so many at once as are held while multiplicities are counted."""
        for file in self._files:
            end = file.first + file.num_jets
            for start in range(file.first, end, SCAN_ROWS):
                yield file, slice(start, min(start + SCAN_ROWS, end))

    def _fill(self, file: _File, start: int, jets: dict[str, np.ndarray]) -> None:
        """Fill the arrays with the rows of one file that begin at `start`."""
        stop = start + len(jets["weight"])
        self._fill_jets(file, start, jets["jet"])
        with np.errstate(over="ignore"):  # of a unit that nobody has asked to normalise
            jets["weight"][...] = self._weights(file, start, stop) / self.weight_unit
        self._fill_data(file, start, stop, jets["data"])
        jets["pid"][...] = self._labels(file, start, stop)

    def _fill_jets(self, file: _File, start: int, out: np.ndarray) -> None:
        """Jet features (n, 4) of the rows of one file that begin at `start`."""
        key = self.spec.key("jet", self.level)
        stored = np.empty((len(out), len(self.spec.jet_features)), np.float32)
        self._read(file.path, key, start, start + len(out), stored)
        out[...] = stored[:, self._jet_columns]
        check_finite(out, file.path, key, start)

    def _weights(self, file: _File, start: int, stop: int) -> np.ndarray:
        """Weights (n,) float64, of any unit, of these rows of a file; 1 where it has none."""
        weight = np.ones(stop - start)
        if file.stored.weight:
            self._read(file.path, file.stored.weight, start, stop, weight, per_event=True)
            check_finite(weight, file.path, file.stored.weight, start)
        return weight

    def _labels(self, file: _File, start: int, stop: int) -> np.ndarray:
        """One-hot labels (n, C) of these rows of a file."""
        shape = (stop - start, self.spec.num_classes) if file.stored.one_hot else (stop - start,)
        pid = np.empty(shape, np.float32)
        self._read(file.path, "pid", start, stop, pid, per_event=True)
        return self._one_hot(pid, file.path, start)

    def _fill_data(self, file: _File, start: int, stop: int, out: np.ndarray) -> None:
        """Constituents (n, P, F), filled slots in front, from a file of any number of slots."""
        same = file.stored.slots == out.shape[1]
        data = out if same else np.empty((len(out), file.stored.slots, out.shape[2]), np.float32)
        key = self.spec.key("data", self.level)
        self._read(file.path, key, start, stop, data)
        check_finite(data, file.path, key, start)
        if not file.stored.multiplicity:
            move_to_front(data)
        if not same:
            kept = min(file.stored.slots, out.shape[1])
            out[:, :kept] = data[:, :kept]
            out[:, kept:] = 0

    def _read(
        self, path: Path, key: str, start: int, stop: int, out: np.ndarray, per_event: bool = False
    ) -> None:
        """Jets start to stop of one key into `out` (jets, ...); numbers of an event go to each."""
        jets = self.spec.jets_per_event
        if jets > 1:
            first, last = start // jets, -(-stop // jets)
            inside = slice(start - first * jets, stop - first * jets)
            shape = out.shape[1:] if per_event else (jets, *out.shape[1:])
            events = np.empty((last - first, *shape), out.dtype)
            self._read_rows(path, key, first, last, events)
            if per_event:
                out[...] = np.repeat(events, jets, axis=0)[inside]
            else:
                out[...] = events.reshape(-1, *out.shape[1:])[inside]
        else:
            self._read_rows(path, key, start, stop, out)

    def _read_rows(self, path: Path, key: str, start: int, stop: int, out: np.ndarray) -> None:
        with self._lock:
            try:
                dataset = self._open(path)[key]
                dataset.read_direct(out.reshape(stop - start, *dataset.shape[1:]),
                                    np.s_[start:stop])  # fmt: skip
            except OSError as error:
                raise UserError(
                    f"{path}: {key!r}, rows {start} to {stop}, cannot be read ({error}); "
                    f"the file is damaged, {remedy(self.spec)}"
                ) from error

    def _open(self, path: Path) -> h5py.File:
        """The handle of this file; the least recently used one makes room."""
        if path not in self._handles:
            try:
                self._handles[path] = open_for_reading(path)
            except OSError as error:
                raise UserError(
                    f"{path}: no readable HDF5 file ({error}), {remedy(self.spec)}"
                ) from error
            if len(self._handles) > OPEN_FILES:
                self._handles.popitem(last=False)[1].close()
        self._handles.move_to_end(path)
        return self._handles[path]

    def _check(self, path: Path) -> _File:
        """Keys, shapes and types of one file."""
        with self._lock:
            found = stored_layout(self._open(path), path, self.spec, self.level)
        return _File(path, self.num_jets, found.rows * self.spec.jets_per_event, found)

    def _count(self, file: _File) -> np.ndarray:
        """Filled slots (jets,) of each jet in a file, from its index or by one pass over `data`."""
        slots = self.spec.max_constituents
        most = min(slots, file.stored.slots)
        small = np.uint8 if slots < 256 else np.uint16
        if file.stored.multiplicity:
            counts = np.empty(file.num_jets, np.int64)
            key = self.spec.key("multiplicity", self.level)
            self._read(file.path, key, 0, file.num_jets, counts)
            if counts.min() < 0:
                raise UserError(
                    f"{file.path}: {key!r} is {counts.min()} in row {counts.argmin()}, "
                    f"expected 0 or more, {remedy(self.spec)}"
                )
            self.longer += int((counts > most).sum())
            return np.minimum(counts, most).astype(small)
        counts = np.empty(file.num_jets, small)
        chunk = np.empty((SCAN_ROWS, file.stored.slots, self.spec.num_features), np.float32)
        with progress(file.num_jets, f"counting constituents in {file.path.name}") as bar:
            for start in range(0, file.num_jets, SCAN_ROWS):
                stop = min(start + SCAN_ROWS, file.num_jets)
                key = self.spec.key("data", self.level)
                self._read(file.path, key, start, stop, chunk[: stop - start])
                filled = filled_slots(chunk[: stop - start]).sum(axis=1)
                counts[start:stop] = np.minimum(filled, most)
                bar.update(stop - start)
        return counts

    def _block_edges(self) -> np.ndarray:
        rows = max(1, min(BLOCK_ROWS, self.num_jets // BLOCKS_WANTED))
        rows += -rows % self.spec.jets_per_event  # no event in two blocks
        starts = [np.arange(file.first, file.first + file.num_jets, rows) for file in self._files]
        return np.concatenate([*starts, [self.num_jets]])

    def _one_hot(self, pid: np.ndarray, path: Path, start: int) -> np.ndarray:
        """Labels (n, C), from (n,) class numbers or (n, C) as they are."""
        classes = self.spec.num_classes
        if pid.ndim == 1:
            label = (pid[:, None] == np.arange(classes)).astype(np.float32)
        else:
            label = pid * np.isin(pid, (0, 1))
        wrong = label.sum(axis=1) != 1
        if wrong.any():
            row = int(wrong.argmax())
            raise UserError(
                f"{path}: 'pid' is {pid[row].tolist()} in row {start + row}, {self.spec.name} has "
                f"classes 0 to {classes - 1} ({', '.join(self.spec.class_names)}), "
                f"{remedy(self.spec)}"
            )
        return label


def _shortened(file: _File, jets: int, jets_per_event: int) -> _File:
    """The first jets of a file, in whole events."""
    whole = -(-jets // jets_per_event) * jets_per_event
    return replace(file, num_jets=min(whole, file.num_jets))
