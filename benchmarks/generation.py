"""Quality and speed of sampling against the number of network evaluations, on a trained run.

    python -m benchmarks generation --run runs/jetnet30_finetuned --jets 1000

Every row makes the same jets of the test split, with true kinematics and the same noise, by one
solver; the first by the released settings: 300 steps of two evaluations, all jets padded to the
full length. A row is equal in quality when W1M and W1P of every class lie within the uncertainty of
the released row's. Seconds are those of this process's threads (the machine may be shared) and of
the clock.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.markdown import markdown
from omnilearn.atomic import atomic_path
from omnilearn.config import read_config
from omnilearn.data.catalogue import dataset
from omnilearn.data.spec import DatasetSpec
from omnilearn.diffusion import EVALUATIONS
from omnilearn.generation.distances import constituent_wasserstein, wasserstein
from omnilearn.generation.jet_sets import JetSet, read_split
from omnilearn.generation.metrics import mean_of, relative_mass
from omnilearn.generation.sampling import RELEASED, Sampler, Solver
from omnilearn.plotting.scans import Scan, training_size_scan
from omnilearn.statistics.results import Result, write_results

SCAN = (
    *(Solver("multistep", steps) for steps in (5, 8, 10, 12, 16, 20, 30)),
    *(Solver("released", steps) for steps in (5, 10, 25)),
    *(Solver("stochastic", steps) for steps in (20, 50)),
)
METRICS = ("w1m", "w1p")
FAR = 4.0  # times the reference: a solver with too few steps may miss by any power of ten


def quality(spec: DatasetSpec, truth: JetSet, jets: JetSet) -> dict[str, dict[str, Result]]:
    """class -> W1M and W1P."""
    found = {}
    for label, name in enumerate(spec.class_names):
        true, ours = (sample.of_class(label).constituents for sample in (truth, jets))
        if len(true):
            features = constituent_wasserstein(true, ours, 0)
            found[name] = {
                "w1m": wasserstein(relative_mass(true), relative_mass(ours), 0),
                "w1p": mean_of(features, len(ours)),
            }
    return found


def timed(sampler: Sampler, truth: JetSet) -> tuple[JetSet, float, float]:
    """The jets of `truth` made anew, seconds of the clock and of all threads; graphs are warm."""
    index = np.arange(len(truth))
    warm = replace(sampler.solver, steps=1)
    asked, sampler.solver = sampler.solver, warm
    sampler.constituents(index, truth.label, truth.jets)
    sampler.solver = asked
    clock, threads = time.perf_counter(), time.process_time()
    made = sampler.constituents(index, truth.label, truth.jets)
    seconds = time.perf_counter() - clock, time.process_time() - threads
    return JetSet(made, truth.jets, truth.label), *seconds


def row(
    run: Path, spec: DatasetSpec, solver: Solver, truth: JetSet, masses: dict, lengths=None
) -> dict:
    """One line of the scan: how, how fast, how well; `masses` gets those of its jets.

    `change` is the mean absolute change of a jet's relative mass against the first row: the same
    noise through a better solver. It is far more sensitive than distances between samples.
    """
    sampler = Sampler(run, spec, solver, batch_size=100, lengths=lengths)
    jets, clock, threads = timed(sampler, truth)
    measured = quality(spec, truth, jets)
    found = masses[solver] = relative_mass(jets.constituents)
    changes = np.abs(found - next(iter(masses.values())))
    change = Result(float(changes.mean()), float(changes.std() / len(changes) ** 0.5), len(changes))
    evaluations = solver.steps * EVALUATIONS[solver.name]
    means = {
        metric: mean_of([found[metric] for found in measured.values()], len(truth))
        for metric in METRICS
    }
    print(
        f"{solver.name} {solver.steps}: {len(truth) / clock:.1f} jets/s, {means['w1m']}, "
        f"{means['w1p']}",
        flush=True,
    )
    return {
        "solver": solver.name,
        "steps": solver.steps,
        "evaluations": evaluations,
        "jets_per_second": len(truth) / clock,
        "jets_per_core_second": len(truth) / threads,
        "padded": lengths is not None,
        "change": change,
        "mean": means,
        "classes": measured,
    }


def is_equal(found: dict, reference: dict) -> bool:
    """Whether W1M and W1P of every class are no larger than the reference's by more than one
    combined standard deviation."""
    return all(
        found["classes"][name][metric].value
        <= result.value + np.hypot(result.error, found["classes"][name][metric].error)
        for name, metrics in reference["classes"].items()
        for metric, result in metrics.items()
    )


def table(rows: list[dict], reference: dict) -> str:
    """Markdown: solver, evaluations, rates against the released settings, quality."""
    head = (
        "solver",
        "steps",
        "evaluations",
        "jets/s",
        "jets per core-second",
        "against released",
        "mean change of a jet's mass (10^-3)",
        "W1M (10^-3)",
        "W1P (10^-3)",
        "within uncertainty in every class",
    )
    lines = [head]
    for found in rows:
        factor = found["jets_per_core_second"] / reference["jets_per_core_second"]
        means = [
            Result(1e3 * result.value, 1e3 * result.error, result.n).text
            for result in (found["change"], *found["mean"].values())
        ]
        name = found["solver"] + (", all slots" if found["padded"] else "")
        lines.append(
            (
                name,
                str(found["steps"]),
                str(found["evaluations"]),
                f"{found['jets_per_second']:.1f}",
                f"{found['jets_per_core_second']:.1f}",
                f"{factor:.1f}",
                *means,
                "yes" if is_equal(found, reference) else "no",
            )
        )
    return markdown(lines, texts=1)


def figures(rows: list[dict], reference: dict, out: Path, title: str) -> None:
    """W1M and W1P against evaluations; what is far from the reference stands in the table alone."""
    for metric, label in (("w1m", "W1M"), ("w1p", "W1P")):
        most = FAR * reference["mean"][metric].value
        drawn = [found for found in rows if found["mean"][metric].value < most]
        scans = [
            Scan(
                name,
                [found["evaluations"] for found in drawn if found["solver"] == name],
                [found["mean"][metric] for found in drawn if found["solver"] == name],
            )
            for name in EVALUATIONS
        ]
        training_size_scan(
            scans, out / f"steps_{metric}", label, title, "Network evaluations per jet"
        )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks generation", allow_abbrev=False, description=__doc__.splitlines()[0]
    )
    parser.add_argument("--run", type=Path, required=True, help="run of finetune.py jetnet30")
    parser.add_argument("--data", default="", help="folder of datasets (default: the run's own)")
    parser.add_argument("--jets", type=int, default=1000, help="jets of all classes")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/generation"))
    flags = parser.parse_args(arguments)
    config, about = read_config(flags.run / "config.json")
    spec = dataset(about["dataset"], flags.data or config.data)
    truth, origin = read_split(Path(flags.data or config.data), spec, "test", flags.jets)
    full = (spec.max_constituents,)
    masses: dict[Solver, np.ndarray] = {}
    reference = row(flags.run, spec, RELEASED, truth, masses, full)
    rows = [reference, *(row(flags.run, spec, solver, truth, masses) for solver in SCAN)]
    flags.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(flags.out / "steps.md") as temporary:
        temporary.write_text(table(rows, reference))
    described = {"dataset": spec.name, "data": origin, "jets": len(truth)}
    write_results(flags.out / "steps.json", {**described, "rows": rows})
    figures(rows, reference, flags.out, spec.title)
    print(table(rows, reference))
