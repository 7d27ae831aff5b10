"""Training of any model on any jets: open the data, build the model, train, load the best epoch.

A task passes the objective and the jets. A training that its run directory already holds is resumed
(`training.trainer`).
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import keras

from omnilearn.backbones import checkpoint_file
from omnilearn.config import Config, Start
from omnilearn.data.catalogue import JETCLASS
from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.selection import of_classes, selected_jets
from omnilearn.data.spec import FEATURES, JET_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.model.checkpoint import (
    FREE_FIELDS,
    assign_weights,
    differing_classes,
    load_backbone,
    load_checkpoint,
)
from omnilearn.model.pet import PET, PETConfig
from omnilearn.model.reference_weights import load_released_weights, released_config
from omnilearn.recipes import ARCHITECTURES
from omnilearn.training import distributed
from omnilearn.training.objective import Objective, PETObjective
from omnilearn.training.optimiser import optimiser_steps
from omnilearn.training.trainer import Trainer

Data = tuple[Pipeline, Pipeline]  # training and validation
Model = TypeVar("Model", bound=keras.Model)


def open_pipeline(
    spec: DatasetSpec,
    data: str,
    split: str,
    batch: int,
    seed: int = 0,
    limit: int = 0,
    weighted: bool = True,
    classes: str = "",
    jets_per_epoch: int = 0,
) -> Pipeline:
    """The batches of this rank for one split of a dataset under the folder `data`."""
    files, _ = selected_jets(find_files(Path(data), spec, split), spec, limit, classes, seed)
    ranks = distributed.rank_and_size()
    return Pipeline(
        files, spec, batch, *ranks, seed, weighted=weighted, jets_per_epoch=jets_per_epoch
    )


def open_data(spec: DatasetSpec, config: Config) -> Data:
    """Training and validation jets of a configuration, opened before anything is written.

    Raises UserError when files are missing or wrong, or do not fill one step on every rank.
    """
    common: dict[str, Any] = {"weighted": config.weighted, "classes": config.classes}
    step = config.batch * config.accumulate * distributed.size()
    training = open_pipeline(
        spec,
        config.data,
        "train",
        config.batch,
        config.seed,
        config.train_jets,
        jets_per_epoch=config.jets_per_epoch // step * step or config.jets_per_epoch,
        **common,
    )
    validation = open_pipeline(
        spec, config.data, "val", config.batch, config.seed, config.val_jets, **common
    )
    validation.require_weights()
    of_classes = f" of the classes {config.classes}" if config.classes else ""
    jets = f"{spec.name} jets{of_classes}"
    require_jets("--train-jets", config.train_jets, training.num_jets, f"{jets} for training")
    require_jets("--val-jets", config.val_jets, validation.num_jets, f"{jets} for validation")
    batches = training.steps_per_epoch
    steps = optimiser_steps(batches, config.accumulate)
    unused = batches - steps * config.accumulate
    log.info(
        f"{spec.name}: {training.num_jets} training jets in {steps} steps per epoch"
        + (f" ({unused} of {batches} batches of a rank fill no step)" if unused else "")
        + f", {validation.num_jets} validation jets"
    )
    return training, validation


def require_jets(flag: str, asked: int, found: int, name: str) -> None:
    """Raise UserError where a flag asks for more jets, or events, than were `found`.

    name: what was counted, like "top jets for training".
    """
    if found < asked:
        raise UserError(f"{flag} is {asked}; there are {found} {name}: ask for less, or make more")


def batch_of_rank(batch: int, train_jets: int) -> int:
    """`batch` jets, or where --train-jets leaves fewer for a rank, all of them."""
    return min(batch, max(1, train_jets // distributed.size())) if train_jets else batch


def fresh(model: Callable[..., Model], config, seed: int) -> Model:
    """An untrained model of this architecture, its weights drawn from `seed`."""
    keras.utils.set_random_seed(seed)
    return model(config)


def make_pet(spec: DatasetSpec, config: Config, start: Start, say: Callable = log.info) -> PET:
    """PET for a dataset: from a backbone, from released weights, or fresh in the preset's size.

    A backbone is a run directory, a checkpoint file, or a name of `omnilearn.backbones`; its
    architecture is taken, and its padding and diffused pT unless `config` sets them. The class
    layers are kept when it was trained for the same classes in the same order; released files do
    not name their classes, and ten are taken for those of JetClass. say: called with the load
    report, and with the sizes in which the preset differs. Raises UserError for a dataset of one
    class, except in mode "generator", for one of too few slots, and for weights that cannot be
    loaded.
    """
    selected, _ = of_classes(spec, config.classes)
    if config.mode != "generator" and selected.num_classes < 2:
        of_flag = " of --classes" if config.classes else ""
        raise UserError(
            f"{spec.name} has one class{of_flag}, {selected.class_names[0]}: nothing to classify; "
            "train the generator alone with --mode generator"
        )
    if spec.max_constituents <= PETConfig.neighbours:
        raise UserError(
            f"{spec.name} has {spec.max_constituents} slots per jet, but PET needs more than its "
            f"{PETConfig.neighbours} neighbours; write it again with more max_constituents, which "
            "may stay empty"
        )
    sizes: dict[str, Any] = {
        "num_classes": spec.num_classes,
        "max_constituents": spec.max_constituents,
    }
    if config.padding:
        sizes["padding"] = config.padding
    if config.diffused_pt:
        sizes["diffused_pt"] = config.diffused_pt
    preset = PETConfig(**sizes, **ARCHITECTURES[config.preset])
    if start.backbone:
        checkpoint = load_checkpoint(checkpoint_file(start.backbone))
        pet = fresh(PET, replace(checkpoint.model_config, **sizes), config.seed)
        report = load_backbone(pet, checkpoint, spec.class_names)
    elif start.released_weights:
        released = released_config(start.released_weights)
        is_jetclass = released.num_classes == JETCLASS.num_classes
        fresh_layers = differing_classes(
            JETCLASS.class_names if is_jetclass else (), spec.class_names
        )
        pet = fresh(PET, replace(released, **sizes), config.seed)
        report = load_released_weights(pet, start.released_weights, fresh_layers)
    else:
        return fresh(PET, preset, config.seed)
    require_inputs(pet.config, start.path)
    say(report)
    differing = [
        f"{name} {value} (the preset has {getattr(preset, name)})"
        for name, value in asdict(pet.config).items()
        if value != getattr(preset, name) and name not in FREE_FIELDS
    ]
    if differing:
        say(
            f"the architecture is that of {start.path}, not of --preset {config.preset}: "
            f"{', '.join(differing)}"
        )
    return pet


def require_inputs(config: PETConfig, path: str | None) -> None:
    """Raise UserError for weights that take other features than the batches hold."""
    for found, names, of in (
        (config.num_features, FEATURES, "constituent"),
        (config.num_jet, JET_FEATURES, "jet"),
    ):
        if found != len(names):
            raise UserError(
                f"{path} takes {found} features per {of}, expected {len(names)}: "
                f"{', '.join(names)}; take weights that were trained with these"
            )


def fit(
    objective: Objective,
    config: Config,
    data: Data,
    run: Path,
    about: dict,
    earlier: Trainer | None = None,
) -> Trainer:
    """Train to the last epoch or the early stop, from the state in the run directory if it has one.

    The model then has the weights of the last step, see `load_best`. about: what checkpoints
    record beside the configuration; `earlier` as in `Trainer`.
    """
    training, validation = data
    steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
    trainer = Trainer(objective, config, steps, run, about | {"config": asdict(config)}, earlier)
    trainer.fit(training, validation)
    return trainer


def fit_pet(pet: PET, config: Config, data: Data, run: Path, about: dict) -> Trainer:
    """Fit PET, or a model with the same methods, with the heads of `config.mode`."""
    return fit(pet_objective(pet, config), config, data, run, about)


def pet_objective(pet: PET, config: Config) -> PETObjective:
    """What PET minimises by a configuration."""
    weights = config.regression_weight, config.feature_drop, config.label_drop
    return PETObjective(pet, config.mode, *weights)


def load_best(model: Model, path: Path) -> Model:
    """The model with the weights of a checkpoint: best.h5 of a run directory, or a file."""
    path = path / "best.h5" if path.is_dir() else path
    assign_weights(model, load_checkpoint(path, type(model.config)).weights, str(path))
    return model
