"""Rejection against training size: fine-tuned from a backbone, and the same model from scratch.

    python -m benchmarks data_efficiency --data data --backbone runs/jetclass \
        --train-jets 300,1000,3000,10000 --repeats 3

The claim of arXiv:2404.16091v2 (Table I): from a backbone a tenth of the jets are enough. Every
cell is a run of finetune.py and evaluate.py, all on the same test jets; finished cells are not
repeated. Writes data_efficiency.json and the figure into --out.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.markdown import markdown
from benchmarks.programs import absolute, command_parser
from benchmarks.scripts import ROOT, execute, words_of
from omnilearn.data.catalogue import dataset
from omnilearn.errors import UserError
from omnilearn.plotting.scans import Scan, training_size_scan
from omnilearn.plotting.style import sample_title
from omnilearn.statistics.results import Result, read_results, write_results

MODELS = ("OmniLearn", "from scratch")


def sizes(text: str) -> list[int]:
    """Numbers of training jets from a comma-separated text, in rising order."""
    try:
        jets = sorted({int(part) for part in text.split(",")})
    except ValueError:
        jets = []
    if not jets or jets[0] < 1:
        raise UserError(f"--train-jets is {text!r}; expected numbers of jets, like 1000,3000,10000")
    return jets


def cells(flags: argparse.Namespace) -> dict[tuple[str, int], tuple[Path, list[str]]]:
    """(model, training jets) -> run directory and the command that trains it."""
    commands = {}
    for model in MODELS:
        for jets in flags.train_jets:
            name = f"{flags.dataset}_{model.replace(' ', '_')}_{jets}"
            words = words_of(
                "{python} finetune.py {dataset} --preset {preset} --data {data} --runs {out}/runs "
                "--name {name} --train-jets {jets} --repeats {repeats}",
                name=name,
                jets=jets,
                **vars(flags),
            )
            if model == MODELS[0]:
                words += ["--backbone", str(flags.backbone)]
            commands[model, jets] = (flags.out / "runs" / name, words)
    return commands


def main(arguments: list[str]) -> None:
    parser = command_parser("data_efficiency", __doc__)
    parser.add_argument("--dataset", default="top", help="a tagging dataset with two classes")
    parser.add_argument("--data", type=absolute, default="data", help="folder of datasets")
    parser.add_argument("--backbone", type=absolute, required=True, help="pre-trained run")
    parser.add_argument("--train-jets", type=sizes, default=sizes("1000,3000,10000"))
    parser.add_argument("--repeats", type=int, default=1, help="trainings per cell")
    parser.add_argument("--preset", default="small", help="full or small")
    parser.add_argument("--out", type=absolute, default=ROOT / "data_efficiency")
    flags = parser.parse_args(arguments)
    spec = dataset(flags.dataset)
    commands = cells(flags)
    for count, ((model, jets), (run, command)) in enumerate(commands.items(), start=1):
        print(f"[{count}/{len(commands)}] {model}, {jets} training jets", flush=True)
        if not (run / "results.json").is_file():
            execute(command)
            execute([sys.executable, "evaluate.py", str(run)])
    metric = f"rejection_{spec.working_points[0]:g}"
    measured = {key: read_results(run / "results.json") for key, (run, _) in commands.items()}
    write_results(flags.out / "data_efficiency.json", described(flags, measured))
    scans = [
        Scan(model, flags.train_jets, [measured[model, jets][metric] for jets in flags.train_jets])
        for model in MODELS
    ]
    label = r"$1/\varepsilon_B$ at $\varepsilon_S$ = " + f"{spec.working_points[0]:g}"
    first = next(iter(measured.values()))
    title = sample_title(spec.title, first["data"], first["auc"].n, "test jets")
    training_size_scan(scans, flags.out / "data_efficiency", label, title=title)
    print(table(flags.train_jets, measured, metric))


def described(flags: argparse.Namespace, measured: dict) -> dict:
    """data_efficiency.json: the metrics of every cell, the data set and the settings."""
    rows = [
        {
            "model": model,
            "training_jets": jets,
            "metrics": {
                name: value for name, value in results.items() if isinstance(value, Result)
            },
        }
        for (model, jets), results in measured.items()
    ]
    origins = {results["data"] for results in measured.values()}
    return {
        "dataset": flags.dataset,
        "data": "simulated" if "simulated" in origins else "public",
        "preset": flags.preset,
        "trainings": flags.repeats,
        "cells": rows,
    }


def table(jets: list[int], measured: dict, metric: str) -> str:
    """Markdown: a line per training size, two columns per model."""
    rows = [["training jets", *(text for model in MODELS for text in (f"{model}: AUC", "1/eB"))]]
    for size in jets:
        results = [measured[model, size][name] for model in MODELS for name in ("auc", metric)]
        rows.append([str(size), *(result.text for result in results)])
    return markdown(rows, texts=0)
