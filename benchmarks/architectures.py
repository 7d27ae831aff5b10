"""Sizes of PET at equal training time: channels and blocks of the small preset are chosen by this.

    python -m benchmarks architectures --data data --minutes 15 --out architectures

Each candidate, CHANNELSxBLOCKS, is timed on jets of JetClass's multiplicities, then pre-trained
with all heads on as many jets as fit into the minutes, in equal epochs with a learning rate that
has fallen at the end, and evaluated on the test jets. The time is that of the measured rate: a
training beside other work takes longer and sees no more jets. A stopped call goes on, and finished
candidates are not repeated: two calls with different --candidates may run side by side, a third one
with all of them writes architectures.json, a table and a figure into --out.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from benchmarks.markdown import markdown
from benchmarks.programs import absolute, command_parser, write_text
from benchmarks.throughput import grouped_batches, mean_seconds, work
from omnilearn.config import Config, Evaluation, read_config
from omnilearn.data.catalogue import JETCLASS
from omnilearn.errors import UserError
from omnilearn.fit import fit_pet, fresh, open_data
from omnilearn.history import best_epoch, read_history
from omnilearn.log import log
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.model.pet import PET, PETConfig
from omnilearn.plotting.style import figure, grouped
from omnilearn.recipes import PRETRAINING, recipe
from omnilearn.runs import prepare_run
from omnilearn.statistics.results import read_results, write_results
from omnilearn.tagging import task as tagging
from omnilearn.training import distributed

EPOCHS = 8
BATCH = 64
ABOUT = {"task": "pretraining", "dataset": JETCLASS.name, "backbone": None}


def candidate(text: str) -> PETConfig:
    """PET of "CHANNELSxBLOCKS", like 64x4; raises argparse.ArgumentTypeError for another text."""
    sizes = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not sizes:
        raise argparse.ArgumentTypeError(f"{text!r}; expected CHANNELSxBLOCKS, like 64x4")
    channels, blocks = map(int, sizes.groups())
    return PETConfig(
        num_classes=JETCLASS.num_classes,
        max_constituents=JETCLASS.max_constituents,
        projection_dim=channels,
        num_layers=blocks,
    )


def candidates(text: str) -> dict[str, PETConfig]:
    """Architectures by their names, from a list with commas."""
    return {part: candidate(part) for part in text.split(",")}


def jets_per_second(config: PETConfig, rounds: int) -> float:
    """Median rate of training steps with all heads, after the graphs are traced."""
    step = work("all", config, training=True)
    batches = grouped_batches(BATCH, config.max_constituents)
    mean_seconds(step, batches)  # traces the graphs
    return float(np.median([BATCH / mean_seconds(step, batches) for _ in range(rounds)]))


def settings(name: str, model: PETConfig, flags: argparse.Namespace) -> Config:
    """The configuration of a candidate: that of its run directory, or one that fits the time."""
    stored = flags.out / "runs" / name / "config.json"
    if stored.is_file():
        return read_config(stored)[0]
    rate = jets_per_second(model, flags.rounds)
    jets = int(rate * 60 * flags.minutes)
    log.info(f"{name}: {rate:.0f} jets/s, {jets} jets in {flags.minutes:g} minutes")
    if jets < EPOCHS * BATCH:
        raise UserError(
            f"--minutes {flags.minutes:g} are {jets} jets of {name}, less than {EPOCHS} epochs of "
            f"one batch of {BATCH}; give more"
        )
    values = recipe(PRETRAINING, JETCLASS.name, "small")
    values |= {"batch": BATCH, "epochs": EPOCHS, "patience": EPOCHS, "seed": flags.seed}
    values |= {"data": str(flags.data), "runs": str(flags.out / "runs"), "name": name}
    return Config(**values, jets_per_epoch=jets // EPOCHS, val_jets=flags.val_jets)


def train(name: str, model: PETConfig, flags: argparse.Namespace) -> Path:
    """Pre-train and evaluate a candidate, unless its run directory is complete; return that."""
    config = settings(name, model, flags)
    run = Path(config.runs) / config.name
    if not (run / "results.json").is_file():
        pet = fresh(PET, model, config.seed)
        data = open_data(JETCLASS, config)
        run = prepare_run(config, name, ABOUT)
        fit_pet(pet, config, data, run, ABOUT)
        results = tagging.evaluate(run, JETCLASS, config, ABOUT, Evaluation())
        write_results(run / "results.json", results)
    return run


def row(name: str, run: Path, minutes: float) -> dict:
    """What is known of a finished candidate, which had so many minutes."""
    history, results = read_history(run), read_results(run / "results.json")
    best = best_epoch(history)
    seen = np.cumsum([line["jets"] for line in history])
    return {
        "name": name,
        "weights": sum(array.size for array in load_checkpoint(run / "best.h5").weights.values()),
        "jets_seen": int(seen[-1]),
        "jets_per_second": seen[-1] / minutes / 60,
        "curve": {
            "minutes": (minutes * seen / seen[-1]).tolist(),
            "loss": [line["validation"]["loss"] for line in history],
        },
        "loss": best["validation"]["loss"],
        "cross_entropy": best["validation"]["cross_entropy"],
        "auc": results["auc"],
        "accuracy": results["accuracy"],
    }


def main(arguments: list[str]) -> None:
    parser = command_parser("architectures", __doc__)
    parser.add_argument("--data", type=absolute, default="data", help="folder of datasets")
    parser.add_argument("--candidates", type=candidates, default="64x4,64x6,96x3,128x2")
    parser.add_argument("--minutes", type=float, default=15.0, help="training time of each")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of the rate")
    parser.add_argument("--val-jets", type=int, default=4000, help="that decide on the best epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=absolute, default="architectures")
    flags = parser.parse_args(arguments)
    distributed.horovod()
    rows = [
        row(name, train(name, of, flags), flags.minutes) for name, of in flags.candidates.items()
    ]
    record = {
        "dataset": JETCLASS.name,
        "minutes": flags.minutes,
        "batch": BATCH,
        "seed": flags.seed,
        "validation_jets": flags.val_jets,
        "candidates": rows,
    }
    write_results(flags.out / "architectures.json", record)
    draw(rows, flags.out / "architectures")
    text = table(rows)
    write_text(flags.out / "architectures.md", text)
    print(text)


def draw(rows: list[dict], path_stem: Path) -> None:
    """Validation loss of every candidate against its training time, as PNG and PDF."""
    with figure(path_stem) as axes:
        for of in rows:
            axes.plot(of["curve"]["minutes"], of["curve"]["loss"], marker="o", label=of["name"])
        axes.set_xlabel("Training time [min]")
        axes.set_ylabel("Validation loss, all heads")
        axes.legend(title="channels x blocks", title_fontsize="medium")


def table(rows: list[dict]) -> str:
    """A line per candidate, the lowest validation loss first."""
    sizes = ["channels x blocks", "weights", "jets/s", "jets seen"]
    lines = [[*sizes, "validation loss", "cross-entropy", "AUC", "accuracy"]]
    for of in sorted(rows, key=lambda of: of["loss"]):
        sizes = [of["name"], grouped(of["weights"]), f"{of['jets_per_second']:.0f}"]
        losses = [grouped(of["jets_seen"]), f"{of['loss']:.4f}", f"{of['cross_entropy']:.4f}"]
        lines.append([*sizes, *losses, of["auc"].text, of["accuracy"].text])
    return markdown(lines, texts=1)
