"""Likelihood ratios by boosted trees on the six observables: what analyses use without a GPU.

Gradient boosting on histograms (G. Ke et al., NeurIPS 2017), scikit-learn's implementation.
"""

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from omnilearn.config import Config
from omnilearn.history import write_history
from omnilearn.training import distributed
from omnilearn.unfolding.cross_fitting import CrossFit, Rows
from omnilearn.unfolding.omnifold import Step

LEAVES = 16  # of a tree
LEAST_EVENTS = 50  # per leaf: keeps the sum of signed weights away from zero
EVENTS_PER_THREAD = 50_000  # with fewer, another thread costs more time than it saves
OBSERVABLES_PER_SPLIT = 0.5  # share drawn at random for each split, so that trainings differ


@dataclass
class TreeFit(CrossFit):
    """Boosted trees, trained from scratch for each step, so that each begins at a ratio of one.

    settings: epochs is the largest number of trees, patience the number of trees without a better
    validation loss before it stops, lr the shrinkage and weight_decay the L2 penalty of a leaf.
    """

    settings: Config = field(kw_only=True)

    def __post_init__(self):
        self.trees: HistGradientBoostingClassifier | None = None
        self.best = 0  # number of trees at the best validation loss; later ones are not used
        self.inputs = {
            level: np.stack(
                [self.events.observable(level, name) for name in self.events.spec.observables],
                axis=-1,
            )
            for level in self.events.spec.levels
        }

    def train(
        self,
        step: Step,
        samples: tuple[np.ndarray, np.ndarray],
        rows: tuple[Rows, Rows],
        folder: Path,
        seed: int,
    ) -> dict[str, int]:
        """Fit the same trees on every rank; history.jsonl has a line per tree."""
        training, validation = (
            self.labelled(step.level, self.events.two_samples(step.level, samples, selected))
            for selected in rows
        )
        config = self.settings
        self.trees = HistGradientBoostingClassifier(
            learning_rate=config.lr,
            max_iter=config.epochs,
            n_iter_no_change=config.patience,
            l2_regularization=config.weight_decay,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=LEAST_EVENTS,
            max_features=OBSERVABLES_PER_SPLIT,
            early_stopping=True,
            random_state=seed,
        )
        names = ("X_val", "y_val", "sample_weight_val")
        with threadpool_limits(threads_for(len(training[0]))):
            self.trees.fit(*training, **dict(zip(names, validation, strict=True)))
        losses = {"training": -self.trees.train_score_, "validation": -self.trees.validation_score_}
        if distributed.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            lines = [
                {
                    "epoch": tree,
                    **{
                        kind: {"loss": loss[tree], "cross_entropy": loss[tree]}
                        for kind, loss in losses.items()
                    },
                }
                for tree in range(1, len(losses["training"]))
            ]
            write_history(folder, lines)
        self.best = int(np.argmin(losses["validation"]))
        return {"epochs": self.trees.n_iter_, "best_epoch": self.best}

    def labelled(
        self, level: str, samples: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs (n, 6), class and weight (n,); an event in both samples appears twice."""
        rows = [np.flatnonzero(weight) for weight in samples]
        return (
            np.concatenate([self.inputs[level][index] for index in rows]),
            np.repeat([0, 1], [len(index) for index in rows]),
            np.concatenate([weight[index] for weight, index in zip(samples, rows, strict=True)]),
        )

    def log_ratio(self, level: str, rows: Rows) -> np.ndarray:
        """As `CrossFit.log_ratio`."""
        logit, selected = np.zeros(len(rows)), rows & self.events.passes[level]
        if selected.any() and self.trees and self.best:
            stages = self.trees.staged_decision_function(self.inputs[level][selected])
            logit[selected] = next(islice(stages, self.best - 1, None))
        return logit


def threads_for(events: int) -> int:
    """Threads for a training on so many events, at most this rank's share of the cores."""
    ranks = distributed.horovod().local_size() if distributed.horovod() else 1
    return max(1, min(len(os.sched_getaffinity(0)) // ranks, events // EVENTS_PER_THREAD))
