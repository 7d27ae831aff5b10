"""Unfolding a dataset with two levels: OmniFold over all constituents, or its first step alone.

arXiv:1911.09107; with PET arXiv:2404.16091v2. A run directory holds a folder per step with its
classifiers and weights, iterations.json (when to stop) and weights.h5, the result.
"""

import argparse
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.config import Config, configured
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.runs import prepare_run, revision, versions
from omnilearn.statistics.uncertainty import effective_size
from omnilearn.tagging.task import make_pet
from omnilearn.training import distributed
from omnilearn.unfolding.boosted_trees import TreeFit
from omnilearn.unfolding.cross_fitting import CrossFit
from omnilearn.unfolding.evaluation import add_evaluation_flags, evaluate
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import DETECTOR, PARTICLE, Sample
from omnilearn.unfolding.recipes import CLASSIFIERS, CLASSIFIERS_UNFOLDING, UNFOLDING
from omnilearn.unfolding.repetitions import Unfolding
from omnilearn.unfolding.reweighting import NetworkFit, deepsets
from omnilearn.unfolding.unfolded_weights import write_weights

__all__ = ["add_evaluation_flags", "add_flags", "evaluate", "finetune"]

# without effect on trees: they are grown anew in every iteration, and are no network
NETWORKS_ALONE = (
    "later_epochs",
    "later_lr",
    "batch",
    "accumulate",
    "warmup_epochs",
    "decay",
    "optimiser",
    "body_factor",
    "regression_weight",
    "feature_drop",
    "label_drop",
    "padding",
    "checkpoint_every",
)


@dataclass(frozen=True)
class Options:
    """How to unfold; what training is told stands in Config."""

    step: str = "unfold"
    iterations: int = 5
    classifier: str = "pet"
    folds: int = 5
    ensemble: int = 1
    replicas: int = 0
    trainings: int = 0
    misses: str = "average"
    clip: float = 100.0
    later_epochs: int = 20
    later_lr: float = 1e-6

    def __post_init__(self):
        least_of = {
            "iterations": 1,
            "folds": 2,
            "ensemble": 1,
            "replicas": 0,
            "trainings": 0,
            "later_epochs": 1,
        }
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise UserError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}; expected {least} or more"
                )
        if not self.clip > 1:
            raise UserError(
                f"--clip is {self.clip:g}; ratios are kept between 1 / clip and clip, "
                "so a number above 1 is expected"
            )
        if not self.later_lr > 0:
            raise UserError(f"--later-lr is {self.later_lr:g}; expected above zero")


