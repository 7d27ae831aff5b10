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

from omnilearn.anomaly.dijet_classifier import DijetClassifier, DijetConfig
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import EventRoles, SearchConfig, divide
from omnilearn.config import Config, Start
from omnilearn.data.spec import DatasetSpec
from omnilearn.fit import fit, make_pet
from omnilearn.log import log
from omnilearn.model.checkpoint import assign_weights, load_checkpoint, model_weights
from omnilearn.model.pet import PET
from omnilearn.runs import prepare_run
from omnilearn.training import losses
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.objective import Objective
from omnilearn.training.trainer import Trainer

UNTRAINED = "classifier.regression"  # no jet is to be read off the token of an event


@dataclass
class DijetObjective(Objective):
    """The cross-entropy of data against reference."""

    model: DijetClassifier

    def trained(self) -> dict:
        """Every weight between the constituents and the logits."""
        named = model_weights(self.model)
        return {name: one for name, one in named.items() if not name.startswith(UNTRAINED)}

    def prepare(self, batch: dict, rng, training: bool, constituents_per_jet: float) -> dict:
        """Nothing is drawn: these events have no identities to hide."""
        return {key: value for key, value in batch.items() if key != "index"}

    def losses(self, batch: dict) -> dict:
        """The mean over events, and the accuracy."""
        logits = self.model(batch)
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

    def __init__(self, spec: DatasetSpec, events: Dijets, start: Start):
        self.spec, self.events, self.start = spec, events, start
        self.model: DijetClassifier | None = None
        self.trainer: Trainer | None = None

    def train(self, config: Config, wanted: SearchConfig, about: dict) -> None:
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
        model = self.started(config)
        run = prepare_run(config, "", about)
        objective, data = DijetObjective(model), (training, validation)
        self.trainer = fit(objective, config, data, run, about, self.trainer)

    def started(self, config: Config) -> DijetClassifier:
        """The model, brought where this seed and backbone begin."""
        pet = make_pet(self.spec, config, self.start)
        if self.model is None:
            self.model = DijetClassifier(pet)
        else:
            began = model_weights(DijetClassifier(pet))
            arrays = {name: np.array(weight) for name, weight in began.items()}
            assign_weights(self.model, arrays, str(self.start.path))
        return self.model


def event_counts(events: Dijets, division: EventRoles) -> dict[str, int]:
    """Events in each role, background and signal."""
    roles = {"data": division.data, "reference": division.reference, "test": division.test}
    return {
        f"{role}_{name}": int(np.count_nonzero(chosen & kind))
        for role, chosen in roles.items()
        for name, kind in (("background", ~events.signal), ("signal", events.signal))
        if (role, name) != ("reference", "signal")
    }


@lru_cache(maxsize=1)
def compiled_classifier(config: DijetConfig) -> tuple[DijetClassifier, Callable]:
    """A model of this architecture and its compiled call, one for all cells of a scan."""
    model = DijetClassifier(PET(config))
    return model, compiled_for_batches(model.call, config.max_constituents)


def trained_classifier(run: Path) -> tuple[DijetClassifier, Callable]:
    """The two-jet classifier of a run at its best epoch, and its compiled call."""
    checkpoint = load_checkpoint(run / "best.h5", DijetConfig)
    model, logits_of = compiled_classifier(checkpoint.model_config)
    assign_weights(model, checkpoint.weights, str(checkpoint.path))
    return model, logits_of
