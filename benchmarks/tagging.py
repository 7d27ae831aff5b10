"""Tagging against training size, from a backbone and from scratch, every training to convergence.

    python -m benchmarks tagging --data data --dataset top --train-jets 300,1000,3000,10000
    python -m benchmarks tagging ... --scratch-jets 30000      # from scratch also with more jets

The claim of arXiv:2404.16091v2 (Table I): a backbone needs a tenth of the jets. Every cell is a run
of finetune.py and evaluate.py, all on the same test jets; finished cells are not repeated. The
learning rate stays constant, and a training ends once the validation loss has not fallen for some
epochs (more of them for fewer jets); its best epoch counts. Repeats draw other training jets; an
uncertainty is their spread and the statistics of the test jets, in quadrature. The difference of
the AUC has an uncertainty of its own, in which what both models share cancels: they have the same
training jets in each repeat, and the same test jets.
Writes DATASET.json and a figure into --out.
"""

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.figures import trainings
from benchmarks.markdown import BLANK, markdown
from benchmarks.programs import absolute, backbone, command_parser
from benchmarks.scripts import ROOT, execute, words_of
from omnilearn.data.catalogue import dataset
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.history import best_epoch, read_history
from omnilearn.plotting.scans import Scan, training_size_scan
from omnilearn.plotting.style import sample_title
from omnilearn.statistics.repeats import spread
from omnilearn.statistics.results import Result, read_results, write_results
from omnilearn.tagging.metrics import auc_difference, pair_score
from omnilearn.tagging.predictions import read_predictions

MODELS = ("OmniLearn", "from scratch")
LARGE = 10_000  # training jets at which PATIENCE epochs are waited for a better loss
PATIENCE = 5
LEAST_PATIENCE = 3
LONGEST = 8  # times the patience: the epochs at most

COLUMNS = [
    *(text for model in MODELS for text in (f"{model}: AUC", "1/eB", "validation loss", "steps")),
    "difference of AUC",
]
AHEAD = "auc_difference"  # of the backbone's AUC from that from scratch, where it was measured
Key = tuple[str, int]  # model, training jets


def sizes(text: str, flag: str = "--train-jets") -> list[int]:
    """Training jets, comma-separated, rising; raises UserError naming the flag for other text."""
    try:
        jets = sorted({int(part) for part in text.split(",")})
    except ValueError:
        jets = []
    if not jets or jets[0] < 1:
        raise UserError(f"{flag} is {text!r}; expected numbers of jets, like 1000,3000,10000")
    return jets


def patience(jets: int) -> int:
    """Epochs without a better validation loss that end a training on so many jets."""
    return max(LEAST_PATIENCE, round(PATIENCE * (LARGE / jets) ** 0.25))


def cells(flags: argparse.Namespace) -> dict[Key, tuple[Path, list[str]]]:
    """Run directory and training command of every model and training size."""
    runs = {}
    of_scratch = sorted({*flags.train_jets, *flags.scratch_jets})
    for model, trained_with in zip(MODELS, (flags.train_jets, of_scratch), strict=True):
        for jets in trained_with:
            name = f"{flags.dataset}_{model.replace(' ', '_')}_{jets}"
            words = words_of(
                "{python} finetune.py {dataset} --preset {preset} --data {data} --runs {out}/runs "
                "--name {name} --train-jets {jets} --val-jets {val_jets} --repeats {repeats} "
                "--epochs {epochs} --patience {patience} --no-decay",
                name=name,
                jets=jets,
                epochs=LONGEST * patience(jets),
                patience=patience(jets),
                **vars(flags),
            )
            if model == MODELS[0]:
                words += ["--backbone", flags.backbone]
            runs[model, jets] = (flags.out / "runs" / name, words)
    return runs


def main(arguments: list[str]) -> None:
    parser = command_parser("tagging", __doc__)
    parser.add_argument("--dataset", default="top", help="a tagging dataset with two classes")
    parser.add_argument("--data", type=absolute, default="data", help="folder of datasets")
    parser.add_argument("--backbone", type=backbone, default="small", help="name or run")
    parser.add_argument("--train-jets", type=sizes, default=sizes("300,1000,3000,10000"))
    of_scratch = partial(sizes, flag="--scratch-jets")
    parser.add_argument("--scratch-jets", type=of_scratch, default=[], help="from scratch alone")
    parser.add_argument("--val-jets", type=int, default=1000, help="that decide when to end")
    parser.add_argument("--repeats", type=int, default=3, help="trainings per cell")
    parser.add_argument("--preset", default="small", help="full or small")
    parser.add_argument("--out", type=absolute, default=ROOT / "tagging_study")
    flags = parser.parse_args(arguments)
    spec = dataset(flags.dataset)
    study = cells(flags)
    for number, ((model, jets), (run, command)) in enumerate(study.items(), start=1):
        print(f"[{number}/{len(study)}] {model}, {jets} training jets", flush=True)
        if not (run / "results.json").is_file():
            execute(command)
            execute([sys.executable, "evaluate.py", str(run)])
    results = {key: read_results(run / "results.json") for key, (run, _) in study.items()}
    metrics = {
        key: with_test_statistics(of_run) | convergence(study[key][0], key[1])
        for key, of_run in results.items()
    }
    for jets in flags.train_jets:
        if difference := auc_ahead(study, jets, spec):
            metrics[MODELS[0], jets][AHEAD] = difference
    first = next(iter(results.values()))
    rows = [
        {"model": model, "training_jets": jets, "metrics": values}
        for (model, jets), values in metrics.items()
    ]
    record = {
        "dataset": flags.dataset,
        "data": first["data"],
        "preset": flags.preset,
        "backbone": Path(flags.backbone).name,
        "trainings": flags.repeats,
        "validation_jets": flags.val_jets,
        "cells": rows,
    }
    write_results(flags.out / f"{flags.dataset}.json", record)
    metric = f"rejection_{spec.working_points[0]:g}"
    scans = []
    for model in MODELS:
        trained = [jets for of, jets in metrics if of == model]
        scans.append(Scan(model, trained, [metrics[model, jets][metric] for jets in trained]))
    label = r"$1/\varepsilon_B$ at $\varepsilon_S$ = " + f"{spec.working_points[0]:g}"
    title = sample_title(spec.title, first["data"], first["auc"].n, "test jets")
    training_size_scan(scans, flags.out / flags.dataset, label, title=title)
    print(table(metrics, metric))


