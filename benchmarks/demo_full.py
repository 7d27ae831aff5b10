"""The whole chain on two cores: simulate, preprocess, pre-train, fine-tune, compare.

    python -m benchmarks demo_full         # or: make demo-full

Prints a table: top tagging by OmniLearn (fine-tuned from the backbone) and by PET from scratch,
with the same jets and budget. A finished stage is not repeated, except with --fresh.
"""

import sys
from pathlib import Path

from benchmarks.figures import FINETUNED, SCRATCH, losses
from benchmarks.scripts import words_of
from benchmarks.stages import METRICS, Stage, parse_flags, run_demo
from omnilearn.statistics.results import read_results
from omnilearn.tagging.convergence import epochs_needed

RANKS = 2
MODELS = {"OmniLearn": "top_finetuned", "PET from scratch": "top_scratch"}
COMMANDS = {
    "simulate JetClass": "{python} -m simulation jetclass --jets-per-class 1500 "
    "--out {raw}/jetclass",
    "simulate top tagging": "{python} -m simulation top --jets 1000 --val-jets 1000 "
    "--test-jets 10000 --out {raw}/top",
    "preprocess JetClass": "{python} -m preprocessing jetclass --raw {raw}/jetclass --out {data}",
    "preprocess top tagging": "{python} -m preprocessing top --raw {raw}/top --out {data}",
    f"pre-train on {RANKS} ranks": f"{{horovodrun}} -np {RANKS} --gloo {{python}} "
    "train.py jetclass --data {data} --runs {runs} --preset small",
    "fine-tune from the backbone": "{python} finetune.py top --backbone {runs}/jetclass "
    "--data {data} --runs {runs} --preset small",
    "train from scratch": "{python} finetune.py top --data {data} --runs {runs} --preset small",
    "evaluate OmniLearn": "{python} evaluate.py {runs}/top_finetuned",
    "evaluate PET from scratch": "{python} evaluate.py {runs}/top_scratch",
}


def stages(folder: Path) -> list[Stage]:
    """One command per stage; all take 12 to 21 minutes on two cores."""
    paths = {"raw": folder / "raw", "data": folder / "data", "runs": folder / "runs"}
    paths["horovodrun"] = Path(sys.executable).with_name("horovodrun")
    return [{title: [words_of(line, **paths)]} for title, line in COMMANDS.items()]


def main(arguments: list[str]) -> None:
    flags = parse_flags("demo_full", __doc__, arguments)
    run_demo(stages(flags.out), flags.out, "make demo-full", plotted_runs, table)


def plotted_runs(runs: Path) -> dict[str, Path]:
    """Label -> run of both models."""
    return dict(zip((FINETUNED, SCRATCH), (runs / name for name in MODELS.values()), strict=True))


def table(runs: Path) -> tuple[list[str], list[list[str]]]:
    """Heading and rows: metrics with uncertainties, and the epochs each model needed."""
    target = min(losses(runs / MODELS["PET from scratch"], "validation"))
    rows = []
    for model, name in MODELS.items():
        results = read_results(runs / name / "results.json")
        metrics = [results[key] for key in METRICS]
        validation = losses(runs / name, "validation")
        needed = epochs_needed(validation, target)
        reached = f"{needed} of {len(validation)}" if needed else f"not in {len(validation)}"
        rows.append([model, *(metric.text for metric in metrics), reached, str(metrics[0].n)])
    head = ["model", *METRICS.values(), "epochs to the best loss from scratch", "test jets"]
    return head, rows
