"""How many JetClass jets a core simulates in a second, and what giving collisions up early wins.

python -m benchmarks simulation              both ways, ten classes, in turn on one core
python -m benchmarks simulation --classes Hqql,Tbl --jets 1000

CPU time of one task each, from starting Pythia to the columns of the file: other work on the
machine hardly counts. "all" goes on with every collision, "early" gives up those without a jet in
sight.
"""

import argparse
import json
import platform
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from omnilearn.atomic import atomic_path
from simulation.generator_card import GeneratorCard
from simulation.jetclass import CARD, PUBLIC_NAMES, classes
from simulation.plan import Task, at_least
from simulation.runner import run

WAYS = {"all": replace(CARD, can_give_jet=None), "early": CARD}


def main(arguments: list[str]) -> None:
    """Measure, print class by class, and write the numbers as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks simulation",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jets", type=at_least(1), default=250, help="of each class (250)")
    parser.add_argument(
        "--classes", type=classes, default=list(PUBLIC_NAMES), help="comma-separated (all ten)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="where the numbers go",
        default=Path("benchmarks/results/simulation_rates.json"),
    )
    flags = parser.parse_args(arguments)
    measured, total = {}, dict.fromkeys(WAYS, 0.0)
    print(f"{'jets per CPU second':<22}{'all':>8}{'early':>8}{'ratio':>8}")
    for index, process in enumerate(CARD.processes):
        if process.name in flags.classes:
            seconds = {way: cpu_seconds(recipe, index, flags.jets) for way, recipe in WAYS.items()}
            measured[process.name] = rates(seconds, flags.jets)
            show(process.name, measured[process.name])
            total = {way: total[way] + seconds[way] for way in WAYS}
    together = rates(total, flags.jets * len(measured))
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
    with atomic_path(flags.output) as path:
        path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written: {flags.output}")


def cpu_seconds(recipe: GeneratorCard, process: int, jets: int) -> float:
    """CPU time of a task of one process."""
    wanted = tuple(jets * (index == process) for index in range(len(recipe.processes)))
    start = time.process_time()
    run(Task(recipe, "train", 0, wanted, seed=1))
    return time.process_time() - start


def rates(seconds: dict[str, float], jets: int) -> dict[str, float]:
    """Jets per second of each way, and their ratio."""
    found = {way: round(jets / spent, 1) for way, spent in seconds.items()}
    return {**found, "ratio": round(seconds["all"] / seconds["early"], 2)}


def show(name: str, row: dict[str, float]) -> None:
    print(f"{name:<22}{row['all']:>8.1f}{row['early']:>8.1f}{row['ratio']:>8.2f}", flush=True)
