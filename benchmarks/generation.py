"""Quality and speed of sampling against the number of network evaluations, on a trained run.

    python -m benchmarks generation --run runs/jetnet30_finetuned --jets 1000

Every row generates the jets of the test split, with true kinematics and the same noise, with one
solver; the first row with the released settings: 300 steps of two evaluations, all jets padded to
the full length. A row is equal in quality if W1M and W1P of every class exceed those of the first
row by no more than the uncertainty. Seconds are wall-clock time and CPU time of the process, since
the machine may be shared.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.generation_tables import scaled
from benchmarks.markdown import markdown
from benchmarks.programs import command_parser, write_text
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
FAR = 4.0  # times the reference; not drawn above, where too few steps give any power of ten


def quality(spec: DatasetSpec, truth: JetSet, jets: JetSet) -> dict[str, dict[str, Result]]:
    """class -> W1M and W1P."""
    by_class = {}
    for label, name in enumerate(spec.class_names):
        true, generated = (sample.of_class(label).constituents for sample in (truth, jets))
        if len(true):
            features = constituent_wasserstein(true, generated, 0)
            by_class[name] = {
                "w1m": wasserstein(relative_mass(true), relative_mass(generated), 0),
                "w1p": mean_of(features, len(generated)),
            }
    return by_class


def timed(sampler: Sampler, truth: JetSet) -> tuple[JetSet, float, float]:
    """Jets with the kinematics of `truth`, wall-clock seconds and CPU seconds.

    One step is made before, so that tracing the graphs is not timed.
    """
    index, solver = np.arange(len(truth)), sampler.solver
    sampler.solver = replace(solver, steps=1)
    sampler.constituents(index, truth.label, truth.jets)
    sampler.solver = solver
    wall, cpu = time.perf_counter(), time.process_time()
    constituents = sampler.constituents(index, truth.label, truth.jets)
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return JetSet(constituents, truth.jets, truth.label), *seconds


def row(
    run: Path, spec: DatasetSpec, solver: Solver, truth: JetSet, masses: dict, lengths=None
) -> dict:
    """One row of the scan: solver, speed, quality; `masses` collects those of the jets.

    `change` is the mean absolute change of a jet's relative mass against the first row, which has
    the same noise and a better solver. It is far more sensitive than distances between samples.
    """
    sampler = Sampler(run, spec, solver, batch_size=100, lengths=lengths)
    jets, wall, cpu = timed(sampler, truth)
    by_class = quality(spec, truth, jets)
    masses[solver] = relative_mass(jets.constituents)
    changes = np.abs(masses[solver] - next(iter(masses.values())))
    change = Result(float(changes.mean()), float(changes.std() / len(changes) ** 0.5), len(changes))
    means = {
        metric: mean_of([metrics[metric] for metrics in by_class.values()], len(truth))
        for metric in METRICS
    }
    print(
        f"{solver.name} {solver.steps}: {len(truth) / wall:.1f} jets/s, {means['w1m']}, "
        f"{means['w1p']}",
        flush=True,
    )
    return {
        "solver": solver.name,
        "steps": solver.steps,
        "evaluations": solver.steps * EVALUATIONS[solver.name],
        "jets_per_second": len(truth) / wall,
        "jets_per_core_second": len(truth) / cpu,
        "padded": lengths is not None,
        "change": change,
        "mean": means,
        "classes": by_class,
    }


def is_equal(row: dict, reference: dict) -> bool:
    """Whether W1M and W1P of every class are no larger than the reference's by more than one
    combined standard deviation."""
    return all(
        row["classes"][name][metric].value
        <= result.value + np.hypot(result.error, row["classes"][name][metric].error)
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
    for row in rows:
        factor = row["jets_per_core_second"] / reference["jets_per_core_second"]
        lines.append(
            (
                row["solver"] + (", all slots" if row["padded"] else ""),
                str(row["steps"]),
                str(row["evaluations"]),
                f"{row['jets_per_second']:.1f}",
                f"{row['jets_per_core_second']:.1f}",
                f"{factor:.1f}",
                *(scaled(result, 1e3).text for result in (row["change"], *row["mean"].values())),
                "yes" if is_equal(row, reference) else "no",
            )
        )
    return markdown(lines, texts=1)


def figures(rows: list[dict], reference: dict, out: Path, title: str) -> None:
    """W1M and W1P against evaluations, without rows that are FAR from the reference."""
    for metric, label in (("w1m", "W1M"), ("w1p", "W1P")):
        limit = FAR * reference["mean"][metric].value
        near = [row for row in rows if row["mean"][metric].value < limit]
        scans = [
            Scan(
                name,
                [row["evaluations"] for row in near if row["solver"] == name],
                [row["mean"][metric] for row in near if row["solver"] == name],
            )
            for name in EVALUATIONS
        ]
        training_size_scan(
            scans, out / f"steps_{metric}", label, title, "Network evaluations per jet"
        )


def main(arguments: Sequence[str]) -> None:
    parser = command_parser("generation", __doc__)
    parser.add_argument("--run", type=Path, required=True, help="run of finetune.py jetnet30")
    parser.add_argument("--data", default="", help="folder of datasets (default: that of the run)")
    parser.add_argument("--jets", type=int, default=1000, help="jets of all classes")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/generation"))
    flags = parser.parse_args(arguments)
    config, about = read_config(flags.run / "config.json")
    data = flags.data or config.data
    spec = dataset(about["dataset"], data)
    truth, origin = read_split(Path(data), spec, "test", flags.jets)
    full = (spec.max_constituents,)
    masses: dict[Solver, np.ndarray] = {}
    reference = row(flags.run, spec, RELEASED, truth, masses, full)
    rows = [reference, *(row(flags.run, spec, solver, truth, masses) for solver in SCAN)]
    flags.out.mkdir(parents=True, exist_ok=True)
    text = table(rows, reference)
    write_text(flags.out / "steps.md", text)
    sample = {"dataset": spec.name, "data": origin, "jets": len(truth)}
    write_results(flags.out / "steps.json", {**sample, "rows": rows})
    figures(rows, reference, flags.out, spec.title)
    print(text)
