"""Events of two jets: the region of each event, and batches of events.

Memory holds a few numbers per event; the pipelines stream the constituents.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from omnilearn.data.catalogue import CATALOGUE
from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import WeightedPipeline
from omnilearn.data.reader import JetFiles
from omnilearn.data.spec import SPLITS, DatasetSpec
from omnilearn.training import distributed
from omnilearn.training.random_streams import Stream

SAMPLED = len(SPLITS)  # split of generated events
VALIDATION_OF_FOLDS = 10  # one in so many events of the other folds is for validation
WINDOW = 2048  # events shuffled together; their slots are 30 kB each


class EventFiles:
    """JetFiles with one row per event, in the interface that pipelines expect of files.

    num_jets: events; multiplicity (events,): filled slots of the longer jet, 0 where a jet is
    empty, so that the event is left out; filled (events, jets); edges (blocks + 1,) in events.
    """

    def __init__(self, files: JetFiles):
        self.jets, self.spec, self.origin = files, files.spec, files.origin
        count = self.spec.jets_per_event
        self.num_jets, self.edges = files.num_jets // count, files.edges // count
        self.filled = files.multiplicity.reshape(-1, count)
        self.multiplicity = self.filled.max(axis=1) * (self.filled > 0).all(axis=1)

    def rows_per_file(self) -> Iterator[tuple[Path, np.ndarray]]:
        """As `JetFiles.rows_per_file`: rows of jets."""
        return self.jets.rows_per_file()

    def gather(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """As `JetFiles.gather`, for events: data (n, jets, P, F), jet (n, jets, 4)."""
        count = self.spec.jets_per_event
        jets = self.jets.gather((count * rows[:, None] + np.arange(count)).ravel())
        arrays = {name: jets[name][::count] for name in ("pid", "weight")}
        for name in ("data", "jet"):
            arrays[name] = jets[name].reshape(len(rows), count, *jets[name].shape[1:])
        return arrays


class DijetPipeline(WeightedPipeline):
    """Batches of events, grouped by the longer of their jets.

    constituents (B, L, jets, 13), mask (B, L, jets), jet (B, jets, 4); the rest as `Pipeline`.
    """

    def _read(self, rows, batches):
        files = cast(EventFiles, self.files)
        events = files.gather(rows)
        count = self.spec.jets_per_event
        data = events["data"].reshape(-1, *events["data"].shape[2:])
        filled = files.filled[rows].ravel()
        for positions, slots in batches:
            jets = (count * positions[:, None] + np.arange(count)).ravel()
            mask = (np.arange(slots) < filled[jets, None]).astype(np.float32)
            constituents = self._standardise.constituents(data, jets, mask)
            index = rows[positions]
            yield {
                "constituents": slots_first(constituents, count),
                "mask": slots_first(mask, count),
                "jet": self._standardise.jets(events["jet"][positions]),
                "label": self._label[index],
                "weight": self._own_weight[index],
                "index": index,
            }


def slots_first(array: np.ndarray, count: int) -> np.ndarray:
    """(B N, L, ...) of N jets per event -> (B, L, N, ...)."""
    split = array.reshape(-1, count, *array.shape[1:])
    return np.ascontiguousarray(np.swapaxes(split, 1, 2))


class Dijets:
    """All events of a dataset, N in the order of SPLITS, then those of further files.

    mass (N,) GeV; signal (N,) bool; split (N,): position in SPLITS, or SAMPLED; natural (N,) bool:
    from a file that holds sidebands too, so that its spectrum has no step at the signal region.
    """

    def __init__(self, spec: DatasetSpec, folder: str, sampled: list[Path] | None = None):
        """sampled: files of generated events."""
        paths = [find_files(Path(folder), spec, split) for split in SPLITS]
        self.spec = spec
        files = JetFiles([path for group in (*paths, sampled or []) for path in group], spec)
        self.files = EventFiles(files)
        count = spec.jets_per_event
        self.mass = files.observable("dijet_mass")[::count]
        self.signal = files.labels()[::count] == spec.signal
        split_of = {path: split for split, group in enumerate(paths) for path in group}
        split, natural, start = [], [], 0
        low, high = CATALOGUE.get(spec.name, spec).signal_region  # that files are selected in
        selected = (self.mass >= low) & (self.mass < high)
        for path, rows in files.rows_per_file():
            events = len(rows) // count
            split.append(np.full(events, split_of.get(path, SAMPLED), np.int8))
            inside = selected[start : start + events]
            natural.append(np.full(events, not inside.all() and path in split_of))
            start += events
        self.split, self.natural = np.concatenate(split), np.concatenate(natural)

    def with_test_fold(self, folds: int, fold: int) -> "Dijets":
        """The same events, where the test split is one of `folds` equal parts, drawn at random.

        The other parts are for training and validation. Generated events keep their split.
        """
        stored = np.flatnonzero(self.split != SAMPLED)
        place = np.random.default_rng((0, Stream.FOLDS)).permutation(len(stored))
        is_validation = place // folds % VALIDATION_OF_FOLDS == 0
        divided = np.where(is_validation, SPLITS.index("val"), SPLITS.index("train"))
        divided[place % folds == fold] = SPLITS.index("test")
        other = copy.copy(self)
        other.split = self.split.copy()
        other.split[stored] = divided
        return other

    @property
    def in_signal_region(self) -> np.ndarray:
        low, high = self.spec.signal_region
        return (self.mass >= low) & (self.mass < high)

    @property
    def in_sidebands(self) -> np.ndarray:
        return np.any(
            [(self.mass >= low) & (self.mass < high) for low, high in self.spec.sidebands], axis=0
        )

    def pipeline(
        self, target: np.ndarray, reference: np.ndarray, batch: int, seed: int = 0
    ) -> DijetPipeline:
        """Batches of two classes of events, `target` and `reference`, both weights (N,).

        The classes have the same sum of weights and the mean weight is one.
        """
        pair = np.stack([reference, target], axis=-1).astype("float64")
        sums = pair.sum(axis=0)
        events = np.count_nonzero(pair.any(axis=1))
        pair *= np.divide(events / np.count_nonzero(sums), sums, out=np.zeros(2), where=sums > 0)
        weight = pair.sum(axis=1)
        label = np.eye(2)[(pair[:, 1] > 0).astype(int)]
        ranks = distributed.rank_and_size()
        return DijetPipeline(
            self.files, self.spec, label, weight, batch, *ranks, seed, window=WINDOW
        )
