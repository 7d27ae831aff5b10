"""Classification without labels (CWoLa): the two-jet classifier of data against a reference.

E. Metodiev, B. Nachman, J. Thaler, arXiv:1708.02949; with PET arXiv:2502.14652, Section VIII. A
cell of a scan has a number of injected signal events and a seed. Its run directory is
RUNS/<name>/<kind>_signal<N>/seed<k>, or seed<k>_fold<f> where each fold of the events has a
classifier of its own; a finished cell is not repeated.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from omnilearn.anomaly.dijet_classifier import DijetClassifier, DijetConfig
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import EventRoles, SearchConfig, assign_roles, require_samples
from omnilearn.config import Config, Start
from omnilearn.data.spec import DatasetSpec
from omnilearn.fit import fit, make_pet
from omnilearn.log import log
from omnilearn.model.checkpoint import assign_weights, load_checkpoint, model_weights, weight_arrays
from omnilearn.model.pet import PET
from omnilearn.runs import prepare_run
from omnilearn.training import losses
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.objective import Objective
from omnilearn.training.optimiser import optimiser_steps
from omnilearn.training.trainer import Trainer

UNTRAINED = "classifier.regression"  # regression of jet kinematics: not trained on events


@dataclass
class DijetObjective(Objective):
    """The cross-entropy of data against reference."""

    model: DijetClassifier

    def trained(self) -> dict:
        """Every weight between the constituents and the logits."""
        weights = model_weights(self.model).items()
        return {name: weight for name, weight in weights if not name.startswith(UNTRAINED)}

    def prepare(self, batch: dict, rng, training: bool, constituents_per_jet: float) -> dict:
        """The batch without `index`; nothing is random."""
        return {key: value for key, value in batch.items() if key != "index"}

    def losses(self, batch: dict) -> dict:
        """Mean cross-entropy and accuracy of the events."""
        return losses.classification_terms(batch["label"], self.model(batch), batch["weight"])


def model_folder(config: Config, name: str) -> Path:
    """RUNS/<name>, which is already `config.runs` where --repeats set the name to seed<k>."""
    is_repeat = config.name == f"seed{config.seed}"
    return Path(config.runs) if is_repeat else Path(config.runs) / (config.name or name)


def cell_config(config: Config, folder: Path, search: SearchConfig) -> Config:
    """The configuration of the cell of a search, whose seed is that of `config`."""
    cell = folder / search.cell(config.seed)
    return replace(config, runs=str(cell.parent), name=cell.name)


class Classifications:
    """Trainings of cells on the same events, which share the compiled graphs."""

    def __init__(self, spec: DatasetSpec, events: Dijets, start: Start, weights: np.ndarray):
        """weights (N,): of the events where they are reference."""
        self.spec, self.events, self.start, self.weights = spec, events, start, weights
        self.model: DijetClassifier | None = None
        self.trainer: Trainer | None = None

    def train(self, config: Config, search: SearchConfig, about: dict) -> None:
        """Train one cell, from the backbone or from scratch, to its last epoch."""
        roles = assign_roles(self.events, search, config.seed)
        require_samples(self.events, roles)
        counts = event_counts(self.events, roles)
        about = {**about, **asdict(search), "events": counts}
        summary = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        log.info(f"{Path(config.runs).name}, {config.name}: {summary}")
        pairs = (roles.samples(is_validation) for is_validation in (False, True))
        training, validation = (
            self.events.pipeline(data, reference * self.weights, config.batch, config.seed)
            for data, reference in pairs
        )
        # raises for a batch that is too large, before there is a run
        optimiser_steps(training.steps_per_epoch, config.accumulate)
        model = self.initial_model(config)
        run = prepare_run(config, "", about)
        objective, data = DijetObjective(model), (training, validation)
        self.trainer = fit(objective, config, data, run, about, self.trainer)

    def initial_model(self, config: Config) -> DijetClassifier:
        """The model with its initial weights for this seed and backbone."""
        pet = make_pet(self.spec, config, self.start)
        if self.model is None:
            self.model = DijetClassifier(pet)
        else:
            initial = weight_arrays(DijetClassifier(pet))
            assign_weights(self.model, initial, str(self.start.path))
        return self.model


def event_counts(events: Dijets, roles: EventRoles) -> dict[str, int]:
    """Numbers of background and signal events in each role."""
    return {
        f"{role}_{name}": int(np.count_nonzero(getattr(roles, role) & kind))
        for role in ("data", "reference", "test")
        for name, kind in (("background", ~events.signal), ("signal", events.signal))
        if (role, name) != ("reference", "signal")
    }


@lru_cache(maxsize=1)
def compiled_classifier(config: DijetConfig) -> tuple[DijetClassifier, Callable]:
    """A model of this architecture and its compiled call, shared by all cells of a scan."""
    model = DijetClassifier(PET(config))
    return model, compiled_for_batches(model.call, config.max_constituents)


def trained_classifier(run: Path) -> tuple[DijetClassifier, Callable]:
    """The two-jet classifier of a run at its best epoch, and its compiled call."""
    checkpoint = load_checkpoint(run / "best.h5", DijetConfig)
    model, logits_of = compiled_classifier(checkpoint.model_config)
    assign_weights(model, checkpoint.weights, str(checkpoint.path))
    return model, logits_of
