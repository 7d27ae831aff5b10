"""Unfolding by five methods on the same events: binned, and OmniFold with four classifiers.

    python -m benchmarks unfolding --data data --backbone runs/jetclass --preset small
    python -m benchmarks unfolding ... --iterations 2 --train-jets 16000   # more for finetune.py
    python -m benchmarks unfolding --data data --methods trees             # no backbone, no GPU

Table 7 of arXiv:2502.14652 (detector level, first step), Table 2 and Figure 1 of arXiv:2404.16091.
Every method is a run of finetune.py and evaluate.py; a finished one is not repeated. Writes
table.md and the figures into --out.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.data_efficiency import execute
from benchmarks.published import OBSERVABLES, REWEIGHTING, UNFOLDING, PublishedTable
from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, read_results
from omnilearn.tagging.convergence import epochs_needed
from omnilearn.tagging.figures import LossHistory, loss_curves
from omnilearn.unfolding.figures import (
    LABELS,
    OBSERVABLE_LABELS,
    iteration_figure,
    panels_of,
    spectra_figure,
)

ROOT = Path(__file__).parents[1]
METHODS = {"trees": "omnifold_trees", "DeepSets": "omnifold_deepsets",
           "from scratch": "omnifold_scratch", "OmniLearn": "omnifold_omnilearn"}  # fmt: skip
PET_METHODS = ("from scratch", "OmniLearn")
DISTANCES = {"triangular": "triangular discriminator", "chi2": "chi2 per bin"}
FOOTNOTE = """
Triangular discriminator x 1000 against data that no classifier learnt from (detector level) or the
particle level of data that were not unfolded; uncertainties of our rows from 100 variations of the
histogram. *Noise floor*: expected of two samples of this size from one distribution. *Trees* are
boosted trees on the six observables. Chi2 per bin is the distance in units of the statistical
uncertainty, of the result and of the truth. Two-sample AUC: a DeepSets classifier over all
constituents, 0.5 where it cannot tell. Simulated rows cannot be ranked against published ones.
"""


def command(method: str, flags: argparse.Namespace, more: list[str]) -> list[str]:
    """The command that unfolds by this method."""
    found = [
        sys.executable, "finetune.py", "omnifold", "--preset", flags.preset,
        "--data", str(flags.data), "--runs", str(flags.runs), "--name", METHODS[method], *more,
    ]  # fmt: skip
    own = {
        "trees": ["--classifier", "trees"],
        "DeepSets": ["--classifier", "deepsets"],
        "OmniLearn": ["--backbone", flags.backbone],
    }
    return [*found, *map(str, own.get(method, []))]


def rows(
    measured: dict[str, dict], level: str, kinds: dict[str, str], distance: str = "triangular"
) -> list[list[str]]:
    """A row per method; `kinds`: spectrum in results.json -> its name where it is no method."""
    found = []
    for kind, name in kinds.items():
        for method, results in measured.items():
            keys = [f"{level}_{observable}_{kind}" for observable in OBSERVABLES]
            numbers = [results[f"{distance}_{key}"].text for key in keys]
            auc = {"simulation": "two_sample_simulation", "unfolded": "two_sample_unfolded"}
            tested = auc.get(kind) if level == "particle" else None
            iterations = results.get("ibu_iterations") if kind == "ibu" else None
            own = f"{name}, {iterations} iterations" if iterations else name
            found.append([own or f"OmniFold, {method}", "simulated", *numbers,
                          results[tested].text if tested else "-"])  # fmt: skip
            if name:  # the same of every run
                floors = [noise_floor(results, key, distance) for key in keys]
                if kind == "simulation":
                    found.append(["*Noise floor*", "simulated", *floors, "0.5"])
                break
    return found


def noise_floor(results: dict, key: str, distance: str) -> str:
    """What two samples of the same distribution would have."""
    if distance != "triangular":
        return "1"
    floor = results[f"floor_{key}"]
    return "undefined" if floor is None else f"{floor:.2f}"


def published(table: PublishedTable) -> list[list[str]]:
    source = f"{table.citation}, {table.number}"
    return [
        [f"{model} ({source})", "public", *(
            f"{value:g}" if error is None else f"{value:g} ± {error:g}" for value, error in numbers
        ), "-"]
        for model, numbers in table.rows.items()
    ]  # fmt: skip


def markdown(title: str, lines: list[list[str]]) -> str:
    names = [OBSERVABLE_LABELS[name].removesuffix(" [GeV]") for name in OBSERVABLES]
    head = ["Method", "Data", *names, "Two-sample AUC"]
    rule = ["---", "---"] + ["--:"] * (len(head) - 2)
    table = "".join("| " + " | ".join(line) + " |\n" for line in (head, rule, *lines))
    return f"## {title}\n\n{table}"


def verdict(measured: dict[str, dict]) -> str:
    """In how many observables each method is closer to the truth than simulation and than IBU."""
    lines = []
    for method, results in measured.items():
        for distance, name in DISTANCES.items():
            beats = {
                other: sum(
                    results[f"{distance}_particle_{observable}_unfolded"].value
                    < results[f"{distance}_particle_{observable}_{other}"].value
                    for observable in OBSERVABLES
                )
                for other in ("simulation", "ibu")
            }
            lines.append(
                f"- OmniFold, {method}, {name}: closer to the truth than the simulation in "
                f"{beats['simulation']} of 6 observables, than IBU in {beats['ibu']}."
            )
    return "\n".join(lines) + "\n"


def first_step(run: Path) -> dict[str, list[float]]:
    """Cross-entropy by epoch of the first training of a run."""
    lines = (run / "history.jsonl").read_text().splitlines()
    return {
        kind: [json.loads(line)[kind]["cross_entropy"] for line in lines]
        for kind in ("training", "validation")
    }


def loss_figure(runs: Path, path_stem: Path) -> str:
    """Cross-entropy of the first step by epoch; says how much sooner the backbone is there."""
    losses = {method: first_step(runs / METHODS[method]) for method in PET_METHODS}
    target = min(losses["from scratch"]["validation"])
    epoch = 1 + losses["from scratch"]["validation"].index(target)
    drawn = []
    for method, found in losses.items():
        reached = epochs_needed(found["validation"], target)
        drawn.append(LossHistory(method, found["training"], found["validation"], reached=reached))
    loss_curves(drawn, path_stem, target=target)
    needed = drawn[-1].reached
    best = min(losses["OmniLearn"]["validation"])
    said = f"after {needed}, {epoch / needed:.1f} times fewer" if needed else "never"
    return (
        f"First step: best validation cross-entropy from scratch {target:.4f}, after {epoch} "
        f"epochs; from the backbone it is reached {said}, the best is {best:.4f}.\n"
    )  # fmt: skip


def figures(measured: dict[str, dict], out: Path) -> None:
    """Spectra of both levels with all methods, and distance against iteration of each."""
    for level in ("detector", "particle"):
        panels: dict = {}
        for method, results in measured.items():
            renamed = {**LABELS[level], "unfolded": method}
            for name, (edges, spectra) in panels_of(results, level, renamed).items():
                together = panels.setdefault(name, (edges, {}))[1]
                together.update(spectra)
        spectra_figure(panels, LABELS[level]["truth"], out / f"spectra_{level}", f"{level} level")
    for method, results in measured.items():
        stem = METHODS[method].replace("omnifold", "iterations")
        iteration_figure(results["by_iteration"], out / stem, f"OmniFold, {method}")


def report(runs: Path, out: Path, methods: Sequence[str] = tuple(METHODS)) -> str:
    """Tables and figures of the finished runs of these methods; returns the text of table.md."""
    measured = {method: read_results(runs / METHODS[method] / "results.json") for method in methods}
    events = {one.n for found in measured.values() for one in found.values()
              if isinstance(one, Result)}  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    figures(measured, out)
    detector = rows(measured, "detector", {"simulation": "simulation", "reweighted": ""})
    kinds = {"simulation": "simulation", "ibu": "IBU", "unfolded": ""}
    particle = rows(measured, "particle", kinds)
    chi2 = rows(measured, "particle", kinds, "chi2")
    text = "\n".join([
        markdown("Reweighted at detector level, after the first step",
                 published(REWEIGHTING) + detector),
        markdown("Unfolded, at particle level", published(UNFOLDING) + particle),
        markdown("Unfolded, at particle level: chi2 per bin", chi2),
        verdict(measured),
        loss_figure(runs, out / "loss") if set(PET_METHODS) <= set(methods) else "",
        f"Simulated events: {max(events)} at most per spectrum.",
        FOOTNOTE,
    ])  # fmt: skip
    with atomic_path(out / "table.md") as temporary:
        temporary.write_text(text)
    return text


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks unfolding", allow_abbrev=False,
                                     description=__doc__.splitlines()[0],
                                     epilog="further flags go to finetune.py")  # fmt: skip
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of datasets")
    parser.add_argument("--backbone", type=Path, help="pre-trained run, of OmniLearn")
    parser.add_argument("--preset", default="small", help="full or small")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run directories")
    parser.add_argument("--out", type=Path, default=Path("unfolding"), help="table and figures")
    parser.add_argument("--ibu-iterations", type=int, default=3, help="of the binned unfolding")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    flags, more = parser.parse_known_args(arguments)
    if "OmniLearn" in flags.methods and not (flags.backbone and flags.backbone.exists()):
        raise UserError(f"--backbone is {flags.backbone}, expected the run that OmniLearn starts "
                        "from; make it with: python train.py jetclass")  # fmt: skip
    for place in ("data", "backbone", "runs", "out"):  # scripts run from the folder of the suite
        if getattr(flags, place):
            setattr(flags, place, getattr(flags, place).resolve())
    for number, method in enumerate(flags.methods, start=1):
        print(f"[{number}/{len(flags.methods)}] OmniFold, {method}", flush=True)
        run = flags.runs / METHODS[method]
        if not (run / "results.json").is_file():
            execute(command(method, flags, more))
            execute([sys.executable, "evaluate.py", str(run),
                     "--ibu-iterations", str(flags.ibu_iterations)])  # fmt: skip
    print(report(flags.runs, flags.out, flags.methods))
