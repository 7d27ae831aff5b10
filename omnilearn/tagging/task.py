"""Tagging: PET from a backbone with a new head, or from scratch, and its evaluation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from omnilearn.config import Config, Evaluation, Start
from omnilearn.data.pipeline import Pipeline, pad_batch
from omnilearn.data.selection import ChosenJets, of_classes
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.fit import fit_pet, make_pet, open_data, open_pipeline
from omnilearn.generation.denoising import denoising_metrics
from omnilearn.model.checkpoint import Checkpoint, build_pet, load_checkpoint, require_same_dataset
from omnilearn.model.pet import PET, PETConfig
from omnilearn.progress import progress
from omnilearn.runs import prepare_run
from omnilearn.settings import Settings, without_effect
from omnilearn.statistics.results import Result
from omnilearn.tagging.metrics import (
    confusion_matrix,
    or_undefined,
    tagging_curves,
    tagging_metrics,
)
from omnilearn.tagging.predictions import read_predictions, write_predictions
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled_for_batches

SETTINGS, EVALUATION = Settings, Evaluation  # tagging has no flags beyond those of every training
# mode -> settings of the heads that it does not train
OTHER_HEADS = {
    "all": (),
    "classifier": ("label_drop", "diffused_pt"),
    "generator": ("regression_weight", "feature_drop"),
}


def recipes(config: Config, flags: dict) -> tuple[dict, dict]:
    """Changes to the recipe of a configuration, and the recipe of `SETTINGS`: none of either."""
    return {}, {}


def idle_flags(config: Config, start: Start, settings: Settings) -> dict[str, str]:
    """Flags without effect on PET with these heads, and the sentences that refuse them."""
    idle = without_effect(f"a training in mode {config.mode}", OTHER_HEADS[config.mode])
    return idle | {
        "published_weights": "--published-weights are a token model's: add --model omnijet"
    }


def not_evaluated(run: Path, settings: Evaluation) -> dict[str, str]:
    """Flags of evaluate.py without effect on this run, and the sentences that refuse them."""
    return {}


def finetune(
    spec: DatasetSpec,
    config: Config,
    name: str,
    start: Start,
    settings: Settings,
    task: str = "tagging",
) -> None:
    """One training, in the run directory `name` unless the configuration has another."""
    pet = make_pet(spec, config, start)
    about = {"task": task, "dataset": spec.name, "backbone": start.path}
    data = open_data(spec, config)
    fit_pet(pet, config, data, prepare_run(config, name, about), about)


def pretrain(spec: DatasetSpec, config: Config, name: str) -> None:
    """Train PET from scratch, with the heads of config.mode."""
    finetune(spec, config, name, Start(), Settings(), task="pretraining")


def best_checkpoint(run: Path, spec: DatasetSpec, architecture: type = PETConfig) -> Checkpoint:
    """The best epoch of a run; raises UserError where it was trained for other classes or slots."""
    checkpoint = load_checkpoint(run / "best.h5", architecture)
    mend = "it is of another run: put back that of this one, or train again"
    require_same_dataset(checkpoint, spec, f"{mend} with train.py or finetune.py and --overwrite")
    return checkpoint


def best_pet(run: Path, spec: DatasetSpec) -> tuple[PET, DatasetSpec]:
    """PET of a run directory at its best epoch, and `spec` as it was trained on it."""
    checkpoint = best_checkpoint(run, spec)
    return build_pet(checkpoint), checkpoint.as_trained(spec)


def evaluate(
    run: Path,
    spec: DatasetSpec,
    config: Config,
    about: dict,
    settings: Evaluation,
    best: Callable = best_pet,
) -> dict:
    """Results of a run: tagging metrics, or the velocity loss if it trained the generator alone.

    Logits are written to predictions.h5, and read from there with `settings.from_predictions`. A
    run on some classes of a dataset is evaluated on these.
    `best` loads the model of the run, and gives the dataset as the model takes it.
    """
    description: dict = {"dataset": spec.name, "model": run.name}
    if config.classes:
        description["classes"] = list(of_classes(spec, config.classes)[0].class_names)
    path = run / "predictions.h5"
    if settings.from_predictions:
        predicted, about = read_predictions(path)
        if (split := about.get("split", settings.split)) != settings.split:
            raise UserError(
                f"{path} is of the split {split}, not {settings.split}; give --split {split}, or "
                "call without --from-predictions"
            )
        return {**description, "data": about["data"], **metrics(spec, predicted, config.classes)}
    data, split = settings.data or config.data, settings.split
    pet, spec = best(run, spec)
    pipeline = open_pipeline(spec, data, split, settings.batch, classes=config.classes)
    description["data"] = pipeline.files.origin
    if config.mode == "generator":
        return {**description, **denoising_metrics(pet, pipeline, config.seed)}
    predicted = predict(pet, pipeline)
    if isinstance(pipeline.files, ChosenJets):  # the row of each jet in the whole split
        predicted["index"] = pipeline.files.rows[predicted["index"]]
    if distributed.rank() == 0:
        write_predictions(path, predicted, {**description, "split": split})
    return {**description, **metrics(spec, predicted, config.classes)}


def predict(
    pet: PET, pipeline: Pipeline, logits_of: Callable | None = None
) -> dict[str, np.ndarray]:
    """Logits (N, C), label, weight, index (N,) of every jet of the split, in file order.

    Each rank evaluates its share; the result is the same on all ranks. `logits_of` is a compiled
    call of the model, to be used again.
    """
    logits_of = logits_of or compiled_for_batches(pet.call, pet.config.max_constituents)
    rows = {
        "index": [np.zeros(0, "int64")],
        "logits": [np.zeros((0, pipeline.spec.num_classes), "float32")],
        "label": [np.zeros(0, "int64")],
        "weight": [np.zeros(0, "float32")],
    }
    total = pipeline.num_jets // distributed.size()
    with progress(total, "evaluating", rank=distributed.rank()) as bar:
        for batch in pipeline.ordered():
            jets = len(batch["mask"])
            rows["index"].append(batch.pop("index"))
            rows["label"].append(batch["label"].argmax(axis=1))
            rows["weight"].append(batch["weight"].copy())
            logits = np.asarray(logits_of(pad_batch(batch, pipeline.batch_size)))
            rows["logits"].append(logits[:jets])
            bar.update(jets)
    predicted = {name: distributed.allgather(np.concatenate(parts)) for name, parts in rows.items()}
    order = np.argsort(predicted["index"], kind="stable")
    return {name: values[order] for name, values in predicted.items()}


def metrics(spec: DatasetSpec, predicted: dict[str, np.ndarray], classes: str = "") -> dict:
    """Accuracy, AUC, rejections at the dataset's working points, ROC curves, confusion matrix.

    classes: those of the jets, comma-separated, between which alone is chosen; empty: all.
    If the jets have different weights, the numbers are also given with equal weights, as papers
    print them: accuracy_unweighted and so on.
    """
    spec, numbers = of_classes(spec, classes)
    logits, weight = predicted["logits"][:, numbers], predicted["weight"]
    label = np.searchsorted(numbers, predicted["label"])
    results: dict = {**tagging_metrics(logits, label, weight, spec)}
    if np.ptp(weight) > 0:
        unweighted = tagging_metrics(logits, label, None, spec)
        results |= {f"{name}_unweighted": value for name, value in unweighted.items()}
    if spec.num_classes > 2:
        matrix = or_undefined(confusion_matrix, logits, label, weight, spec.num_classes)
        results["confusion"] = matrix if isinstance(matrix, Result) else matrix.tolist()
    return {**results, "curves": tagging_curves(logits, label, weight, spec)}
