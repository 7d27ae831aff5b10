"""From a classifier to likelihood ratios: train it on two weighted samples, weigh by exp(logit).

arXiv:2502.14652, Section VII. The ratio is clipped on both sides and normalised by one number of
all ranks; an event without a jet at the level has the ratio 1.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import keras
import numpy as np

from omnilearn.config import Config
from omnilearn.model.checkpoint import assign_weights, load_checkpoint, pet_weights
from omnilearn.model.pet import PET
from omnilearn.statistics.results import write_results
from omnilearn.tagging.task import predict
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.objective import Objective
from omnilearn.training.trainer import Trainer, optimiser_steps
from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig
from omnilearn.unfolding.events import SPLITS, Events
from omnilearn.unfolding.likelihood_ratio import closure, ratio_of, ratio_quality
from omnilearn.unfolding.omnifold import Step

Network = PET | DeepSets


def deepsets(events: Events, config: Config) -> DeepSets:
    """A fresh DeepSets classifier for the two samples."""
    keras.utils.set_random_seed(config.seed)
    return DeepSets(DeepSetsConfig(max_constituents=events.spec.max_constituents))


@dataclass
class NetworkFit:
    """The `fit` of OmniFold by a network: trained anew for each step, in a folder of its own.

    make: seed -> network to start from; `first` and `later` are the settings of the first training
    of a kind of step, and of those that go on from the iteration before. The ratio is the mean
    over `ensemble` trainings.
    """

    events: Events
    make: Callable[[int], Network]
    run: Path
    first: Config
    later: Config
    about: dict
    ensemble: int = 1
    clip: float = 100.0
    trainer: Trainer | None = field(default=None, init=False)

    def __post_init__(self):
        self.network = self.make(self.first.seed)
        slots = self.network.config.max_constituents
        self.logits_of = compiled_for_batches(self.network.call, slots)

    def __call__(self, step: Step) -> np.ndarray:
        """Ratio (S,) of the step, normalised to a mean of one over the reference."""
        weights = self.samples(step)
        ratios, reports = [], {}
        for member in range(self.ensemble):
            seed = self.first.seed + member
            self.train(step, weights, seed)
            reports[f"seed{seed}"] = self.quality(step, weights)
            simulated = self.events.simulated
            ratio = ratio_of(self.log_ratio(step.level, simulated)[simulated], self.clip)
            ratios.append(ratio * step.reference.sum() / np.sum(step.reference * ratio))
        if distributed.rank() == 0:
            write_results(self.run / step.name / "report.json", reports)
        distributed.barrier()
        return np.mean(ratios, axis=0)

    def samples(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        """Weights of all events (N,) in reference and target."""
        target = (None, step.target) if step.against_data else (step.target, None)
        return self.events.spread_out(step.reference, None), self.events.spread_out(*target)

    def train(self, step: Step, weights: tuple[np.ndarray, np.ndarray], seed: int) -> None:
        """Fit the network to the two samples and leave it at its best epoch."""
        folder = self.run / step.name / f"seed{seed}"
        before = previous(self.run, step.name) / f"seed{seed}" / "best.h5"
        goes_on = bool(distributed.agreed(before.is_file()))
        if goes_on:
            assign_weights(
                self.network,
                load_checkpoint(before, type(self.network.config)).weights,
                str(before),
            )
        else:
            start = pet_weights(self.make(seed))
            assign_weights(self.network, {name: np.array(one) for name, one in start.items()}, "")
        config = replace(self.later if goes_on else self.first, seed=seed)
        training, validation = (
            self.events.pipeline(split, step.level, weights, config.batch, config.seed)
            for split in ("train", "val")
        )
        objective = Objective(self.network, "classifier", config.regression_weight,
                              config.feature_drop, config.label_drop)  # fmt: skip
        steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
        about = {**self.about, "config": asdict(config)}
        if distributed.rank() == 0:
            print(f"{step.name}: {training.num_jets} events, {config.epochs} epochs at most",
                  flush=True)  # fmt: skip
            folder.mkdir(parents=True, exist_ok=True)
        distributed.barrier()
        self.trainer = Trainer(objective, config, steps, folder, about, self.trainer)
        self.trainer.fit(training, validation)
        best = folder / "best.h5"
        assign_weights(
            self.network, load_checkpoint(best, type(self.network.config)).weights, str(best)
        )
        distributed.barrier()

    def log_ratio(
        self, level: str, wanted: np.ndarray, splits: tuple[str, ...] = SPLITS
    ) -> np.ndarray:
        """Logit of the target against the reference (N,) of the events `wanted` (N,) bool.

        It is 0 of all others and of those without a jet at this level.
        """
        events = self.events
        found = np.zeros(len(wanted))
        both = (wanted.astype("float64"),) * 2
        for split in splits:
            pipeline = events.pipeline(split, level, both, self.first.batch)
            predicted = predict(self.network, pipeline, self.logits_of)
            logits = predicted["logits"].astype("float64")
            found[events.rows[split].start + predicted["index"]] = logits[:, 1] - logits[:, 0]
        return found

    def quality(self, step: Step, weights: tuple[np.ndarray, np.ndarray]) -> dict:
        """Numbers of the trained classifier on the validation split."""
        rows = self.events.rows["val"]
        there = self.events.passes[step.level] & ((weights[0] != 0) | (weights[1] != 0))
        logit = self.log_ratio(step.level, there, ("val",))[rows][there[rows]]
        samples = tuple(weight[rows][there[rows]] for weight in weights)
        position = self.trainer.position
        return {
            "closure_chi2": closure(logit, samples, self.clip),
            **ratio_quality(logit, samples[0], self.clip),
            "epochs": position.epoch,
            "best_epoch": position.best_epoch,
        }


def previous(run: Path, name: str) -> Path:
    """Folder of the same step of the iteration before, whether it is there or not."""
    iteration, _, step = name.partition("_")
    number = iteration.removeprefix("iteration")
    return run / f"iteration{int(number) - 1}_{step}" if number.isdigit() else run / "none"
