"""Fine-tuned against from scratch, dataset by dataset: losses with the convergence, ROC curves.

    python -m benchmarks figures --runs runs --out figures

Figures 2 to 5 of arXiv:2502.14652 from this suite's runs: a dataset is drawn when there are runs
of it with a backbone and without one, both evaluated; of generators the losses alone. The
convergence is the number of epochs that the fine-tuned model takes to the best validation loss of
the one from scratch.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.generation_tables import is_generation
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results
from omnilearn.tagging.convergence import epochs_needed
from omnilearn.tagging.figures import LossHistory, RocCurve, loss_curves, roc_curves

FINETUNED, SCRATCH = "OmniLearn", "from scratch"


def trainings(run: Path) -> list[Path]:
    """The histories behind one model: its own, or those of its repeats."""
    return [run] if (run / "history.jsonl").is_file() else sorted(run.glob("seed*"))


def losses(run: Path, jets: str) -> list[float]:
    """Loss per epoch on the "training" or "validation" jets of a run; of its first repeat."""
    lines = (trainings(run)[0] / "history.jsonl").read_text().splitlines()
    return [json.loads(line)[jets]["loss"] for line in lines]


def convergence(finetuned: Path, scratch: Path) -> tuple[int | None, int]:
    """Epochs that the fine-tuned model took to the best loss from scratch (None: did not get
    there), and the epoch of that best loss."""
    target = losses(scratch, "validation")
    return epochs_needed(losses(finetuned, "validation"), min(target)), 1 + target.index(
        min(target)
    )


def compare(runs: dict[str, Path], folder: Path, prefix: str, title: str, signal: str) -> None:
    """Losses and ROC curves of labelled runs into `folder`; "from scratch" sets the target."""
    compare_losses(runs, folder, prefix)
    curves = []
    for label, run in runs.items():
        for curve in read_results(run / "results.json")["curves"].values():
            curves.append(RocCurve(label, curve["signal_efficiency"], curve["rejection"]))
    roc_curves(curves, folder / f"{prefix}roc", title=title, signal=signal)


def compare_losses(runs: dict[str, Path], folder: Path, prefix: str) -> None:
    """Losses of labelled runs into `folder`; "from scratch" sets the target."""
    target = min(losses(runs[SCRATCH], "validation"))
    histories = []
    for label, run in runs.items():
        validation = losses(run, "validation")
        reached = epochs_needed(validation, target)
        histories.append(LossHistory(label, losses(run, "training"), validation, reached=reached))
    loss_curves(histories, folder / f"{prefix}loss", target=target)


def pairs(folder: Path) -> dict[str, dict[str, Path]]:
    """dataset -> runs fine-tuned and from scratch, the first of each in alphabetical order."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*/results.json")):
        run = path.parent
        results = read_results(path)
        dataset = results["dataset"]
        known = dataset in CATALOGUE and trainings(run)
        if not known or not (CATALOGUE[dataset].num_classes == 2 or is_generation(results)):
            continue
        about = json.loads((trainings(run)[0] / "config.json").read_text())
        label = FINETUNED if about["backbone"] else SCRATCH
        found.setdefault(dataset, {}).setdefault(label, run)
    return {name: runs for name, runs in found.items() if len(runs) == 2}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks figures", allow_abbrev=False,
                                     description=__doc__.splitlines()[0])  # fmt: skip
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run directories")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of figures")
    flags = parser.parse_args(arguments)
    found = pairs(flags.runs)
    if not found:
        raise UserError(
            f"{flags.runs} holds no dataset with an evaluated run from a backbone and one from "
            "scratch; train both with finetune.py, then evaluate.py"
        )
    flags.out.mkdir(parents=True, exist_ok=True)
    for dataset, runs in found.items():
        spec = CATALOGUE[dataset]
        if is_generation(read_results(runs[SCRATCH] / "results.json")):
            compare_losses(runs, flags.out, f"{dataset}_")
        else:
            signal = spec.labels[spec.signal].latex
            compare(runs, flags.out, f"{dataset}_", spec.title, signal)
        needed, best = convergence(runs[FINETUNED], runs[SCRATCH])
        faster = f"{needed} epochs, {best / needed:.1f} times fewer" if needed else "not reached"
        print(f"{spec.title}: best loss from scratch at epoch {best}; fine-tuned: {faster}")
    print(f"figures are in {flags.out}")
