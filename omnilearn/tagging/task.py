"""Tagging: PET with fresh class weights on a backbone or from scratch, and its evaluation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from omnilearn.config import Config, Evaluation, Start
from omnilearn.data.pipeline import Pipeline, filled_up
from omnilearn.data.selection import ChosenJets
from omnilearn.data.spec import DatasetSpec
from omnilearn.fit import fit_pet, make_pet, open_data, open_pipeline
from omnilearn.generation.denoising import denoising_metrics
from omnilearn.model.checkpoint import build_pet, load_checkpoint
from omnilearn.model.pet import PET
from omnilearn.progress import progress
from omnilearn.runs import prepare_run
from omnilearn.settings import Settings, without_effect
from omnilearn.statistics.results import Result
from omnilearn.tagging import metrics as classification
from omnilearn.tagging.predictions import read_predictions, write_predictions
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled_for_batches

SETTINGS, EVALUATION = Settings, Evaluation  # tagging has no flags beyond those of every training
OTHER_HEADS = {
    "all": (),
    "classifier": ("label_drop",),
    "generator": ("regression_weight", "feature_drop"),
}
# evaluate.py: what has no effect, and why
NOT_EVALUATED: dict[str, str] = {}


def recipes(config: Config, asked: dict) -> tuple[dict, dict]:
    """What tagging adds to the recipe of a configuration, and the recipe of its own settings."""
    return {}, {}


def idle_flags(config: Config, start: Start, settings: Settings) -> dict[str, str]:
    """Flags without effect on PET with these heads, and the sentences that refuse them."""
    idle = without_effect(f"a training in mode {config.mode}", OTHER_HEADS[config.mode])
    return idle | {
        "published_weights": "--published-weights are a token model's: add --model omnijet"
    }


def finetune(
    spec: DatasetSpec, config: Config, name: str, start: Start, settings: Settings
) -> None:
    """One training, in the run directory `name` unless the configuration has another."""
    pet = make_pet(spec, config, start)
    about = {"task": "tagging", "dataset": spec.name, "backbone": start.path}
    data = open_data(spec, config)
    fit_pet(pet, config, data, prepare_run(config, name, about), about)


def pretrain(spec: DatasetSpec, config: Config, name: str) -> None:
    """Train PET from scratch, with all its heads unless the configuration says otherwise."""
    pet = make_pet(spec, config, Start())
    about = {"task": "pretraining", "dataset": spec.name, "backbone": None}
    data = open_data(spec, config)
    fit_pet(pet, config, data, prepare_run(config, name, about), about)


def best_pet(run: Path) -> PET:
    """The model of a run directory at its best epoch."""
    return build_pet(load_checkpoint(run / "best.h5"))


def evaluate(
    run: Path,
    spec: DatasetSpec,
    config: Config,
    about: dict,
    settings: Evaluation,
    best: Callable = best_pet,
) -> dict:
    """Results of a run: of its logits, or of its velocities when it trained a generator alone.

    Logits are left in predictions.h5, and read from there with `settings.from_predictions`.
    `best` makes the model of the run.
    """
    described = {"dataset": spec.name, "model": run.name}
    path = run / "predictions.h5"
    if settings.from_predictions:
        predicted, made = read_predictions(path)
        return {**described, "data": made["data"], **metrics(spec, predicted)}
    data, split = settings.data or config.data, settings.split
    pipeline = open_pipeline(spec, data, split, settings.batch, classes=config.classes)
    pet, described["data"] = best(run), pipeline.files.origin
    if config.mode == "generator":
        return {**described, **denoising_metrics(pet, pipeline, config.seed)}
    predicted = predict(pet, pipeline)
    if isinstance(pipeline.files, ChosenJets):  # rows in the split, as without --classes
        predicted["index"] = pipeline.files.rows[predicted["index"]]
    if distributed.rank() == 0:
        write_predictions(path, predicted, {**described, "split": split})
    return {**described, **metrics(spec, predicted)}


def predict(
    pet: PET, pipeline: Pipeline, logits_of: Callable | None = None
) -> dict[str, np.ndarray]:
    """Logits (N, C), label, weight, index (N,) of every jet of the split once, in file order.

    Each rank evaluates its share; the result is the same on all of them. `logits_of` is the
    compiled call of the model where there is one already.
    """
    logits_of = logits_of or compiled_for_batches(pet.call, pet.config.max_constituents)
    rows: dict[str, list] = {"index": [], "logits": [], "label": [], "weight": []}
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
        name: distributed.allgather(np.concatenate([empty[name], *parts]))
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
