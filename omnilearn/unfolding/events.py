"""Events at two levels, simulated ones and data in the same files, all splits one behind the other.

In memory are a few numbers per event, never constituents: those are streamed by the pipelines.
"""

from pathlib import Path

import numpy as np

from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import WeightedPipeline
from omnilearn.data.selection import selected_jets
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.training import distributed

SPLITS = ("train", "val", "test")
DATA = 1  # class of the data; that of the simulation is 0


class Events:
    """All events of a dataset with levels, N in the order of SPLITS and of their files.

    simulated (N,) bool; weight (N,); passes: level -> (N,) bool, whether it has a jet there.
    """

    def __init__(self, spec: DatasetSpec, folder: str, limit: int = 0, seed: int = 0):
        """limit: only so many training events, drawn by the seed.

        Simulation and data keep their shares: their ratio is the normalisation of the result.
        """
        self.spec, self.files, self.rows = spec, {}, {}
        labels, weights, passes, start = [], [], {level: [] for level in spec.levels}, 0
        for split in SPLITS:
            paths = find_files(Path(folder), spec, split)
            most = limit if split == "train" else 0
            levels = {level: selected_jets(paths, spec, most, seed=seed, level=level,
                                            keep_shares=True)[0]
                      for level in spec.levels}  # fmt: skip
            self.files[split] = levels
            first = levels[spec.levels[0]]
            self.rows[split] = slice(start, start + first.num_jets)
            start += first.num_jets
            label, weight = first.labels_and_weights()
            labels.append(label)
            weights.append(weight)
            for level, files in levels.items():
                passes[level].append(files.multiplicity > 0)
            for name, kind in zip(spec.class_names, (label != DATA, label == DATA), strict=True):
                if not kind.any():
                    raise UserError(
                        f"{spec.name}: no event of the {name} among the {len(label)} of split "
                        f"{split}; unfolding needs both in every split"
                    )
        self.simulated = np.concatenate(labels) != DATA
        self.weight = np.concatenate(weights).astype("float64")
        self.passes = {level: np.concatenate(parts) for level, parts in passes.items()}

    @property
    def origin(self) -> str:
        """Public, simulated or own."""
        return self.files["train"][self.spec.levels[0]].origin

    def observable(self, level: str, name: str) -> np.ndarray:
        """One observable of all events at one level (N,)."""
        return np.concatenate([self.files[split][level].observable(name) for split in SPLITS])

    def spread_out(self, simulation: np.ndarray | None, data: np.ndarray | None) -> np.ndarray:
        """Numbers of the simulated events (S,) and of the data (D,) as those of all events (N,)."""
        found = np.zeros(len(self.simulated))
        if simulation is not None:
            found[self.simulated] = simulation
        if data is not None:
            found[~self.simulated] = data
        return found

    def pipeline(
        self,
        split: str,
        level: str,
        samples: tuple[np.ndarray, np.ndarray],
        batch: int,
        seed: int = 0,
    ) -> WeightedPipeline:
        """Batches to tell two samples apart: weights (N,) of the events in each of them.

        Both samples have the same sum of weights and the mean weight is one. An event of both is
        read once, its label shared among them. Raises UserError for a sample without events.
        """
        files, rows = self.files[split][level], self.rows[split]
        pair = np.stack([weight[rows] for weight in samples], axis=-1)  # (rows, 2)
        pair *= self.passes[level][rows, None]
        sums, jets = pair.sum(axis=0), np.count_nonzero(pair.any(axis=1))
        if not (sums > 0).all():
            raise UserError(
                f"{self.spec.name}: split {split} at level {level} has a sample without events, "
                "or with weights that do not add up to more than zero; simulate or train on more"
            )
        pair *= 0.5 * jets / sums
        weight = pair.sum(axis=1)
        label = pair / np.where(weight != 0, weight, 1.0)[:, None]
        return WeightedPipeline(files, self.spec, label, weight, batch,
                                distributed.rank(), distributed.size(), seed)  # fmt: skip
