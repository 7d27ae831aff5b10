"""Events at two levels, simulated ones and data in the same files, all splits one behind the other.

In memory are a few numbers per event, never constituents: those are streamed by the pipelines.
Who learns from what, who stops a training and what is held out is decided here, once.
"""

from pathlib import Path

import numpy as np

from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import WeightedPipeline
from omnilearn.data.reader import JetFiles
from omnilearn.data.selection import balanced_sample
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.training import distributed

SPLITS = ("train", "val", "test")
DATA = 1  # class of the data; that of the simulation is 0


class Events:
    """All events of a dataset with levels, N in the order of SPLITS and of their files.

    simulated (N,) bool; weight (N,); split (N,) position in SPLITS; fold (N,) from 0 to folds - 1;
    passes: level -> (N,) bool, whether it has a jet there; truth (N,) bool: events of the data that
    are not unfolded, for their particle level is what the result is compared with. These are the
    data of the test split, where data have a particle level (real ones have none).
    """

    def __init__(
        self, spec: DatasetSpec, folder: str, limit: int = 0, folds: int = 2, seed: int = 0
    ):
        """limit: only so many events of the training split, drawn (seed) from both samples.

        folds: parts of the events for cross-fitting, shared out at random (seed) within each split
        and sample, so that every fold has as many of each.
        """
        self.spec, self.folds = spec, folds
        paths = {split: find_files(Path(folder), spec, split) for split in SPLITS}
        every = [path for split in SPLITS for path in paths[split]]
        self.files = {level: JetFiles(every, spec, level=level) for level in spec.levels}
        first = self.files[spec.levels[0]]
        sizes = [len(rows) for _, rows in first.rows_per_file()]
        owner = np.concatenate(
            [
                np.full(jets, split, np.int8)
                for split, jets in zip(
                    np.repeat(range(3), [len(paths[split]) for split in SPLITS]), sizes, strict=True
                )
            ]
        )
        label, weight = first.labels_and_weights()
        # rows of the files that take part
        self.kept = taken(label, sizes[: len(paths["train"])], limit, seed)
        self.split, label, weight = (column[self.kept] for column in (owner, label, weight))
        self.simulated = label != DATA
        self.weight = weight.astype("float64")
        self.passes = {
            level: files.multiplicity[self.kept] > 0 for level, files in self.files.items()
        }
        for number, split in enumerate(SPLITS):
            for name, kind in zip(spec.class_names, (self.simulated, ~self.simulated), strict=True):
                if not (kind & (self.split == number)).any():
                    raise UserError(
                        f"{spec.name}: no event of the {name} among the "
                        f"{np.sum(self.split == number)} of split {split}; unfolding needs both in "
                        "every split"
                    )
        self.has_truth = bool(self.passes[spec.levels[-1]][~self.simulated].any())
        self.truth = self.has_truth & ~self.simulated & self.within("test")
        self.fold = self._folds(np.random.default_rng((seed, folds)))

    def _folds(self, rng: np.random.Generator) -> np.ndarray:
        fold = np.zeros(len(self.split), np.int8)
        for number in range(len(SPLITS)):
            for kind in (self.simulated, ~self.simulated):
                rows = rng.permutation(np.flatnonzero(kind & (self.split == number)))
                fold[rows] = np.arange(len(rows)) % self.folds
        return fold

    def within(self, split: str) -> np.ndarray:
        """Which events (N,) are of this split."""
        return self.split == SPLITS.index(split)

    def roles(self, fold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which events (N,) bool a classifier learns from, is stopped by, and weighs: all disjoint.

        It weighs one fold. Of the others the val split stops it, and it learns from the rest, but
        never from what is held out as the truth.
        """
        weighed, stops = self.fold == fold, self.within("val")
        others = ~weighed & ~self.truth
        return others & ~stops, others & stops, weighed

    @property
    def unseen(self) -> np.ndarray:
        """Events of the data (N,) bool that no classifier learns from."""
        return ~self.simulated & (self.truth | self.within("val"))

    @property
    def origin(self) -> str:
        """Public, simulated or own."""
        return self.files[self.spec.levels[0]].origin

    def observable(self, level: str, name: str) -> np.ndarray:
        """One observable of all events at one level (N,)."""
        return self.files[level].observable(name)[self.kept]

    def places(self) -> tuple[np.ndarray, np.ndarray, list[dict]]:
        """File number and row in it of all events (N,), and the files: their names and events."""
        files = list(self.files[self.spec.levels[0]].rows_per_file())
        sizes = [len(rows) for _, rows in files]
        owner = np.repeat(np.arange(len(files), dtype=np.int16), sizes)[self.kept]
        row = np.concatenate([rows.astype(np.int32) for _, rows in files])[self.kept]
        return owner, row, [{"file": str(path), "events": len(rows)} for path, rows in files]

    def spread_out(self, simulation: np.ndarray | None, data: np.ndarray | None) -> np.ndarray:
        """Numbers of the simulated events (S,) and of the data (D,) as those of all events (N,)."""
        found = np.zeros(len(self.simulated))
        if simulation is not None:
            found[self.simulated] = simulation
        if data is not None:
            found[~self.simulated] = data
        return found

    def resampled(self, seed: int, replica: int) -> tuple[np.ndarray, np.ndarray]:
        """How often a bootstrap replica draws the simulated events (S,) and the data (D,).

        Poisson numbers of mean one, for both samples: the same whoever asks.
        """
        rng = np.random.default_rng((seed, replica))
        counts = rng.poisson(1.0, len(self.simulated)).astype(np.float64)
        return counts[self.simulated], counts[~self.simulated]

    def two_samples(
        self, level: str, samples: tuple[np.ndarray, np.ndarray], rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights (N,) of the events `rows` (N,) bool in two samples, both of the same sum.

        The mean weight is one over the events that take part: those with a jet at this level.
        Raises UserError for a sample without events.
        """
        pair = np.stack(samples, axis=-1) * (self.passes[level] & rows)[:, None]
        sums, jets = pair.sum(axis=0), np.count_nonzero(pair.any(axis=1))
        if not (sums > 0).all():
            raise UserError(
                f"{self.spec.name}: of {np.sum(rows)} events at level {level} that take part in a "
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
        """Batches of the events `rows` (N,) bool to tell two samples apart, as `two_samples`.

        An event of both is read once, its label shared among them; `index` of a batch is the row
        of all files, `positions` says which event it is.
        """
        pair = np.stack(self.two_samples(level, samples, rows), axis=-1)
        weight = pair.sum(axis=1)
        label = pair / np.where(weight != 0, weight, 1.0)[:, None]
        labels, weights = np.zeros((len(self.kept), 2)), np.zeros(len(self.kept))
        labels[self.kept], weights[self.kept] = label, weight
        return WeightedPipeline(
            self.files[level],
            self.spec,
            labels,
            weights,
            batch,
            distributed.rank(),
            distributed.size(),
            seed,
        )

    def positions(self, index: np.ndarray) -> np.ndarray:
        """Which of all events (N,) stand in these rows of all files."""
        return (np.cumsum(self.kept) - 1)[index]


def taken(label: np.ndarray, training: list[int], limit: int, seed: int) -> np.ndarray:
    """Which events (F,) take part: of those of the first files, for training, only `limit` if any.

    label (F,); training: events of these files. Simulation and data keep their shares, whatever the
    order of events in the files: their ratio is the normalisation of the result.
    """
    kept, total = np.ones(len(label), bool), sum(training)
    if limit and limit < total:
        kept[:total] = False
        kept[balanced_sample(label[:total], training, [0, 1], limit, seed, keep_shares=True)] = True
    return kept
