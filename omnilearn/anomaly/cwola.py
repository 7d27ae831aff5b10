"""Classification without labels: the two-jet classifier tells data from a reference.

E. Metodiev, B. Nachman, J. Thaler, arXiv:1708.02949; with PET arXiv:2502.14652, Section VIII. Every
number of injected signal and every seed is a cell, RUNS/<name>/<kind>_signal<N>/seed<k>, a run
directory of its own; a finished one is not repeated.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from omnilearn.anomaly.dijet_classifier import DijetClassifier
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import Division, Wanted, divide
from omnilearn.config import Config
from omnilearn.data.spec import DatasetSpec
from omnilearn.log import log
from omnilearn.model.checkpoint import LoadReport, assign_weights, load_checkpoint, pet_weights
from omnilearn.model.pet import PET, PETConfig
from omnilearn.runs import prepare_run
from omnilearn.tagging import task as tagging
from omnilearn.training import losses
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.trainer import Trainer, optimiser_steps

UNTRAINED = "classifier.regression"  # no jet is to be read off the token of an event


@dataclass
class DijetObjective:
    """The cross-entropy of data against reference; the protocol of `training.Trainer`."""

    pet: DijetClassifier

    def trained(self) -> dict:
        """Every weight between the constituents and the logits."""
        named = pet_weights(self.pet)
        return {name: one for name, one in named.items() if not name.startswith(UNTRAINED)}

    def prepare(self, batch: dict, rng, training: bool, constituents_per_jet: float) -> dict:
        """Nothing is drawn: these events have no identities to hide."""
        return {key: value for key, value in batch.items() if key != "index"}

    def losses(self, batch: dict) -> dict:
        """The mean over events, and the accuracy."""
        logits = self.pet(batch)
        entropy = losses.cross_entropy(batch["label"], logits)
        right = losses.is_right(batch["label"], logits)
        accuracy = losses.weighted_mean(right, batch["weight"])
        entropy = losses.weighted_mean(entropy, batch["weight"])
        return {"loss": entropy, "cross_entropy": entropy, "accuracy": accuracy}


def model_folder(config: Config, name: str) -> Path:
    """RUNS/<name>; a repeated training comes as that and seed<k> already."""
    repeated = config.name == f"seed{config.seed}"
    return Path(config.runs) if repeated else Path(config.runs) / (config.name or name)


def cells(
    config: Config, folder: Path, kind: str, signals: list[int]
) -> Iterator[tuple[int, Config]]:
    """(injected signal, its configuration) of every cell of one seed."""
    for signal in signals:
        part = kind if kind == "supervised" else f"{kind}_signal{signal}"
        yield signal, replace(config, runs=str(folder / part), name=f"seed{config.seed}")


class Classifications:
    """Cells on the same events, one after the other; the compiled graphs serve again."""

    def __init__(self, spec: DatasetSpec, events: Dijets, backbone: str, released: str):
        self.spec, self.events, self.backbone, self.released = spec, events, backbone, released
        self.model: DijetClassifier | None = None
        self.trainer: Trainer | None = None

    def train(self, config: Config, wanted: Wanted, about: dict) -> None:
        """One cell, from its backbone or from scratch to its last epoch."""
        division = divide(self.events, wanted, config.seed)
        counts = event_counts(self.events, division)
        about = {**about, **asdict(wanted), "events": counts}
        said = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
        log.info(f"{Path(config.runs).name}, {config.name}: {said}")
        training, validation = (
            self.events.pipeline(*division.part(held_out), config.batch, config.seed)
            for held_out in (False, True)
        )
        steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
        model, report = self.start(config)
        if report:
            log.info(report)
        run = prepare_run(config, "", about)
        about = {**about, "config": asdict(config)}
        objective = DijetObjective(model)
        self.trainer = Trainer(objective, config, steps, run, about, self.trainer)
        self.trainer.fit(training, validation)

    def start(self, config: Config) -> tuple[DijetClassifier, LoadReport | None]:
        """The model, brought where this seed and backbone begin."""
        pet, report = tagging.make_pet(self.spec, config, self.backbone, self.released)
        if self.model is None:
            self.model = DijetClassifier(pet)
        else:
            fresh = {name: np.array(one) for name, one in pet_weights(DijetClassifier(pet)).items()}
            assign_weights(self.model, fresh, self.backbone or self.released)
        return self.model, report


def event_counts(events: Dijets, division: Division) -> dict[str, int]:
    """Events in each role, background and signal."""
    roles = {"data": division.data, "reference": division.reference, "test": division.test}
    return {
        f"{role}_{name}": int(np.count_nonzero(chosen & kind))
        for role, chosen in roles.items()
        for name, kind in (("background", ~events.signal), ("signal", events.signal))
        if (role, name) != ("reference", "signal")
    }


@lru_cache(maxsize=1)
def compiled_classifier(config: PETConfig) -> tuple[DijetClassifier, Callable]:
    """A model of this architecture and its compiled call, one for all cells of a scan."""
    model = DijetClassifier(PET(config))
    return model, compiled_for_batches(model.call, config.max_constituents)


def trained_classifier(run: Path) -> tuple[DijetClassifier, Callable]:
    """The two-jet classifier of a run at its best epoch, and its compiled call."""
    checkpoint = load_checkpoint(run / "best.h5")
    model, logits_of = compiled_classifier(checkpoint.pet_config)
    assign_weights(model, checkpoint.weights, str(checkpoint.path))
    return model, logits_of
