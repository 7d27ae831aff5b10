"""Likelihood ratios by a network over all constituents: PET or DeepSets, trained for each step."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from omnilearn.config import Config
from omnilearn.fit import fit, fresh, load_best, pet_objective
from omnilearn.log import log
from omnilearn.model.checkpoint import assign_weights, model_weights
from omnilearn.model.pet import PET
from omnilearn.tagging.task import predict
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.trainer import Trainer
from omnilearn.unfolding.cross_fitting import CrossFit, Rows, previous
from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import Step

Network = PET | DeepSets
LOGITS = "classifier.logits."  # the layer whose output is the logarithm of the ratio


def deepsets(events: Events, config: Config) -> DeepSets:
    """A fresh DeepSets classifier for the two samples."""
    sizes = DeepSetsConfig(max_constituents=events.spec.max_constituents)
    return fresh(DeepSets, sizes, config.seed)


@dataclass
class NetworkFit(CrossFit):
    """A network, trained anew for each step.

    make: seed -> network to start from; `first` and `later` are the settings of the first training
    of a kind of step, and of those that go on from the iteration before.
    """

    make: Callable[[int], Network] = field(kw_only=True)
    first: Config = field(kw_only=True)
    later: Config = field(kw_only=True)
    about: dict = field(kw_only=True)
    trainer: Trainer | None = field(default=None, init=False)

    def __post_init__(self):
        self.network = self.make(self.seed)
        slots = self.network.config.max_constituents
        self.logits_of = compiled_for_batches(self.network.call, slots)

    def start(self, step: Step, folder: Path, seed: int) -> bool:
        """Give the network the weights a training begins with; is it a later iteration?

        Then they are those of the iteration before. A step whose ratio multiplies the weights that
        are there already begins at ratio one: of the classifier only the logits are forgotten.
        """
        before = previous(self.run, step.name) / folder.relative_to(folder.parents[1]) / "best.h5"
        goes_on = bool(distributed.agreed(before.is_file()))
        if goes_on:
            load_best(self.network, before)
            if step.multiplies:
                for name, weight in model_weights(self.network).items():
                    if name.startswith(LOGITS):
                        weight.assign(np.zeros(weight.shape, "float32"))
        else:
            fresh = model_weights(self.make(seed))
            assign_weights(self.network, {name: np.array(one) for name, one in fresh.items()}, "")
        return goes_on

    def train(
        self,
        step: Step,
        samples: tuple[np.ndarray, np.ndarray],
        rows: tuple[Rows, Rows],
        folder: Path,
        seed: int,
    ) -> dict[str, int]:
        """Fit the network to the two samples and leave it at its best epoch."""
        goes_on = self.start(step, folder, seed)
        config = replace(self.later if goes_on else self.first, seed=seed)
        training, validation = (
            self.events.pipeline(step.level, samples, taking_part, config.batch, config.seed)
            for taking_part in rows
        )
        most = f"{config.epochs} epochs at most"
        log.info(f"{step.name}, {folder.name}: {training.num_jets} events, {most}")
        if distributed.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
        distributed.barrier()
        objective, data = pet_objective(self.network, config), (training, validation)
        self.trainer = fit(objective, config, data, folder, self.about, self.trainer)
        position = self.trainer.position
        load_best(self.network, folder)
        distributed.barrier()
        return {"epochs": position.epoch, "best_epoch": position.best_epoch}

    def log_ratio(self, level: str, rows: Rows) -> np.ndarray:
        """As `CrossFit.log_ratio`."""
        found = np.zeros(len(rows))
        if not (rows & self.events.passes[level]).any():
            return found
        both = (rows.astype("float64"),) * 2
        pipeline = self.events.pipeline(level, both, rows, self.first.batch)
        predicted = predict(self.network, pipeline, self.logits_of)
        logits = predicted["logits"].astype("float64")
        found[self.events.positions(predicted["index"])] = logits[:, 1] - logits[:, 0]
        return found
