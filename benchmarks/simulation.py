"""Rate of simulated JetClass jets on one core, with and without rejecting collisions early.

python -m benchmarks simulation              ten classes on one core
python -m benchmarks simulation --classes Hqql,Tbl --jets 1000

The times are CPU times of a task, from starting Pythia to the columns of the file, so that other
processes hardly change them. "all" simulates every collision to the end, "early" stops those
whose hard process cannot give a selected jet.
"""

import platform
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from benchmarks.programs import RESULTS, command_parser, write_json
from simulation.generator_card import GeneratorCard
from simulation.jetclass import CARD, PUBLIC_NAMES, classes
from simulation.plan import Task, at_least
from simulation.runner import run

WAYS = {"all": replace(CARD, can_give_jet=None), "early": CARD}


def main(arguments: list[str]) -> None:
    """Measure, print class by class, and write the numbers as JSON."""
    parser = command_parser("simulation", __doc__)
    parser.add_argument("--jets", type=at_least(1), default=250, help="of each class (250)")
    parser.add_argument(
        "--classes", type=classes, default=list(PUBLIC_NAMES), help="comma-separated (all ten)"
    )
    output = RESULTS / "simulation_rates.json"
    parser.add_argument("--output", type=Path, default=output, help="JSON file to write")
    flags = parser.parse_args(arguments)
    measured, total_seconds = {}, dict.fromkeys(WAYS, 0.0)
    print(f"{'jets per CPU second':<22}{'all':>8}{'early':>8}{'ratio':>8}")
    for index, process in enumerate(CARD.processes):
        if process.name in flags.classes:
            seconds = {way: cpu_seconds(recipe, index, flags.jets) for way, recipe in WAYS.items()}
            measured[process.name] = rates(seconds, flags.jets)
            show(process.name, measured[process.name])
            total_seconds = {way: total_seconds[way] + seconds[way] for way in WAYS}
    together = rates(total_seconds, flags.jets * len(measured))
    show("equal parts of these", together)
    document = {
        "benchmark": "simulation",
        "command": "python -m benchmarks simulation",
        "unit": "jets per CPU second, one core",
        "jets_per_class": flags.jets,
        "machine": platform.machine(),
        "pythia": version("pythia8mc"),
        "measured": measured,
        "together": together,
    }
    write_json(flags.output, document)
    print(f"written: {flags.output}")


def cpu_seconds(recipe: GeneratorCard, process: int, jets: int) -> float:
    """CPU time of a task of one process."""
    jets_by_process = tuple(jets * (index == process) for index in range(len(recipe.processes)))
    start = time.process_time()
    run(Task(recipe, "train", 0, jets_by_process, seed=1))
    return time.process_time() - start


def rates(seconds: dict[str, float], jets: int) -> dict[str, float]:
    """Jets per second of each way, and their ratio."""
    row = {way: round(jets / duration, 1) for way, duration in seconds.items()}
    return {**row, "ratio": round(seconds["all"] / seconds["early"], 2)}


def show(name: str, row: dict[str, float]) -> None:
    print(f"{name:<22}{row['all']:>8.1f}{row['early']:>8.1f}{row['ratio']:>8.2f}", flush=True)
