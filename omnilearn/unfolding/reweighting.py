"""Likelihood ratios by a network over all constituents: PET or DeepSets, trained for each step."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from omnilearn.config import Config
from omnilearn.data.spec import DatasetSpec
from omnilearn.fit import fit, fresh, load_best, pet_objective
from omnilearn.log import log
from omnilearn.model.checkpoint import assign_weights, load_checkpoint, model_weights, weight_arrays
from omnilearn.model.pet import PET
from omnilearn.tagging.metrics import pair_score
from omnilearn.tagging.task import predict
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.trainer import Trainer
from omnilearn.unfolding.cross_fitting import CrossFit, Rows, previous
from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig
from omnilearn.unfolding.omnifold import Step

Network = PET | DeepSets
CROSS_ENTROPY_OF_ONE = math.log(2)  # of a ratio of one everywhere
LOGITS = "classifier.logits."  # the layer whose output is the logarithm of the ratio


def deepsets(spec: DatasetSpec, seed: int) -> DeepSets:
    """A fresh DeepSets classifier for the two samples."""
    return fresh(DeepSets, DeepSetsConfig(max_constituents=spec.max_constituents), seed)


@dataclass
class NetworkFit(CrossFit):
    """A network, trained anew for each step.

    make: seed -> initial network; `first`: settings of the first iteration; `later`: those of later
    iterations, which start from the weights of the previous one.
    """

    make: Callable[[int], Network] = field(kw_only=True)
    first: Config = field(kw_only=True)
    later: Config = field(kw_only=True)
    about: dict = field(kw_only=True)
    trainer: Trainer | None = field(default=None, init=False)
    separates: bool = field(default=True, init=False)  # False: the ratio of the last step is one

    def __post_init__(self):
        self.network = self.make(self.seed)
        slots = self.network.config.max_constituents
        self.logits_of = compiled_for_batches(self.network.call, slots)

    def ranks_of(self, run: Path) -> int:
        """As `CrossFit.ranks_of`, from the first training of the run."""
        path = run / "iteration1_step1" / f"seed{self.seed}" / "fold0" / "best.h5"
        return int(load_checkpoint(path, type(self.network.config)).record["ranks"])

    def start(self, step: Step, folder: Path, seed: int) -> bool:
        """Set the initial weights of a training; returns whether it is of a later iteration.

        A later iteration starts from the weights of the previous one. If the ratio multiplies push
        weights, the layer of the logits is set to zero, so that the ratio starts at one.
        """
        before = previous(self.run, step.name) / folder.relative_to(folder.parents[1]) / "best.h5"
        is_later = bool(distributed.broadcast(before.is_file()))
        if is_later:
            load_best(self.network, before)
            if step.multiplies:
                for name, weight in model_weights(self.network).items():
                    if name.startswith(LOGITS):
                        weight.assign(np.zeros(weight.shape, "float32"))
        else:
            assign_weights(self.network, weight_arrays(self.make(seed)), "")
        return is_later

    def train(
        self,
        step: Step,
        samples: tuple[np.ndarray, np.ndarray],
        rows: tuple[Rows, Rows],
        folder: Path,
        seed: int,
    ) -> dict[str, int]:
        """Fit the network to the two samples and load its best epoch.

        A ratio that multiplies push weights is one if no epoch has a lower validation loss than
        that, the start of its training: the network would add noise to the weights.
        """
        is_later = self.start(step, folder, seed)
        config = self.later if is_later else self.first
        config = replace(config, seed=seed, accumulate=config.accumulate * self.ranks)
        training, validation = (
            self.events.pipeline(step.level, samples, selected, config.batch, config.seed)
            for selected in rows
        )
        limit = f"at most {config.epochs} epochs"
        log.info(f"{step.name}, {folder.name}: {training.num_jets} events, {limit}")
        if distributed.rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
        distributed.barrier()
        objective, data = pet_objective(self.network, config), (training, validation)
        self.trainer = fit(objective, config, data, folder, self.about, self.trainer)
        position = self.trainer.position
        losses = [line["validation"]["cross_entropy"] for line in position.history]
        self.separates = not step.multiplies or min(losses, default=math.inf) < CROSS_ENTROPY_OF_ONE
        load_best(self.network, folder)
        distributed.barrier()
        return {"epochs": position.epoch, "best_epoch": self.separates * position.best_epoch}

    def log_ratio(self, level: str, rows: Rows) -> np.ndarray:
        """As `CrossFit.log_ratio`."""
        ratios = np.zeros(len(rows))
        if not self.separates or not (rows & self.events.passes[level]).any():
            return ratios
        samples = (rows.astype("float64"),) * 2
        pipeline = self.events.pipeline(level, samples, rows, self.first.batch)
        predicted = predict(self.network, pipeline, self.logits_of)
        ratios[self.events.positions(predicted["index"])] = pair_score(predicted["logits"], 1, 0)
        return ratios
