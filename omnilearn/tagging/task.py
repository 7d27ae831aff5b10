"""Tagging: PET with fresh class weights on a backbone or from scratch, and its evaluation."""

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np

from omnilearn.backbones import checkpoint_file
from omnilearn.config import Config
from omnilearn.data.catalogue import CATALOGUE, JETCLASS
from omnilearn.data.declared import FILE_NAME, write_declaration
from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import Pipeline, filled_up
from omnilearn.data.selection import ChosenJets, selected_jets
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.generation.denoising import denoising_metrics
from omnilearn.model.checkpoint import (
    LoadReport,
    build_pet,
    differing_classes,
    load_backbone,
    load_checkpoint,
)
from omnilearn.model.pet import PET, PETConfig
from omnilearn.model.reference_weights import load_released_weights, released_config
from omnilearn.progress import progress
from omnilearn.recipes import ARCHITECTURES
from omnilearn.runs import prepare_run
from omnilearn.statistics.results import Result
from omnilearn.tagging import metrics as classification
from omnilearn.tagging.predictions import read_predictions, write_predictions
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.objective import Objective
from omnilearn.training.trainer import Trainer, optimiser_steps


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Tagging has no flags beyond those of every training."""


def finetune(spec: DatasetSpec, config: Config, name: str, arguments: argparse.Namespace) -> None:
    """One training, in the run directory `name` unless the configuration has another."""
    pet, report = make_pet(spec, config, arguments.backbone, arguments.released_weights)
    if report and distributed.rank() == 0:
        print(report)
    start = arguments.backbone or arguments.released_weights
    about = {"task": "tagging", "dataset": spec.name, "backbone": start or None}
    data = open_data(spec, config)
    train(data, pet, config, prepare_run(config, name, about), about)


def best_pet(run: Path) -> PET:
    """The model of a run directory at its best epoch."""
    return build_pet(load_checkpoint(run / "best.h5"))


def evaluate(
    run: Path,
    spec: DatasetSpec,
    config: Config,
    about: dict,
    arguments: argparse.Namespace,
    best: Callable = best_pet,
) -> dict:
    """Results of a run: of its logits, or of its velocities when it trained a generator alone.

    Logits are left in predictions.h5, and read from there with `arguments.from_predictions`.
    `best` makes the model of the run.
    """
    described = {"dataset": spec.name, "model": run.name}
    path = run / "predictions.h5"
    if arguments.from_predictions:
        predicted, made = read_predictions(path)
        return {**described, "data": made["data"], **metrics(spec, predicted)}
    data, split = arguments.data or config.data, arguments.split
    pipeline = open_pipeline(spec, data, split, arguments.batch, classes=config.classes)
    pet, described["data"] = best(run), pipeline.files.origin
    if config.mode == "generator":
        return {**described, **denoising_metrics(pet, pipeline, config.seed)}
    predicted = predict(pet, pipeline)
    if isinstance(pipeline.files, ChosenJets):  # rows in the split, as without --classes
        predicted["index"] = pipeline.files.rows[predicted["index"]]
    if distributed.rank() == 0:
        write_predictions(path, predicted, {**described, "split": split})
    return {**described, **metrics(spec, predicted)}


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
    return Pipeline(
        files,
        spec,
        batch,
        distributed.rank(),
        distributed.size(),
        seed,
        weighted=weighted,
        jets_per_epoch=jets_per_epoch,
    )


def make_pet(
    spec: DatasetSpec, config: Config, backbone: str = "", released: str = ""
) -> tuple[PET, LoadReport | None]:
    """PET for a dataset: a run's backbone, released weights, or fresh from the preset's size.

    `backbone` is a run directory, a checkpoint file, or a name of `omnilearn.backbones`.
    Architecture and meaning of padding come from the backbone where there is one, unless
    `config.padding` says otherwise. The class layers are kept when it was trained for the same
    classes in the same order; released files do not name theirs, and those of ten classes are taken
    for JetClass. Returns the model and what was loaded.
    """
    if config.mode != "generator" and spec.num_classes < 2:
        raise UserError(
            f"{spec.name} has one class, {spec.class_names[0]}: nothing to tell apart; train the "
            "generator alone with --mode generator"
        )
    keras.utils.set_random_seed(config.seed)
    sizes = {"num_classes": spec.num_classes, "max_constituents": spec.max_constituents}
    if config.padding:
        sizes["padding"] = config.padding
    if backbone:
        checkpoint = load_checkpoint(checkpoint_file(backbone))
        pet = PET(replace(checkpoint.pet_config, **sizes))
        return pet, load_backbone(pet, checkpoint, spec.class_names)
    if released:
        theirs = released_config(released)
        is_jetclass = theirs.num_classes == JETCLASS.num_classes
        names = JETCLASS.class_names if is_jetclass else ()
        pet = PET(replace(theirs, **sizes))
        others = differing_classes(names, spec.class_names)
        return pet, load_released_weights(pet, released, others)
    architecture = ARCHITECTURES[config.preset]
    return PET(PETConfig(**sizes, **architecture)), None


def open_data(spec: DatasetSpec, config: Config) -> tuple[Pipeline, Pipeline]:
    """Training and validation jets of a configuration, opened before anything is written.

    Raises UserError when files are missing or wrong, or do not fill one step on every rank.
    """
    common = {"weighted": config.weighted, "classes": config.classes}
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
    if config.classes and training.num_jets < config.train_jets:
        raise UserError(
            f"--train-jets is {config.train_jets}; {config.data} holds {training.num_jets} "
            f"{spec.name} jets of the classes {config.classes} for training; ask for so many, or "
            "make more"
        )
    batches = training.steps_per_epoch
    steps = optimiser_steps(batches, config.accumulate)
    if distributed.rank() == 0:
        left = batches - steps * config.accumulate
        print(
            f"{spec.name}: {training.num_jets} training jets in {steps} steps per epoch"
            + (f" ({left} of {batches} batches of a rank fill no step and wait)" if left else "")
            + f", {validation.num_jets} validation jets",
            flush=True,
        )
    return training, validation


def train(data: tuple[Pipeline, Pipeline], pet: PET, config: Config, run: Path, about: dict):
    """Fit PET to what `open_data` opened, by the configuration; pre-training and tagging alike."""
    training, validation = data
    spec = training.spec
    if spec.name not in CATALOGUE and distributed.rank() == 0:
        # the run says what its jets are, wherever it is taken (`omnilearn.api`)
        write_declaration(run / FILE_NAME, spec)
    objective = Objective(
        pet, config.mode, config.regression_weight, config.feature_drop, config.label_drop
    )
    about = {**about, "config": asdict(config)}
    steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
    trainer = Trainer(objective, config, steps, run, about)
    return trainer.fit(training, validation)


def predict(
    pet: PET, pipeline: Pipeline, logits_of: Callable | None = None
) -> dict[str, np.ndarray]:
    """Logits (N, C), label, weight, index (N,) of every jet of the split once, in file order.

    Each rank evaluates its share; the result is the same on all of them. `logits_of` is the
    compiled call of the model where there is one already.
    """
    logits_of = logits_of or compiled_for_batches(pet.call, pet.config.max_constituents)
    rows = {"index": [], "logits": [], "label": [], "weight": []}
    total = pipeline.num_jets // distributed.size()
    with progress(total, "evaluating", rank=distributed.rank()) as bar:
        for batch in pipeline.ordered():
            jets = len(batch["mask"])
            rows["index"].append(batch.pop("index"))
            rows["label"].append(batch["label"].argmax(axis=1))
            rows["weight"].append(batch["weight"].copy())
            logits = np.asarray(logits_of(filled_up(batch, pipeline.batch_size)))
            rows["logits"].append(logits[:jets])
            bar.update(jets)
    empty = {
        "logits": np.zeros((0, pipeline.spec.num_classes), "float32"),
        "index": np.zeros(0, "int64"),
        "label": np.zeros(0, "int64"),
        "weight": np.zeros(0, "float32"),
    }
    gathered = {
        name: distributed.gathered(np.concatenate([empty[name], *parts]))
        for name, parts in rows.items()
    }
    order = np.argsort(gathered["index"], kind="stable")
    return {name: values[order] for name, values in gathered.items()}


def metrics(spec: DatasetSpec, predicted: dict[str, np.ndarray]) -> dict:
    """Accuracy, AUC, rejections at the dataset's working points, ROC curves, confusion matrix.

    Where jets have different weights the numbers are also given with equal ones, as papers print
    them: accuracy_unweighted and so on.
    """
    logits, label, weight = (predicted[name] for name in ("logits", "label", "weight"))
    sample = (logits, label, weight, spec)
    found = {**classification.tagging_metrics(*sample)}
    if np.ptp(weight) > 0:
        equal = classification.tagging_metrics(logits, label, None, spec)
        found |= {f"{name}_unweighted": value for name, value in equal.items()}
    if spec.num_classes > 2:
        matrix = classification.or_undefined(
            classification.confusion_matrix, *sample[:3], spec.num_classes
        )
        found["confusion"] = matrix if isinstance(matrix, Result) else matrix.tolist()
    return {**found, "curves": classification.tagging_curves(*sample)}