HELP = {
    "step": (
        "unfold: the whole algorithm; reweight: one classifier at detector level",
        ("unfold", "reweight"),
    ),
    "iterations": ("iterations of two steps each", None),
    "classifier": (
        "what tells the samples apart: pet or deepsets see all constituents, boosted "
        "trees the six observables",
        ("pet", "deepsets", "trees"),
    ),
    "folds": (
        "parts of the events; each is weighted by a classifier that learnt from the others",
        None,
    ),
    "ensemble": ("trainings per step, whose mean ratio counts", None),
    "replicas": (
        "repetitions with Poisson weights on data and simulation and seeds of their own, "
        "shared among the ranks",
        None,
    ),
    "trainings": ("repetitions with other seeds alone, shared among the ranks", None),
    "misses": (
        "weights of events that one level misses: average as arXiv:2105.04448, or prior",
        ("average", "prior"),
    ),
    "clip": ("likelihood ratios are kept between 1 / clip and clip", None),
    "later_epochs": ("epochs at most, from the second iteration on", None),
    "later_lr": ("learning rate from the second iteration on", None),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag per option; absent ones leave the recipe as it is."""
    for item in fields(Options):
        text, choices = HELP[item.name]
        parser.add_argument(
            f"--{item.name.replace('_', '-')}",
            type=type(item.default),
            choices=choices,
            help=f"{text} (recipe, else {item.default!r})",
        )


def chosen_options(
    config: Config, arguments: argparse.Namespace, start: str
) -> tuple[Config, Options]:
    """The recipe of the classifier, then the flags; raises UserError for those without effect."""
    given = {item.name: getattr(arguments, item.name) for item in fields(Options)}
    given = {key: value for key, value in given.items() if value is not None}
    settings = UNFOLDING[config.preset]
    if config.jets_per_epoch:
        raise UserError(
            "--jets-per-epoch is for tagging, generation and pre-training; an epoch of "
            "an unfolding is a pass"
        )
    classifier = given.get("classifier", Options.classifier)
    if classifier in CLASSIFIERS:
        if start:
            raise UserError(f"--classifier {classifier} is trained from scratch; leave out {start}")
        config = configured({**asdict(config), **CLASSIFIERS[classifier][config.preset]}, arguments)
        settings = {**settings, **CLASSIFIERS_UNFOLDING[classifier][config.preset]}
    for name in NETWORKS_ALONE:
        if classifier == "trees" and getattr(arguments, name) not in (None, MISSING):
            raise UserError(
                f"--{name.replace('_', '-')} has no effect on trees, which are grown anew in every "
                "step; leave it out"
            )
    return config, Options(**{**settings, **given})


def make_fit(
    events: Events, config: Config, options: Options, about: dict, arguments: argparse.Namespace
) -> CrossFit:
    """What learns the ratios; its run directory is set by each unfolding."""
    common = (events, Path(config.runs), config.seed, options.ensemble, options.clip)
    if options.classifier == "trees":
        return TreeFit(*common, settings=config)

    def network(seed: int):
        seeded = replace(config, seed=seed)
        if options.classifier == "deepsets":
            return deepsets(events, seeded)
        return make_pet(events.spec, seeded, arguments.backbone, arguments.released_weights)[0]

    later = replace(config, epochs=options.later_epochs, lr=options.later_lr, warmup_epochs=0)
    return NetworkFit(*common, make=network, first=config, later=later, about=about)


def finetune(spec: DatasetSpec, config: Config, name: str, arguments: argparse.Namespace) -> None:
    """One unfolding, in the run directory `name` unless the configuration has another."""
    start = arguments.backbone or arguments.released_weights
    config, options = chosen_options(config, arguments, start)
    if not spec.levels:
        raise UserError(f"{spec.name} has one level; unfolding needs detector and particle level")
    events = Events(spec, config.data, config.train_jets, options.folds, config.seed)
    about = {"task": "unfolding", "dataset": spec.name, "backbone": start or None}
    about |= asdict(options)
    fit = make_fit(events, config, options, about, arguments)
    run = prepare_run(config, name, about)
    if distributed.rank() == 0:
        kinds = (events.simulated.sum(), (~events.simulated & ~events.truth).sum())
        print(
            f"{spec.name}: {kinds[0]} simulated events, {kinds[1]} of the data, "
            f"{events.truth.sum()} more held out as their truth",
            flush=True,
        )
    unfolding = Unfolding(events, fit, options.step, options.iterations, options.misses)
    weight, sample = unfolding(run)
    repeated = {
        "replicas": unfolding.again(
            run, "replica", options.replicas, lambda number: events.resampled(config.seed, number)
        ),
        "trainings": unfolding.again(run, "training", options.trainings, lambda number: None),
    }
    if distributed.rank() == 0:
        write_result(run, events, sample, weight, repeated, {**about, "config": asdict(config)})
        first = run / "iteration1_step1" / f"seed{config.seed}" / "fold0" / "history.jsonl"
        with atomic_path(run / "history.jsonl") as temporary:
            temporary.write_text(first.read_text())
        print(f"weights of {len(weight)} simulated events: {run / 'weights.h5'}", flush=True)
    distributed.barrier()


def write_result(
    run: Path,
    events: Events,
    sample: Sample,
    weight: np.ndarray,
    repeated: dict[str, np.ndarray],
    about: dict,
) -> None:
    """weights.h5: the weights, where their events stand, and all that made them."""
    owner, row, inputs = events.places()
    arrays = {
        "weight": weight,
        "event_weight": sample.weight,
        "passes_reco": sample.passes_reco,
        "passes_gen": sample.passes_gen,
        "file": owner[events.simulated],
        "row": row[events.simulated],
        **{name: weights for name, weights in repeated.items() if len(weights)},
    }
    weighted = sample.weight * sample.passes_gen
    level = DETECTOR if about["step"] == "reweight" else PARTICLE
    described = {
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
    write_weights(run / "weights.h5", arrays, described)