def with_test_statistics(of_run: dict) -> dict[str, Result]:
    """The results of a run, the error of each with the statistics of the test jets added in
    quadrature to the spread of its trainings, which share these jets."""
    statistical = of_run.get("statistical", {})
    return {
        name: replace(value, error=float(np.hypot(value.error, statistical[name])))
        if name in statistical and value.error is not None
        else value
        for name, value in of_run.items()
        if isinstance(value, Result)
    }


def convergence(run: Path, jets: int) -> dict[str, Result]:
    """Best validation cross-entropy and the steps to it: mean and spread over the trainings."""
    losses, steps = [], []
    for training in trainings(run):
        epochs = read_history(training)
        best = best_epoch(epochs)
        losses.append(Result(best["validation"]["cross_entropy"], None, jets))
        count = sum(epoch["steps"] for epoch in epochs[: epochs.index(best) + 1])
        steps.append(Result(float(count), None, jets))
    numbers = {"cross_entropy": losses, "steps": steps}
    return {name: spread(of) if len(of) > 1 else of[0] for name, of in numbers.items()}


def auc_ahead(
    study: dict[Key, tuple[Path, list[str]]], jets: int, spec: DatasetSpec
) -> Result | None:
    """AUC of the backbone minus that from scratch; None where a training has no predictions."""
    runs = [trainings(study[model, jets][0]) for model in MODELS]
    paths = [[run / "predictions.h5" for run in pair] for pair in zip(*runs, strict=True)]
    if not all(path.is_file() for pair in paths for path in pair):
        return None
    samples = [[ordered_predictions(path) for path in pair] for pair in paths]
    pairs = [(scores_of(first, spec), scores_of(second, spec)) for first, second in samples]
    tested = samples[0][0]
    return auc_difference(pairs, tested["label"] == spec.signal, tested["weight"])


def ordered_predictions(path: Path) -> dict[str, np.ndarray]:
    """The predictions of a training in the order of the jets in the split."""
    predicted, _ = read_predictions(path)
    order = np.argsort(predicted["index"])
    return {name: values[order] for name, values in predicted.items()}


def scores_of(predicted: dict[str, np.ndarray], spec: DatasetSpec) -> np.ndarray:
    return pair_score(predicted["logits"], spec.signal, 1 - spec.signal)


def scratch_jets(metrics: dict[Key, dict[str, Result]], jets: int) -> str:
    """Training jets from scratch that give the AUC of the backbone with `jets`.

    Between two sizes 1 - AUC is a power of the jets; "> N" and "< N" beyond those trained with.
    """
    target = 1 - metrics[MODELS[0], jets]["auc"].value
    trained = sorted(size for model, size in metrics if model == MODELS[1])
    missed = [1 - metrics[MODELS[1], size]["auc"].value for size in trained]
    if target < min(missed):
        return f"> {trained[-1]}"
    if target > missed[0]:
        return f"< {trained[0]}"
    above = next(place for place, value in enumerate(missed) if value <= target)
    if above == 0:
        return str(trained[0])
    pair = [above, above - 1]  # with rising 1 - AUC
    log_missed, log_jets = (
        np.log([values[place] for place in pair]) for values in (missed, trained)
    )
    needed = np.exp(np.interp(np.log(target), log_missed, log_jets))
    return f"{float(f'{needed:.2g}'):.0f}"


def columns(metrics: dict[Key, dict[str, Result]], jets: int, metric: str) -> list[str]:
    """The cells of one training size below COLUMNS; `metric` stands for 1/eB."""
    names = ("auc", metric, "cross_entropy", "steps")
    values = [metrics.get((model, jets), {}).get(name) for model in MODELS for name in names]
    difference = metrics.get((MODELS[0], jets), {}).get(AHEAD)
    return [value.text if value else BLANK for value in (*values, difference)]


def table(metrics: dict[Key, dict[str, Result]], metric: str) -> str:
    """Markdown: a line per training size, the columns of both models side by side."""
    rows = [["training jets", *COLUMNS, "from scratch needs"]]
    for size in sorted({size for _, size in metrics}):
        needs = scratch_jets(metrics, size) if (MODELS[0], size) in metrics else BLANK
        rows.append([str(size), *columns(metrics, size, metric), needs])
    return markdown(rows, texts=0)
