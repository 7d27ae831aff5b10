"""The figures of the papers: losses with the convergence, ROC curves, unfolded spectra, searches.

    python -m benchmarks figures --runs runs --out figures

Figures 2 to 7 of arXiv:2502.14652 and Figure 1 of arXiv:2404.16091v2 from this suite's runs, found
as for `python -m benchmarks tables`. A tagged or generated dataset is drawn when there are runs of
it with a backbone and without one, both evaluated; of generators the losses alone. The convergence
is the number of epochs that the fine-tuned model takes to the best validation loss of the one from
scratch.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks import anomaly, unfolding
from benchmarks.aspen_cells import cell_of
from benchmarks.published import OBSERVABLES
from benchmarks.runs import Run, amount, read_run, read_runs
from benchmarks.unfolding_tables import CLASSIFIERS, classifier_of
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.history import read_history
from omnilearn.plotting.style import sample_title
from omnilearn.statistics.results import read_results
from omnilearn.tagging.convergence import epochs_needed
from omnilearn.tagging.figures import LossHistory, RocCurve, loss_curves, roc_curves

FINETUNED, SCRATCH = "OmniLearn", "from scratch"


def trainings(run: Path) -> list[Path]:
    """The histories behind one model: its own, or those of its repeats."""
    return [run] if (run / "history.jsonl").is_file() else sorted(run.glob("seed*"))


def losses(run: Path, jets: str) -> list[float]:
    """Loss per epoch on the "training" or "validation" jets of a run; of its first repeat."""
    return [line[jets]["loss"] for line in read_history(trainings(run)[0])]


def convergence(finetuned: Path, scratch: Path) -> tuple[int | None, int]:
    """Epochs that the fine-tuned model took to the best loss from scratch (None: did not get
    there), and the epoch of that best loss."""
    target = losses(scratch, "validation")
    return epochs_needed(losses(finetuned, "validation"), min(target)), 1 + target.index(
        min(target)
    )


def compare(runs: dict[str, Path], folder: Path, prefix: str, title: str, signal: str) -> None:
    """Losses and ROC curves of labelled runs into `folder`; the target as in `compare_losses`."""
    curves, origin = [], None
    for label, run in runs.items():
        results = read_results(run / "results.json")
        origin = results.get("data")
        for curve in results["curves"].values():
            curves.append(RocCurve(label, curve["signal_efficiency"], curve["rejection"]))
    compare_losses(runs, folder, prefix, sample_title(title, origin, None))
    tested = max(result.n for curve in curves for result in curve.rejection)
    title = sample_title(title, origin, tested, "test jets")
    roc_curves(curves, folder / f"{prefix}roc", title=title, signal=signal)


def compare_losses(runs: dict[str, Path], folder: Path, prefix: str, title: str) -> None:
    """Losses of labelled runs into `folder`; "from scratch", if there is one, sets the target."""
    target = min(losses(runs[SCRATCH], "validation")) if SCRATCH in runs else None
    histories = []
    for label, run in runs.items():
        validation = losses(run, "validation")
        reached = None if target is None else epochs_needed(validation, target)
        histories.append(LossHistory(label, losses(run, "training"), validation, reached=reached))
    loss_curves(histories, folder / f"{prefix}loss", target=target, title=title)


def pairs(runs: Sequence[Run]) -> dict[str, dict[str, Path]]:
    """Name of the pair -> runs fine-tuned and from scratch, of as many training jets.

    The name is that of the dataset, with the number of training jets where not all were used. Of
    several runs that fit the first by path is drawn, and it is said which are not.
    """
    found: dict[str, dict[str, Path]] = {}
    for run in runs:
        place, known = run.path.parent, run.dataset in CATALOGUE
        is_drawn = run.is_generation or (run.is_tagging and known and is_binary(run.dataset))
        if not known or not is_drawn or run.network != "pet" or not trainings(place):
            continue
        label = FINETUNED if run.is_finetuned else SCRATCH
        name = run.dataset + (f"_{run.train_jets}" if run.train_jets else "")
        keep_first(found.setdefault(name, {}), label, place)
    return {name: runs for name, runs in found.items() if len(runs) == 2}


def is_binary(name: str) -> bool:
    return CATALOGUE[name].num_classes == 2


def keep_first(found: dict[str, Path], label: str, place: Path) -> None:
    """The first run of a label stays; of another one it is said that it is not drawn."""
    if label in found:
        print(
            f"not drawn: {place}, since {found[label]} is of the same kind; --runs with a folder "
            "that holds one of them draws that one"
        )
    else:
        found[label] = place


def draw_pair(name: str, runs: dict[str, Path], out: Path) -> None:
    """Losses of a pair, and ROC curves of taggers; prints how much sooner the backbone is there."""
    scratch = read_run(runs[SCRATCH])
    spec = CATALOGUE[scratch.dataset]
    if scratch.is_generation:
        compare_losses(runs, out, f"{name}_", sample_title(spec.title, scratch.data, None))
    else:
        compare(runs, out, f"{name}_", spec.title, spec.labels[spec.signal].latex)
    needed, best = convergence(runs[FINETUNED], runs[SCRATCH])
    faster = f"{needed} epochs, {best / needed:.1f} times fewer" if needed else "not reached"
    size = f", {amount(scratch.train_jets)}" if scratch.train_jets else ""
    print(f"{spec.title}{size}: best loss from scratch at epoch {best}; fine-tuned: {faster}")


def draw_unfolding(runs: Sequence[Run], out: Path) -> bool:
    """Spectra with every classifier, and the losses of the first step; whether there was a run.

    Only unfoldings of the same events share a figure: of several samples each has a folder.
    """
    samples: dict[str, dict[str, Path]] = {}
    for run in runs:
        if run.is_unfolding and run.about:
            truth = run.metrics["spectra"]["detector"][OBSERVABLES[0]]["truth"]
            sample = samples.setdefault(json.dumps(truth), {})
            keep_first(sample, unfolding_label(run), run.path.parent)
    for number, found in enumerate(samples.values(), start=1):
        folder = out / f"unfolding_{number}" if len(samples) > 1 else out
        folder.mkdir(exist_ok=True)
        print(f"unfolding in {folder}: {', '.join(map(str, found.values()))}")
        unfolding.figures({name: read_run(place).metrics for name, place in found.items()}, folder)
        if set(unfolding.PET_METHODS) <= set(found):
            print(unfolding.loss_figure(found, folder / "omnifold_loss"), end="")
    return bool(samples)


def unfolding_label(run: Run) -> str:
    if classifier_of(run) in CLASSIFIERS:
        return CLASSIFIERS[classifier_of(run)].removeprefix("OmniFold ")
    return FINETUNED if run.is_finetuned else SCRATCH


def draw_search(runs: Sequence[Run], out: Path) -> bool:
    """Scans over injected signal, from a backbone and from scratch; whether there was one."""
    found: dict[str, Path] = {}
    for run in runs:
        if "scan" in run.metrics:
            keep_first(found, FINETUNED if run.is_finetuned else SCRATCH, run.path.parent)
    if found:
        anomaly.draw(found, out)
    return bool(found)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks figures", allow_abbrev=False, description=__doc__.splitlines()[0]
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run directories")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of figures")
    flags = parser.parse_args(arguments)
    runs = [run for run in read_runs(flags.runs) if cell_of(run) is None]
    found = pairs(runs)
    flags.out.mkdir(parents=True, exist_ok=True)
    for name, pair in found.items():
        draw_pair(name, pair, flags.out)
    others = [draw(runs, flags.out) for draw in (draw_unfolding, draw_search)]
    if not found and not any(others):
        raise UserError(
            f"{flags.runs} holds no dataset with an evaluated run from a backbone and one from "
            "scratch, no unfolding and no search; train with finetune.py, then evaluate.py"
        )
    print(f"figures are in {flags.out}")
