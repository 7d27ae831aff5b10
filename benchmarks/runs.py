"""Evaluated runs below a folder, known by what they are and not by the names of their folders.

What was measured stands in results.json, what was trained in the config.json beside it, or in that
of the first repeat: task, dataset, backbone or none, model, preset, training jets. A results.json
that sums others up (repeats, a scan over signal) stands for those below it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.markdown import OURS
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, read_results

KINDS_OF_DATA = ("public", "simulated", "own")
SUMMARIES = ("trainings", "scan")  # keys of a results.json that sums others up
SETS = {"generated": "", "ideal": "Ideal"}  # jets that a generator made: key -> mark in a row
NO_RUN = f"{OURS}, no run"


@dataclass(frozen=True)
class Run:
    """One evaluated run: results.json, the config.json of its first training, where it lies."""

    path: Path  # of results.json
    origin: str  # how tables call it: its folder, seen from the folder of runs
    metrics: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        return self.metrics["dataset"]

    @property
    def data(self) -> str:
        return self.metrics["data"]

    @property
    def trainings(self) -> int:
        return self.metrics.get("trainings", 1)

    @property
    def config(self) -> dict[str, Any]:
        return self.about.get("config", {})

    @property
    def network(self) -> str:
        """pet or omnijet; empty where no training is described."""
        return self.config.get("model", "pet") if self.about else ""

    @property
    def is_finetuned(self) -> bool:
        return bool(self.about.get("backbone"))

    @property
    def train_jets(self) -> int:
        """Training jets asked for; 0 means all."""
        return self.config.get("train_jets", 0)

    @property
    def model(self) -> str:
        """The name of a row: network and start, then what is not as in the papers."""
        if not self.about:
            return self.metrics["model"]
        details = [amount(self.train_jets)] if self.train_jets else []
        if self.config.get("preset") == "small":
            details.append("small")
        return self.network_name + (f" ({', '.join(details)})" if details else "")

    @property
    def network_name(self) -> str:
        if self.network == "omnijet":
            return f"Token model, {'fine-tuned' if self.is_finetuned else 'from scratch'}"
        if self.about.get("task") == "pretraining":
            return "PET, pre-trained"
        if self.is_finetuned:
            return "OmniLearn"
        return "PET generator" if self.about.get("task") == "generation" else "PET classifier"

    @property
    def source(self) -> str:
        several = f", {self.trainings} trainings" if self.trainings > 1 else ""
        return f"{OURS}, {self.origin}{several}"

    @property
    def is_tagging(self) -> bool:
        return "accuracy" in self.metrics

    @property
    def is_generation(self) -> bool:
        return any(isinstance(self.metrics.get(name), dict) for name in SETS)

    @property
    def is_unfolding(self) -> bool:
        return any(name.startswith("triangular_") for name in self.metrics)

    @property
    def is_search(self) -> bool:
        return "scan" in self.metrics or "max_sic" in self.metrics

    def result(self, name: str, metrics: dict | None = None) -> Result | None:
        """A metric, None where the run has none; UserError when it is no Result."""
        found = (self.metrics if metrics is None else metrics).get(name)
        if found is not None and not isinstance(found, Result):
            raise UserError(
                f"{self.path}: key {name!r} is no result with value, error and n; "
                f"write the file again with: python evaluate.py {self.path.parent}"
            )
        return found


def amount(jets: int) -> str:
    """4000000 -> 4M, as the papers write it; else the number of jets."""
    return f"{jets // 10**6}M" if jets and jets % 10**6 == 0 else f"{jets} jets"


def read_runs(*folders: Path) -> list[Run]:
    """Every run in or below the folders, by path.

    Raises UserError if a folder does not exist, or a file is malformed or lacks a name.
    """
    runs: dict[Path, Run] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such folder of runs; give the one you trained into: --runs"
            )
        prefix = folder.name if len(folders) > 1 else ""
        for path in sorted(folder.rglob("results.json")):
            runs.setdefault(path.resolve(), _read_run(path, folder, prefix))
    summed_up = [
        path.parent for path, run in runs.items() if any(key in run.metrics for key in SUMMARIES)
    ]
    return [
        run
        for path, run in runs.items()
        if not any(folder in path.parent.parents for folder in summed_up)
    ]


def read_run(run: Path) -> Run:
    """One run directory, called by its own name; raises UserError as `read_runs` does."""
    return _read_run(run / "results.json", run, "")


def _read_run(path: Path, folder: Path, prefix: str) -> Run:
    metrics = read_results(path)
    for key in ("dataset", "model", "data"):
        if not isinstance(metrics.get(key), str):
            raise UserError(
                f"{path}: key {key!r} is missing or no text; "
                f"write the file again with: python evaluate.py {path.parent}"
            )
    if metrics["data"] not in KINDS_OF_DATA:
        raise UserError(
            f"{path}: key 'data' is {metrics['data']!r}, expected {' or '.join(KINDS_OF_DATA)}; "
            f"write the file again with: python evaluate.py {path.parent}"
        )
    place = path.parent.relative_to(folder)
    origin = (Path(prefix) / place).as_posix()
    return Run(
        path,
        origin if origin != "." else path.parent.resolve().name,
        metrics,
        _read_about(path.parent),
    )


def _read_about(run: Path) -> dict[str, Any]:
    """config.json of a run, of its first repeat or of the first cell of a scan; else nothing."""
    found = [
        path
        for pattern in ("config.json", "seed*/config.json", "*/seed*/config.json")
        for path in sorted(run.glob(pattern))
    ]
    if not found:
        return {}
    try:
        about = json.loads(found[0].read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{found[0]}: no JSON ({error}); copy it from the run again") from None
    if not isinstance(about, dict) or not isinstance(about.get("config", {}), dict):
        raise UserError(
            f"{found[0]}: expected an object with an object 'config' in it, as "
            "finetune.py writes it; copy it from the run again"
        )
    return about


def in_order(
    runs: Sequence[Run], wanted: dict[str, Callable[[Run], bool]]
) -> list[tuple[str, Run | None]]:
    """Name and run of every row of ours: first those of the `wanted` rows, in their order.

    A wanted row that no run fits is there without a run; several that fit are all there.
    """
    rows: list[tuple[str, Run | None]] = []
    taken: set[Path] = set()
    for name, fits in wanted.items():
        fitting = [run for run in runs if fits(run) and run.path not in taken]
        rows += [(run.model, run) for run in sorted(fitting, key=_by_size)] or [(name, None)]
        taken |= {run.path for run in fitting}
    rest = [run for run in runs if run.path not in taken]
    return rows + [(run.model, run) for run in sorted(rest, key=_by_size)]


def _by_size(run: Run) -> tuple:
    return run.model.partition(" (")[0], run.train_jets, run.origin
