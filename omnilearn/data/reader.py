"""The HDF5 files of one split as one sequence of jets, checked as they are opened and read.

An event with several jets is as many consecutive rows; of files with levels one level is read.
Files of the suite and of the released code (keys data, jet, pid alone; float64; empty slots
anywhere) are read alike. The latter store no multiplicity: a slot is filled if any of its features
is not zero, and filled slots are moved to the front.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.layout import StoredLayout, remedy, stored_layout, unreadable
from omnilearn.data.mixing import BLOCK_ROWS, block_rows
from omnilearn.data.spec import JET_FEATURES, DatasetSpec
from omnilearn.data.stored_values import check_finite, count_filled, move_to_front, one_hot
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading, stamp
from omnilearn.progress import progress

OPEN_FILES = 16  # handles kept open, of about 1 MB each; blocks come from random files
SCAN_ROWS = 1024  # rows held while multiplicities are counted


@dataclass(frozen=True)
class _File:
    path: Path
    first: int  # row of its first jet in the whole sequence
    num_jets: int
    stored: StoredLayout


class JetFiles:
    """The jets of several files as one sequence of rows; a context manager.

    num_jets; longer: the number with more constituents than slots, whose softest are not read;
    origin: public; simulated or own if any file is;
    multiplicity (num_jets,): filled slots per jet, one byte each; edges (blocks + 1,): first rows
    of blocks of neighbouring rows, which do not cross files, and the end.
    Raises UserError naming file and key when a file has another layout.
    """

    def __init__(
        self,
        paths: list[Path],
        spec: DatasetSpec,
        limit: int | None = None,
        level: str = "",
        counted: bool = True,
    ):
        """limit: only the first jets (`selection.selected_jets` samples them).

        level: one of spec.levels, the first where empty. counted: with multiplicities; files that
        do not store them are then read once.
        """
        self.spec, self.level = spec, level
        self._jet_columns = [spec.jet_features.index(name) for name in JET_FEATURES]
        self.weight_unit = 1.0  # what the weights of `read` are divided by
        self._handles: OrderedDict[Path, h5py.File] = OrderedDict()
        self._stamps: dict[Path, tuple] = {}  # of files whose structure was checked
        self._lock = threading.Lock()  # training and validation may read on two threads
        self._files: list[_File] = []
        self.num_jets = self.longer = 0
        origins = set()
        for path in map(Path, paths):
            if limit is not None and self.num_jets >= limit:
                break
            with self._lock:  # keys, shapes and types
                stored = stored_layout(self._open(path), path, spec, level)
            jets = stored.rows * spec.jets_per_event
            if limit is not None:  # in whole events
                rest = -(-(limit - self.num_jets) // spec.jets_per_event) * spec.jets_per_event
                jets = min(rest, jets)
            self._files.append(_File(path, self.num_jets, jets, stored))
            origins.add(stored.origin)
            self.num_jets += jets
        if self.num_jets == 0:
            raise UserError(f"{spec.name}: 0 jets to read in {len(paths)} files (limit {limit})")
        if counted:
            self.multiplicity = self.count()
        self.edges = self._block_edges()
        self.origin = next((name for name in ("simulated", "own") if name in origins), "public")

    def __enter__(self) -> "JetFiles":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close all files; a later read opens them again."""
        with self._lock:
            while self._handles:
                self._handles.popitem()[1].close()

    def rows_per_file(self, rows: np.ndarray | None = None) -> Iterator[tuple[Path, np.ndarray]]:
        """The files, each with its rows that are read; rows: only these of the sequence, rising."""
        return ((file.path, inside) for file, inside in self._rows_inside(rows))

    def _rows_inside(self, rows: np.ndarray | None) -> Iterator[tuple[_File, np.ndarray]]:
        for file in self._files:
            end = file.first + file.num_jets
            if rows is None:
                yield file, np.arange(file.num_jets)
            else:
                yield file, rows[slice(*np.searchsorted(rows, (file.first, end)))] - file.first

    def count(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Filled slots, one byte each, of these rows in rising order; of all where absent."""
        return np.concatenate([self._count(*each) for each in self._rows_inside(rows)])

    def read(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Float32 arrays of the jets in rows start..stop, unscaled.

        data (n, P, F) filled slots in front; jet (n, 4); pid (n, C) one-hot; weight (n,).
        Raises UserError naming file, key and row of a value that is not finite or not a class.
        """
        return self.gather(np.arange(start, stop))

    def gather(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """As `read`, for rows in any order; rows of the same chunk of a file are read together."""
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
            offsets = rows[begin:end] - first
            if offsets[-1] + 1 == end - begin:
                self._fill(file, first - file.first, part)
                continue
            chunk_jets = self._empty(int(offsets[-1]) + 1)  # a chunk is decompressed once
            self._fill(file, first - file.first, chunk_jets)
            for key, array in part.items():
                array[...] = chunk_jets[key][offsets]
        return jets

    def _empty(self, jets: int) -> dict[str, np.ndarray]:
        """Empty arrays for so many jets."""
        spec = self.spec
        return {
            "data": np.empty((jets, spec.max_constituents, spec.num_features), np.float32),
            "jet": np.empty((jets, len(JET_FEATURES)), np.float32),
            "pid": np.empty((jets, spec.num_classes), np.float32),
            "weight": np.empty(jets, np.float32),
        }

    def kinematics(self) -> np.ndarray:
        """The jet features (num_jets, 4) of all jets, without their constituents."""
        jets = np.empty((self.num_jets, len(JET_FEATURES)), np.float32)
        for file in self._files:
            self._fill_jets(file, 0, jets[file.first : file.first + file.num_jets])
        return jets

    def weights(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Weights of these rows in rising order; of all where absent; 1 where a file has none."""
        return self._collected(self._weights, np.float64, rows)

    def labels(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Class numbers, one byte each, of these rows in rising order; of all where absent."""
        return self._collected(lambda *span: self._labels(*span).argmax(axis=1), np.int8, rows)

    def mean_weight(self, rows: np.ndarray | None = None) -> float:
        """Mean weight of these rows, of all where absent; raises UserError unless above zero."""
        total, jets = 0.0, self.num_jets if rows is None else len(rows)
        for file, inside in self._rows_inside(rows):
            total += self._weights(file, 0, file.num_jets)[inside].sum(dtype=np.float64)
        if not total > 0:
            raise UserError(
                f"{self._files[0].path}: the weights of all {jets} {self.spec.name} jets "
                f"add up to {total:g}, expected more than zero, {remedy(self.spec)}"
            )
        return float(total / jets)

    def labels_and_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers and weights of all jets, (num_jets,) each."""
        return self.labels(), self.weights()

    def observable(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """One of the spec's observables of jets at this level; that of an event for each jet.

        Raises UserError naming the file that has none, or a value that is not finite.
        """
        column, key = self.spec.observables.index(name), self.spec.key("observables", self.level)

        def read(file: _File, start: int, stop: int) -> np.ndarray:
            with self._lock:
                if key not in self._open(file.path):
                    raise UserError(f"{file.path}: no {key!r} among its keys, {remedy(self.spec)}")
            part = np.empty((stop - start, len(self.spec.observables)), np.float32)
            self._read(file.path, key, start, stop, part, per_event=True)
            check_finite(part, file.path, key, start)
            return part[:, column]

        return self._collected(read, np.float32, rows)

    def _collected(self, read: Callable, dtype: type, rows: np.ndarray | None) -> np.ndarray:
        """Values of `read(file, start, stop)`, chunk by chunk, for these rows in rising order."""
        values: np.ndarray = np.empty(self.num_jets if rows is None else len(rows), dtype)
        for file in self._files:
            for start in range(0, file.num_jets, SCAN_ROWS):
                stop = min(start + SCAN_ROWS, file.num_jets)
                span = np.array([file.first + start, file.first + stop])
                begin, end = span if rows is None else np.searchsorted(rows, span)
                if begin < end:
                    part = read(file, start, stop)
                    values[begin:end] = part if rows is None else part[rows[begin:end] - span[0]]
        return values

    def _fill(self, file: _File, start: int, jets: dict[str, np.ndarray]) -> None:
        """Fill the arrays with the rows of one file that begin at `start`."""
        stop = start + len(jets["weight"])
        self._fill_jets(file, start, jets["jet"])
        with np.errstate(over="ignore"):  # of float32, where the unit is not yet set
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
        return one_hot(pid, self.spec, file.path, start)

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
            slots = min(file.stored.slots, out.shape[1])
            out[:, :slots] = data[:, :slots]
            out[:, slots:] = 0

    def _read(
        self, path: Path, key: str, start: int, stop: int, out: np.ndarray, per_event: bool = False
    ) -> None:
        """Jets start to stop of one key into `out` (jets, ...); values per event go to each jet."""
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
                dataset.read_direct(
                    out.reshape(stop - start, *dataset.shape[1:]), np.s_[start:stop]
                )
            except Exception as error:  # a flipped bit makes HDF5 and h5py raise almost any kind
                raise UserError(
                    f"{path}: {key!r}, rows {start} to {stop}, cannot be read ({error}); "
                    f"the file is damaged, {remedy(self.spec)}"
                ) from error

    def _open(self, path: Path) -> h5py.File:
        """The open file; the least recently used one is closed where too many are open."""
        if path not in self._handles:
            try:
                now = stamp(path)
                self._handles[path] = open_for_reading(path, checked=self._stamps.get(path) == now)
                self._stamps[path] = now
            except OSError as error:
                raise unreadable(path, error, self.spec) from error
            if len(self._handles) > OPEN_FILES:
                self._handles.popitem(last=False)[1].close()
        self._handles.move_to_end(path)
        return self._handles[path]

    def _count(self, file: _File, rows: np.ndarray) -> np.ndarray:
        """Filled slots of these rows of a file, as stored or by one pass over `data`."""
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
            self.longer += int((counts[rows] > most).sum())
            return np.minimum(counts[rows], most).astype(small)
        counts = np.empty(len(rows), small)
        chunk = np.empty((SCAN_ROWS, file.stored.slots, self.spec.num_features), np.float32)
        with progress(len(rows), f"counting constituents in {file.path.name}") as bar:
            for start in range(0, file.num_jets, SCAN_ROWS):
                stop = min(start + SCAN_ROWS, file.num_jets)
                begin, end = np.searchsorted(rows, (start, stop))
                if begin < end:
                    key = self.spec.key("data", self.level)
                    self._read(file.path, key, start, stop, chunk[: stop - start])
                    selected = rows[begin:end]
                    filled = count_filled(chunk[selected - start], file.path, key, selected)
                    self.longer += int((filled > most).sum())
                    counts[begin:end] = np.minimum(filled, most)
                    bar.update(end - begin)
        return counts

    def _block_edges(self) -> np.ndarray:
        rows = block_rows(self.num_jets, self.spec.jets_per_event)
        starts = [np.arange(file.first, file.first + file.num_jets, rows) for file in self._files]
        return np.concatenate([*starts, [self.num_jets]])
