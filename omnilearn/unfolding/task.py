"""Unfolding a dataset with two levels: OmniFold over all constituents, or its first step alone.

arXiv:1911.09107; with PET arXiv:2404.16091v2. A run directory holds a folder per step with its
classifiers and weights, iterations.json (when to stop) and weights.h5, the result.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from omnilearn.config import Config, Start
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.fit import make_pet, require_jets
from omnilearn.history import read_history, write_history
from omnilearn.log import log
from omnilearn.runs import prepare_run, revision, versions
from omnilearn.settings import Settings, flag, option, without_effect
from omnilearn.statistics.uncertainty import effective_size
from omnilearn.tagging import task as tagging
from omnilearn.training import distributed
from omnilearn.unfolding.boosted_trees import TreeFit
from omnilearn.unfolding.cross_fitting import CrossFit
from omnilearn.unfolding.evaluation import EVALUATION, evaluate, not_evaluated
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import DETECTOR, PARTICLE, Sample
from omnilearn.unfolding.recipes import CLASSIFIERS, CLASSIFIERS_UNFOLDING, UNFOLDING
from omnilearn.unfolding.repetitions import Unfolding
from omnilearn.unfolding.reweighting import NetworkFit, deepsets
from omnilearn.unfolding.unfolded_weights import write_weights

__all__ = ["EVALUATION", "SETTINGS", "evaluate", "finetune", "idle_flags", "not_evaluated"]

OF_PIPELINES = ("jets_per_epoch", "classes", "val_jets", "weighted")  # its pipelines have none
OF_LATER_STEPS = ("iterations", "later_epochs", "later_lr", "misses")
OF_NETWORKS = (
    *("later_epochs", "later_lr", "batch", "accumulate", "warmup_epochs", "decay", "optimiser"),
    *("body_factor", "clip_norm", "beta2", "precision", "regression_weight", "feature_drop"),
    *("padding", "checkpoint_every", "accept_changed_data", "tensorboard"),
)


@dataclass(frozen=True)
class UnfoldingSettings(Settings):
    """Settings of the unfolding; those of its trainings are in Config."""

    default_is: ClassVar = "recipe, else"

    step: str = option(
        "unfold",
        "unfold: the whole algorithm; reweight: one classifier at detector level",
        choices=("unfold", "reweight"),
    )
    iterations: int = option(5, "iterations of two steps each", least=1)
    classifier: str = option(
        "pet",
        "classifier of the two samples: pet or deepsets on all constituents, boosted trees on "
        "the six observables",
        choices=("pet", "deepsets", "trees"),
    )
    folds: int = option(
        5,
        "parts of the events; each is weighted by a classifier trained on the others",
        least=2,
        most=100,
    )
    ensemble: int = option(1, "trainings per step, whose mean ratio is taken", least=1)
    replicas: int = option(
        0,
        "repetitions with Poisson weights on data and simulation and seeds of their own, shared "
        "among the ranks",
        least=0,
    )
    trainings: int = option(
        0, "repetitions with other seeds alone, shared among the ranks", least=0
    )
    misses: str = option(
        "average",
        "weights of events that one level misses: average (arXiv:2105.04448) or prior",
        choices=("average", "prior"),
    )
    clip: float = option(100.0, "likelihood ratios are kept between 1 / clip and clip", above=1)
    later_epochs: int = option(20, "epochs at most, from the second iteration on", least=1)
    later_lr: float = option(1e-6, "learning rate from the second iteration on", above=0)


SETTINGS = UnfoldingSettings


def recipes(config: Config, given: dict) -> tuple[dict, dict]:
    """Settings that the classifier changes in Config, and the recipe of the unfolding."""
    classifier, preset = given.get("classifier", UnfoldingSettings.classifier), config.preset
    training, unfolding = (
        table.get(classifier, {}).get(preset, {}) for table in (CLASSIFIERS, CLASSIFIERS_UNFOLDING)
    )
    return training, {**UNFOLDING[preset], **unfolding}


def idle_flags(config: Config, start: Start, settings: UnfoldingSettings) -> dict[str, str]:
    """Flags without effect on this unfolding, and the sentences that refuse them."""
    idle = tagging.idle_flags(config, start, settings)
    idle |= without_effect("an unfolding, whose epochs are passes over all events", OF_PIPELINES)
    if settings.step == "reweight":
        idle |= without_effect("the first step alone", OF_LATER_STEPS)
    if settings.classifier != "pet":
        scratch = f"--classifier {settings.classifier} is trained from scratch; leave out --"
        idle |= {name: scratch + flag(name) for name in ("backbone", "released_weights")}
        idle |= without_effect("DeepSets", ["padding"])
    if settings.classifier == "trees":
        idle |= without_effect("trees, which are grown anew in every step", OF_NETWORKS)
    return idle


def make_fit(
    events: Events, config: Config, settings: UnfoldingSettings, start: Start, about: dict
) -> CrossFit:
    """The classifiers of the unfolding; each unfolding sets their run directory."""
    arguments = (events, Path(config.runs), config.seed, settings.ensemble, settings.clip)
    if settings.classifier == "trees":
        return TreeFit(*arguments, settings=config)

    def network(seed: int):
        if settings.classifier == "deepsets":
            return deepsets(events.spec, seed)
        return make_pet(events.spec, replace(config, seed=seed), start, log.debug)

    later = replace(config, epochs=settings.later_epochs, lr=settings.later_lr, warmup_epochs=0)
    return NetworkFit(*arguments, make=network, first=config, later=later, about=about)


def finetune(
    spec: DatasetSpec, config: Config, name: str, start: Start, settings: UnfoldingSettings
) -> None:
    """One unfolding, in the run directory `name` unless `config` names another."""
    if config.mode != "classifier":
        raise UserError(f"--mode is {config.mode!r}; an unfolding trains the classifier")
    if not spec.levels:
        raise UserError(f"{spec.name} has one level; unfolding needs detector and particle level")
    events = Events(spec, config.data, config.train_jets, settings.folds, config.seed)
    found = int(events.within("train").sum())
    require_jets("--train-jets", config.train_jets, found, f"{spec.name} events for training")
    about = {"task": "unfolding", "dataset": spec.name, "backbone": start.path}
    about |= asdict(settings)
    fit = make_fit(events, config, settings, start, about)
    run = prepare_run(config, name, about)
    data = ~events.simulated & ~events.truth
    log.info(
        f"{spec.name}: {events.simulated.sum()} simulated events, {data.sum()} of the data, "
        f"{events.truth.sum()} more held out as the truth"
    )
    unfolding = Unfolding(events, fit, settings.step, settings.iterations, settings.misses)
    weight, sample = unfolding(run)
    repeated = {
        "replicas": unfolding.repeat(
            run, "replica", settings.replicas, lambda index: events.resampled(config.seed, index)
        ),
        "trainings": unfolding.repeat(run, "training", settings.trainings, lambda index: None),
    }
    if distributed.rank() == 0:
        write_result(run, events, sample, weight, repeated, {**about, "config": asdict(config)})
        first = run / "iteration1_step1" / f"seed{config.seed}" / "fold0"
        write_history(run, read_history(first))
        log.info(f"weights of {len(weight)} simulated events: {run / 'weights.h5'}")
    distributed.barrier()


def write_result(
    run: Path,
    events: Events,
    sample: Sample,
    weight: np.ndarray,
    repeated: dict[str, np.ndarray],
    about: dict,
) -> None:
    """Write weights.h5: the weights, file and row of their events, inputs and settings."""
    file, row, inputs = events.file_rows()
    arrays = {
        "weight": weight,
        "event_weight": sample.weight,
        "passes_reco": sample.passes_reco,
        "passes_gen": sample.passes_gen,
        "file": file[events.simulated],
        "row": row[events.simulated],
        **{name: weights for name, weights in repeated.items() if len(weights)},
    }
    is_reweighting = about["step"] == "reweight"
    level = DETECTOR if is_reweighting else PARTICLE
    weighted = sample.weight * (sample.passes_reco if is_reweighting else sample.passes_gen)
    description = {
        **{key: value for key, value in about.items() if value is not None},
        "inputs": inputs,
        "origin": events.origin,
        "level": level,
        "versions": versions(),
        "revision": revision(),
        "normalisation": sample.normalisation,
        "mean_weight": float(np.average(weight, weights=weighted)),
        "effective_size": effective_size(weighted * weight),
    }
    write_weights(run / "weights.h5", arrays, description)
