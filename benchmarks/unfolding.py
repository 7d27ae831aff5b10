"""Unfolding by five methods on the same events: binned, and OmniFold with four classifiers.

    python -m benchmarks unfolding --data data --preset small              # from --backbone small
    python -m benchmarks unfolding ... --iterations 2 --train-jets 16000   # more for finetune.py
    python -m benchmarks unfolding --data data --methods trees             # no GPU

Table 7 of arXiv:2502.14652 (detector level, first step), Table II and Figure 1 of
arXiv:2404.16091v2. Every method is a run of finetune.py and evaluate.py; a finished one is not
repeated. Writes table.md and the figures into --out.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markdown import markdown_section
from benchmarks.programs import absolute, backbone, command_parser, write_text
from benchmarks.published import OBSERVABLES
from benchmarks.runs import read_run
from benchmarks.scripts import execute, words_of
from benchmarks.unfolding_tables import tables_of
from omnilearn.history import read_history
from omnilearn.statistics.results import Result
from omnilearn.tagging.convergence import epochs_needed
from omnilearn.tagging.figures import LossHistory, loss_curves
from omnilearn.unfolding.figures import LABELS, iteration_figure, panels_of, spectra_figure

METHODS = {
    "trees": "omnifold_trees",
    "DeepSets": "omnifold_deepsets",
    "from scratch": "omnifold_scratch",
    "OmniLearn": "omnifold_omnilearn",
}
PET_METHODS = ("from scratch", "OmniLearn")
DISTANCES = {"triangular": "triangular discriminator", "chi2": "chi2 per bin"}
FOOTNOTE = "\nSimulated rows cannot be ranked against published ones.\n"


def command(method: str, flags: argparse.Namespace, extra_words: list[str]) -> list[str]:
    """The command that unfolds by this method."""
    words = words_of(
        "{python} finetune.py omnifold --preset {preset} --data {data} --runs {runs} --name {name}",
        name=METHODS[method],
        **vars(flags),
    )
    method_words = {
        "trees": ["--classifier", "trees"],
        "DeepSets": ["--classifier", "deepsets"],
        "OmniLearn": ["--backbone", flags.backbone],
    }
    return [*words, *extra_words, *method_words.get(method, [])]


def verdict(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """The number of observables in which each method is closer to the truth than the simulation
    and than IBU."""
    lines = []
    for method, results in measured.items():
        for distance, name in DISTANCES.items():
            closer = {
                reference: sum(
                    results[f"{distance}_particle_{observable}_unfolded"].value
                    < results[f"{distance}_particle_{observable}_{reference}"].value
                    for observable in OBSERVABLES
                )
                for reference in ("simulation", "ibu")
            }
            lines.append(
                f"- OmniFold, {method}, {name}: closer to the truth than the simulation in "
                f"{closer['simulation']} of 6 observables, than IBU in {closer['ibu']}."
            )
    return "\n".join(lines) + "\n"


def first_step(run: Path) -> dict[str, list[float]]:
    """Cross-entropy by epoch of the first training of a run."""
    lines = read_history(run)
    return {
        kind: [line[kind]["cross_entropy"] for line in lines] for kind in ("training", "validation")
    }


def loss_figure(runs: Mapping[str, Path], path_stem: Path) -> str:
    """Draw the cross-entropy of the first step by epoch; returns a sentence on the gain in
    convergence by the backbone."""
    losses = {method: first_step(runs[method]) for method in PET_METHODS}
    target = min(losses["from scratch"]["validation"])
    epoch = 1 + losses["from scratch"]["validation"].index(target)
    histories = []
    for method, loss in losses.items():
        reached = epochs_needed(loss["validation"], target)
        histories.append(LossHistory(method, loss["training"], loss["validation"], reached=reached))
    loss_curves(histories, path_stem, target=target)
    needed = histories[-1].reached
    best = min(losses["OmniLearn"]["validation"])
    gain = f"after {needed}, {epoch / needed:.1f} times fewer" if needed else "never"
    return (
        f"First step: best validation cross-entropy from scratch {target:.4f}, after {epoch} "
        f"epochs; from the backbone it is reached {gain}, the best is {best:.4f}.\n"
    )


def figures(measured: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Spectra of both levels with all methods, and distance against iteration of each."""
    for level in ("detector", "particle"):
        panels: dict = {}
        for method, results in measured.items():
            renamed = {**LABELS[level], "unfolded": method}
            for name, (edges, spectra) in panels_of(results, level, renamed).items():
                panels.setdefault(name, (edges, {}))[1].update(spectra)
        spectra_figure(panels, LABELS[level]["truth"], out / f"spectra_{level}", f"{level} level")
    for method, results in measured.items():
        stem = "iterations_" + method.replace("from ", "").replace(" ", "_").lower()
        iteration_figure(results["by_iteration"], out / stem, f"OmniFold, {method}")


def report(folder: Path, out: Path, methods: Sequence[str] = tuple(METHODS)) -> str:
    """Tables and figures of the finished runs of these methods; returns the text of table.md."""
    runs = {method: read_run(folder / METHODS[method]) for method in methods}
    measured = {method: run.metrics for method, run in runs.items()}
    events = {
        result.n
        for results in measured.values()
        for result in results.values()
        if isinstance(result, Result)
    }
    out.mkdir(parents=True, exist_ok=True)
    figures(measured, out)
    entries = [(f"OmniFold, {method}", run) for method, run in runs.items()]
    folders = {method: run.path.parent for method, run in runs.items()}
    text = "\n".join(
        [
            *map(markdown_section, tables_of(entries, entries)),
            verdict(measured),
            loss_figure(folders, out / "loss") if set(PET_METHODS) <= set(methods) else "",
            f"Simulated events: {max(events)} at most per spectrum.",
            FOOTNOTE,
        ]
    )
    write_text(out / "table.md", text)
    return text


def main(arguments: list[str]) -> None:
    parser = command_parser("unfolding", __doc__, epilog="further flags go to finetune.py")
    parser.add_argument("--data", type=absolute, default="data", help="folder of datasets")
    parser.add_argument(
        "--backbone", type=backbone, default="small", help="name or run, of OmniLearn"
    )
    parser.add_argument("--preset", default="small", help="full or small")
    parser.add_argument("--runs", type=absolute, default="runs", help="folder of run directories")
    parser.add_argument("--out", type=absolute, default="unfolding", help="table and figures")
    parser.add_argument(
        "--ibu-iterations",
        type=int,
        help="of the binned unfolding (default: those that detector level chooses)",
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    flags, extra_words = parser.parse_known_args(arguments)
    for count, method in enumerate(flags.methods, start=1):
        print(f"[{count}/{len(flags.methods)}] OmniFold, {method}", flush=True)
        run = flags.runs / METHODS[method]
        if not (run / "results.json").is_file():
            execute(command(method, flags, extra_words))
            words = [sys.executable, "evaluate.py", str(run)]
            if flags.ibu_iterations is not None:
                words += ["--ibu-iterations", str(flags.ibu_iterations)]
            execute(words)
    print(report(flags.runs, flags.out, flags.methods))
