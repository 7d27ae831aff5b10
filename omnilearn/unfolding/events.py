"""Events at two levels: simulation and data in the same files, the splits in sequence.

Memory holds a few numbers per event; the pipelines stream the constituents. This module alone
decides which events train a classifier, which stop a training and which are held out.
"""

from functools import cached_property
from pathlib import Path

import numpy as np

from omnilearn.content import content, hashed
from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import WeightedPipeline
from omnilearn.data.reader import JetFiles
from omnilearn.data.selection import balanced_sample
from omnilearn.data.spec import SPLITS, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.training import distributed
from omnilearn.training.random_streams import Stream

DATA = 1  # class of the data; that of the simulation is 0


class Events:
    """All events of a dataset with levels, N in the order of SPLITS and of their files.

    simulated (N,) bool; weight (N,); split (N,) position in SPLITS; fold (N,) from 0 to folds - 1;
    passes: level -> (N,) bool, whether it has a jet there; selected (F,) bool: rows of the files
    that are among the N events; truth (N,) bool: data that are not unfolded, because the result is
    compared with their particle level. These are the data of the test split, if data have a
    particle level (real data have none).
    """

    def __init__(
        self, spec: DatasetSpec, folder: str, limit: int = 0, folds: int = 2, seed: int = 0
    ):
        """limit: largest number of training events, drawn (seed) from both samples; 0: all.

        folds: parts of the events for cross-fitting, assigned at random (seed) within each split
        and sample, so that all folds have equally many of each.
        """
        self.spec, self.folds = spec, folds
        self._observables: dict[tuple[str, str], np.ndarray] = {}
        paths = {split: find_files(Path(folder), spec, split) for split in SPLITS}
        all_paths = [path for split in SPLITS for path in paths[split]]
        self.files = {level: JetFiles(all_paths, spec, level=level) for level in spec.levels}
        first = self.files[spec.levels[0]]
        sizes = [len(rows) for _, rows in first.rows_per_file()]
        file_split = np.repeat(np.arange(3), [len(paths[split]) for split in SPLITS])
        label, weight = first.labels_and_weights()
        self.selected = select_events(label, sizes[: len(paths["train"])], limit, seed)
        self.split = np.repeat(file_split.astype(np.int8), sizes)[self.selected]
        label, weight = label[self.selected], weight[self.selected]
        self.simulated = label != DATA
        self.weight = weight.astype("float64")
        self.passes = {
            level: files.multiplicity[self.selected] > 0 for level, files in self.files.items()
        }
        for split in SPLITS:
            inside = self.within(split)
            for name, sample in zip(
                spec.class_names, (self.simulated, ~self.simulated), strict=True
            ):
                if not (sample & inside).any():
                    raise UserError(
                        f"{spec.name}: no event of the {name} among the {np.sum(inside)} of split "
                        f"{split}; unfolding needs both in every split"
                    )
        self.has_truth = bool(self.passes[spec.levels[-1]][~self.simulated].any())
        self.truth = self.has_truth & ~self.simulated & self.within("test")
        self.fold = self._folds(np.random.default_rng((seed, folds)))

    def _folds(self, rng: np.random.Generator) -> np.ndarray:
        fold = np.zeros(len(self.split), np.int8)
        for split in SPLITS:
            for sample in (self.simulated, ~self.simulated):
                rows = rng.permutation(np.flatnonzero(sample & self.within(split)))
                fold[rows] = np.arange(len(rows)) % self.folds
        return fold

    def within(self, split: str) -> np.ndarray:
        """The events (N,) bool of this split."""
        return self.split == SPLITS.index(split)

    def roles(self, fold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Disjoint events (N,) bool for training, for validation, and whose ratios are predicted.

        The ratios are those of one fold. In the other folds the val split is for validation, the
        rest for training, except for the truth, which has no part in either.
        """
        predicted, in_val = self.fold == fold, self.within("val")
        other_folds = ~predicted & ~self.truth
        return other_folds & ~in_val, other_folds & in_val, predicted

    @property
    def held_out(self) -> np.ndarray:
        """Events of the data (N,) bool that no classifier is trained on."""
        return ~self.simulated & (self.truth | self.within("val"))

    @property
    def origin(self) -> str:
        """The origin of the files: public, simulated or own."""
        return self.files[self.spec.levels[0]].origin

    def observable(self, level: str, name: str) -> np.ndarray:
        """One observable of all events at one level (N,), read once."""
        if (level, name) not in self._observables:
            self._observables[level, name] = self.files[level].observable(name)[self.selected]
        return self._observables[level, name]

    def file_rows(self) -> tuple[np.ndarray, np.ndarray, list[dict]]:
        """File number (N,) and row (N,) of every event; names, sizes and digests of the files."""
        files = list(self.files[self.spec.levels[0]].rows_per_file())
        sizes = [len(rows) for _, rows in files]
        owner = np.repeat(np.arange(len(files), dtype=np.int16), sizes)[self.selected]
        row = np.concatenate([rows.astype(np.int32) for _, rows in files])[self.selected]
        inputs = [
            {"file": str(path), "events": len(rows), "digest": content(path)}
            for path, rows in files
        ]
        return owner, row, inputs

    @cached_property
    def digest(self) -> str:
        """Of the content of all files, by which other events are noticed."""
        files = self.files[self.spec.levels[0]].rows_per_file()
        return hashed(*(content(path).encode() for path, _ in files))

    def scatter(self, simulation: np.ndarray | None, data: np.ndarray | None) -> np.ndarray:
        """Values of all events (N,) from those of simulation (S,) and data (D,); None gives 0."""
        values = np.zeros(len(self.simulated))
        values[self.simulated] = 0.0 if simulation is None else simulation
        values[~self.simulated] = 0.0 if data is None else data
        return values

    def resampled(self, seed: int, replica: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts of the simulated events (S,) and the data (D,) in a bootstrap replica.

        They are Poisson-distributed with mean one, and depend on seed and replica alone.
        """
        rng = np.random.default_rng((seed, Stream.REPLICA_COUNTS, replica))
        counts = rng.poisson(1.0, len(self.simulated)).astype(np.float64)
        return counts[self.simulated], counts[~self.simulated]

    def two_samples(
        self, level: str, samples: tuple[np.ndarray, np.ndarray], rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights (N,) of the events `rows` (N,) bool in two samples, both of the same sum.

        The mean weight is one over the events with a jet at this level; those without have weight
        zero. Raises UserError for a sample without events.
        """
        pair = np.stack(samples, axis=-1) * (self.passes[level] & rows)[:, None]
        sums, jets = pair.sum(axis=0), np.count_nonzero(pair.any(axis=1))
        if not (sums > 0).all():
            raise UserError(
                f"{self.spec.name}: of {np.sum(rows)} events at level {level} for one "
                f"training, the weights of the two samples add up to {sums[0]:g} and {sums[1]:g}; "
                "expected both above zero: take more events"
            )
        pair *= 0.5 * jets / sums
        return pair[:, 0], pair[:, 1]

    def pipeline(
        self,
        level: str,
        samples: tuple[np.ndarray, np.ndarray],
        rows: np.ndarray,
        batch: int,
        seed: int = 0,
    ) -> WeightedPipeline:
        """Batches of the events `rows` (N,) bool in two samples, weighted as in `two_samples`.

        An event in both is read once, with a label shared between them; `index` of a batch counts
        the rows of all files, which `positions` turns into events.
        """
        pair = np.stack(self.two_samples(level, samples, rows), axis=-1)
        weight = pair.sum(axis=1)
        label = pair / np.where(weight != 0, weight, 1.0)[:, None]
        labels, weights = np.zeros((len(self.selected), 2)), np.zeros(len(self.selected))
        labels[self.selected], weights[self.selected] = label, weight
        ranks = distributed.rank_and_size()
        return WeightedPipeline(self.files[level], self.spec, labels, weights, batch, *ranks, seed)

    def positions(self, index: np.ndarray) -> np.ndarray:
        """Positions among the N events of these rows of all files."""
        return (np.cumsum(self.selected) - 1)[index]


def select_events(label: np.ndarray, training: list[int], limit: int, seed: int) -> np.ndarray:
    """The events (F,) bool in use: a random `limit` of the training events, all if it is 0.

    label (F,); training: numbers of events of the training files, which come first. Simulation and
    data keep their shares, because their ratio is the normalisation of the result.
    """
    selected, total = np.ones(len(label), bool), sum(training)
    if limit and limit < total:
        rows = balanced_sample(label[:total], training, [0, 1], limit, seed, keep_shares=True)
        selected[:total] = False
        selected[rows] = True
    return selected
