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
LEAST_EVENTS = 50  # of a leaf: sums of negative and positive weights stay away from zero there
EVENTS_PER_THREAD = 50_000  # with fewer, threads wait for each other longer than they work
SHARE = 0.5  # of the observables that a split chooses from, which makes trainings differ


@dataclass
class TreeFit(CrossFit):
    """Boosted trees, grown anew for each step, so that every one begins at ratio one.

    settings: epochs is the largest number of trees, patience how many more are grown without a
    better validation loss, lr their shrinkage and weight_decay the L2 penalty of a leaf.
    """

    settings: Config = field(kw_only=True)

    def __post_init__(self):
        self.trees: HistGradientBoostingClassifier | None = None
        self.best = 0  # trees with the best validation loss; those that follow are left out
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
        """Grow the trees, the same on every rank; history.jsonl has a line per tree."""
        learning, stopping = (
            self.labelled(step.level, self.events.two_samples(step.level, samples, taking_part))
            for taking_part in rows
        )
        config = self.settings
        self.trees = HistGradientBoostingClassifier(
            learning_rate=config.lr,
            max_iter=config.epochs,
            n_iter_no_change=config.patience,
            l2_regularization=config.weight_decay,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=LEAST_EVENTS,
            max_features=SHARE,
            early_stopping=True,
            random_state=seed,
        )
        names = ("X_val", "y_val", "sample_weight_val")
        with threadpool_limits(threads_for(len(learning[0]))):
            self.trees.fit(*learning, **dict(zip(names, stopping, strict=True)))
        losses = {"training": -self.trees.train_score_, "validation": -self.trees.validation_score_}
        if distributed.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            lines = [
                {
                    "epoch": number,
                    **{
                        kind: {"loss": loss[number], "cross_entropy": loss[number]}
                        for kind, loss in losses.items()
                    },
                }
                for number in range(1, len(losses["training"]))
            ]
            write_history(folder, lines)
        self.best = int(np.argmin(losses["validation"]))
        return {"epochs": self.trees.n_iter_, "best_epoch": self.best}

    def labelled(
        self, level: str, samples: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs (n, 6), class and weight (n,); an event of both samples stands there twice."""
        rows = [np.flatnonzero(weight) for weight in samples]
        return (
            np.concatenate([self.inputs[level][one] for one in rows]),
            np.repeat([0, 1], [len(one) for one in rows]),
            np.concatenate([weight[one] for weight, one in zip(samples, rows, strict=True)]),
        )

    def log_ratio(self, level: str, rows: Rows) -> np.ndarray:
        """As `CrossFit.log_ratio`."""
        found, there = np.zeros(len(rows)), rows & self.events.passes[level]
        if there.any() and self.trees and self.best:
            stages = self.trees.staged_decision_function(self.inputs[level][there])
            found[there] = next(islice(stages, self.best - 1, None))
        return found


def threads_for(events: int) -> int:
    """Threads of this rank for a training on so many events: never more than its share of cores."""
    ranks = distributed.horovod().local_size() if distributed.horovod() else 1
    return max(1, min(len(os.sched_getaffinity(0)) // ranks, events // EVENTS_PER_THREAD))
