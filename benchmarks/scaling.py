"""Weak scaling of a training step over ranks of this machine, one core and one batch for each rank.

    python -m benchmarks scaling [--ranks 1 2]

The ranks are started with horovodrun (Gloo), each pinned to one core, also when there is one rank.
The allreduce is timed separately after a barrier, so that it does not include waiting for late
ranks; the efficiency does. The numbers are medians over steps; rounds with different numbers of
ranks alternate.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.programs import RESULTS, command_parser, write_json
from benchmarks.scripts import horovodrun, words_of
from benchmarks.throughput import grouped_batches, seconds_of, work
from omnilearn.data.catalogue import JETCLASS
from omnilearn.errors import UserError
from omnilearn.model.pet import PET, PETConfig
from omnilearn.recipes import ARCHITECTURES
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled
from omnilearn.training.objective import PETObjective


def step_of_a_rank(flags: argparse.Namespace) -> None:
    """One rank: time training steps at the most frequent length and allreduces; write a report."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(os.environ["HOROVOD_LOCAL_RANK"])]})
    distributed.horovod()
    config = PETConfig(max_constituents=JETCLASS.max_constituents, **ARCHITECTURES[flags.size])
    grouped = grouped_batches(flags.batch, config.max_constituents)
    batch, _ = max(grouped, key=lambda batch_and_share: batch_and_share[1])
    run = work(flags.mode, config, training=True)
    weights = PETObjective(PET(config), flags.mode).trained().values()
    gradients = [np.ones(tuple(weight.shape), "float32") for weight in weights]
    average = compiled(lambda tensors: distributed.average(tensors))
    actions: dict[str, Callable] = {
        "step": lambda: run(batch),
        "allreduce": lambda: np.asarray(average(gradients)[-1]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(flags.steps + 2):
        for name, action in actions.items():
            distributed.barrier()
            seconds[name].append(seconds_of(action))
    # the first two steps trace the graphs
    medians = {name: float(np.median(values[2:])) for name, values in seconds.items()}
    if distributed.rank() == 0:
        ranks, share = distributed.size(), medians["allreduce"] / medians["step"]
        report = {
            "ranks": ranks,
            "slots": batch["mask"].shape[1],
            "jets_per_second": flags.batch * ranks / medians["step"],
            "allreduce_share": share if ranks > 1 else 0.0,
            "megabytes_per_step": sum(gradient.nbytes for gradient in gradients) / 1e6,
        }
        write_json(Path(flags.report), report)


def launched(ranks: int, flags: argparse.Namespace, folder: Path) -> dict:
    """One measurement on `ranks` ranks, each in its own process."""
    cores = len(os.sched_getaffinity(0))
    if ranks > cores:
        raise UserError(f"--ranks {ranks}: this machine offers {cores} cores; use fewer ranks")
    report = folder / f"ranks{ranks}.json"
    words = words_of(
        "-m benchmarks scaling --size {size} --mode {mode} --batch {batch} --steps {steps}",
        **vars(flags),
    )
    command = [*horovodrun(ranks), *words, "--report", str(report)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise UserError(
            f"{ranks} ranks ended with code {process.returncode}: {process.stderr[-300:]!r}"
        )
    return json.loads(report.read_text())


def combined(rounds: list[list[dict]]) -> list[dict]:
    """Medians over rounds for each number of ranks.

    The efficiency is the speed per rank over that of the first number of ranks in the same round.
    """
    rows = []
    for index, first in enumerate(rounds[0]):
        measured = [rows_of_round[index] for rows_of_round in rounds]
        per_rank = [row["jets_per_second"] / row["ranks"] for row in measured]
        base = [row["jets_per_second"] / row["ranks"] for row, *_ in rounds]
        rows.append(
            {
                **first,
                "jets_per_second": float(np.median([row["jets_per_second"] for row in measured])),
                "allreduce_share": float(np.median([row["allreduce_share"] for row in measured])),
                "efficiency": float(np.median(np.divide(per_rank, base))),
            }
        )
    return rows


def main(arguments: list[str]) -> None:
    parser = command_parser("scaling", __doc__)
    parser.add_argument("--size", choices=tuple(ARCHITECTURES), default="full")
    parser.add_argument("--mode", choices=("all", "classifier", "generator"), default="all")
    parser.add_argument("--batch", type=int, default=64, help="jets per step and rank")
    parser.add_argument("--steps", type=int, default=9, help="measured steps of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=RESULTS / "scaling.json")
    parser.add_argument("--report", help="file of one rank; this command sets it for its ranks")
    flags = parser.parse_args(arguments)
    if flags.report:
        return step_of_a_rank(flags)
    with tempfile.TemporaryDirectory() as folder:
        rounds = [
            [launched(ranks, flags, Path(folder)) for ranks in flags.ranks]
            for _ in range(flags.rounds)
        ]
    rows = combined(rounds)
    for row in rows:
        print(
            f"{row['ranks']} ranks: {row['jets_per_second']:.1f} jets/s, efficiency "
            f"{row['efficiency']:.0%}, allreduce {row['allreduce_share']:.1%} of the step, "
            f"{row['megabytes_per_step']:.1f} MB per step and rank",
            flush=True,
        )
    names = ("size", "mode", "batch", "steps", "rounds")
    write_json(flags.out, {**{name: getattr(flags, name) for name in names}, "rows": rows})
