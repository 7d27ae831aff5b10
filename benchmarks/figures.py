"""The figures of the papers: losses with the convergence, ROC curves, unfolded spectra, searches.

    python -m benchmarks figures --runs runs --out figures

Figures 2 to 7 of arXiv:2502.14652 and Figure 1 of arXiv:2404.16091v2 from the runs below --runs. A
dataset of taggers or generators is plotted if there are evaluated runs with a backbone and without
one; of generators only the losses are plotted. The convergence is the number of epochs after which
the fine-tuned model reaches the best validation loss of the model from scratch.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from benchmarks import anomaly, unfolding
from benchmarks.aspen_cells import cell_of
from benchmarks.programs import command_parser
from benchmarks.published import OBSERVABLES
from benchmarks.runs import Run, amount, read_run, read_runs
from benchmarks.unfolding_tables import CLASSIFIERS, classifier_of
from omnilearn.data.catalogue import described_in
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.history import read_history
from omnilearn.plotting.style import sample_title
from omnilearn.statistics.results import read_results
from omnilearn.tagging.convergence import epochs_needed
from omnilearn.tagging.figures import LossHistory, RocCurve, loss_curves, roc_curves

FINETUNED, SCRATCH = "OmniLearn", "from scratch"


def trainings(run: Path) -> list[Path]:
    """The directories with a history: the run itself, or its repeats seed<k>."""
    return [run] if (run / "history.jsonl").is_file() else sorted(run.glob("seed*"))


def losses(run: Path, jets: str) -> list[float]:
    """Loss per epoch on the "training" or "validation" jets of a run, or of its first repeat."""
    return [line[jets]["loss"] for line in read_history(trainings(run)[0])]


def convergence(finetuned: Path, scratch: Path) -> tuple[int | None, int]:
    """Epochs after which the fine-tuned model reached the best loss from scratch (None: never), and
    the epoch of that best loss."""
    scratch_losses = losses(scratch, "validation")
    best = min(scratch_losses)
    return epochs_needed(losses(finetuned, "validation"), best), 1 + scratch_losses.index(best)


def compare(runs: dict[str, Path], folder: Path, prefix: str, title: str, signal: str) -> None:
    """Draw losses and ROC curves of labelled runs into `folder`; see `compare_losses`."""
    curves, origin = [], None
    for label, run in runs.items():
        results = read_results(run / "results.json")
        origin = results.get("data")
        for curve in results["curves"].values():
            curves.append(RocCurve(label, curve["signal_efficiency"], curve["rejection"]))
    compare_losses(runs, folder, prefix, sample_title(title, origin, None))
    test_jets = max(result.n for curve in curves for result in curve.rejection)
    title = sample_title(title, origin, test_jets, "test jets")
    roc_curves(curves, folder / f"{prefix}roc", title=title, signal=signal)


def compare_losses(runs: dict[str, Path], folder: Path, prefix: str, title: str) -> None:
    """Draw losses of labelled runs into `folder`, and the epoch at which each reaches the best
    validation loss of "from scratch", if there is such a run."""
    target = min(losses(runs[SCRATCH], "validation")) if SCRATCH in runs else None
    histories = []
    for label, run in runs.items():
        validation = losses(run, "validation")
        reached = None if target is None else epochs_needed(validation, target)
        histories.append(LossHistory(label, losses(run, "training"), validation, reached=reached))
    loss_curves(histories, folder / f"{prefix}loss", target=target, title=title)


def pairs(runs: Sequence[Run]) -> dict[str, dict[str, Path]]:
    """Name of the pair -> a fine-tuned run and one from scratch, with equally many training jets.

    The name is that of the dataset, with the number of training jets unless all were used. Of
    several runs of the same kind the first by path is used; the others are printed.
    """
    by_name: dict[str, dict[str, Path]] = {}
    for run in runs:
        folder = run.path.parent
        if run.network != "pet" or not trainings(folder):
            continue
        spec = spec_of(run)
        if not spec:
            continue
        if run.is_generation or (run.is_tagging and spec.num_classes == 2):
            name = run.dataset + (f"_{run.train_jets}" if run.train_jets else "")
            keep_first(by_name.setdefault(name, {}), model_of(run), folder)
    return {name: runs for name, runs in by_name.items() if len(runs) == 2}


def spec_of(run: Run) -> DatasetSpec | None:
    """The dataset of a run, as its first training describes it."""
    return described_in(trainings(run.path.parent)[0], run.dataset)


def model_of(run: Run) -> str:
    return FINETUNED if run.is_finetuned else SCRATCH


def keep_first(runs: dict[str, Path], label: str, folder: Path) -> None:
    """Keep the first run of a label; print that a later one is not plotted."""
    if label in runs:
        print(
            f"not drawn: {folder}, since {runs[label]} is of the same kind; to draw it, choose "
            "--runs without the other"
        )
    else:
        runs[label] = folder


def draw_pair(name: str, runs: dict[str, Path], out: Path) -> None:
    """Draw losses of a pair, and ROC curves of taggers; print the gain in convergence."""
    scratch = read_run(runs[SCRATCH])
    spec = cast(DatasetSpec, spec_of(scratch))
    if scratch.is_generation:
        compare_losses(runs, out, f"{name}_", sample_title(spec.title, scratch.data, None))
    else:
        compare(runs, out, f"{name}_", spec.title, spec.labels[spec.signal].latex)
    needed, best = convergence(runs[FINETUNED], runs[SCRATCH])
    gain = f"{needed} epochs, {best / needed:.1f} times fewer" if needed else "not reached"
    size = f", {amount(scratch.train_jets)}" if scratch.train_jets else ""
    print(f"{spec.title}{size}: best loss from scratch at epoch {best}; fine-tuned: {gain}")


def draw_unfolding(runs: Sequence[Run], out: Path) -> bool:
    """Draw spectra with every classifier, and losses of the first step; False without a run.

    Runs that unfold the same events share figures; several samples have a folder each.
    """
    samples: dict[str, dict[str, Path]] = {}
    for run in runs:
        if run.is_unfolding and run.about:
            truth = run.metrics["spectra"]["detector"][OBSERVABLES[0]]["truth"]
            sample = samples.setdefault(json.dumps(truth), {})
            keep_first(sample, unfolding_label(run), run.path.parent)
    for index, sample in enumerate(samples.values(), start=1):
        folder = out / f"unfolding_{index}" if len(samples) > 1 else out
        folder.mkdir(exist_ok=True)
        print(f"unfolding in {folder}: {', '.join(map(str, sample.values()))}")
        unfolding.figures({name: read_run(path).metrics for name, path in sample.items()}, folder)
        if set(unfolding.PET_METHODS) <= set(sample):
            print(unfolding.loss_figure(sample, folder / "omnifold_loss"), end="")
    return bool(samples)


def unfolding_label(run: Run) -> str:
    if classifier_of(run) in CLASSIFIERS:
        return CLASSIFIERS[classifier_of(run)].removeprefix("OmniFold ")
    return model_of(run)


def draw_search(runs: Sequence[Run], out: Path) -> bool:
    """Draw scans over injected signal, from a backbone and from scratch; False without a scan."""
    by_model: dict[str, Path] = {}
    for run in runs:
        if "scan" in run.metrics:
            keep_first(by_model, model_of(run), run.path.parent)
    if by_model:
        anomaly.draw(by_model, out)
    return bool(by_model)


def main(arguments: Sequence[str]) -> None:
    parser = command_parser("figures", __doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run directories")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of figures")
    flags = parser.parse_args(arguments)
    runs = [run for run in read_runs(flags.runs) if cell_of(run) is None]
    pairs_by_name = pairs(runs)
    flags.out.mkdir(parents=True, exist_ok=True)
    for name, pair in pairs_by_name.items():
        draw_pair(name, pair, flags.out)
    other_figures = [draw(runs, flags.out) for draw in (draw_unfolding, draw_search)]
    if not pairs_by_name and not any(other_figures):
        raise UserError(
            f"{flags.runs} holds no dataset with an evaluated run from a backbone and one from "
            "scratch, no unfolding and no search; train with finetune.py, then evaluate.py"
        )
    print(f"figures are in {flags.out}")
