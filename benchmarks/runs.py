"""Evaluated runs below a folder, identified by their configuration and not by their names.

The metrics are those of results.json; task, dataset, backbone, model, preset and training jets
those of the config.json in the same folder, or of the first repeat. A results.json that summarises
others (repeats, a scan over signal) replaces those below it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.markdown import BLANK, OURS
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, read_results

KINDS_OF_DATA = ("public", "simulated", "own")
SUMMARIES = ("trainings", "scan")  # keys of a results.json that summarises others
SETS = {"generated": "", "ideal": "Ideal"}  # sets of generated jets: key -> mark in a row
NO_RUN = f"{OURS}, no run"


@dataclass(frozen=True)
class Run:
    """One evaluated run: its path, results.json and the config.json of its first training."""

    path: Path  # of results.json
    origin: str  # its name in tables: the path from the folder of runs
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
        """pet or omnijet; empty without a config.json."""
        return self.config.get("model", "pet") if self.about else ""

    @property
    def is_finetuned(self) -> bool:
        return bool(self.about.get("backbone"))

    @property
    def is_pretraining(self) -> bool:
        """A run of train.py, or one of finetune.py that goes on with all heads on JetClass."""
        goes_on = self.about.get("dataset") == "jetclass" and self.config.get("mode") == "all"
        return self.about.get("task") == "pretraining" or goes_on

    @property
    def train_jets(self) -> int:
        """Training jets by the flag --train-jets; 0 means all."""
        return self.config.get("train_jets", 0)

    @property
    def model(self) -> str:
        """The name of a row: network and start, then what differs from the papers."""
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
        if self.is_pretraining:
            return "PET, pre-trained"
        if self.is_finetuned:
            return "OmniLearn"
        return "PET generator" if self.about.get("task") == "generation" else "PET classifier"

    @property
    def source(self) -> str:
        trainings = f", {self.trainings} trainings" if self.trainings > 1 else ""
        return f"{OURS}, {self.origin}{trainings}"

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
        return "scan" in self.metrics or "significance_1" in self.metrics

    def result(self, name: str, metrics: dict | None = None) -> Result | None:
        """A metric, None if the run does not have it; raises UserError if it is no Result."""
        value = (self.metrics if metrics is None else metrics).get(name)
        if value is not None and not isinstance(value, Result):
            raise UserError(
                f"{self.path}: key {name!r} is no result with value, error and n; "
                f"write the file again with: python evaluate.py {self.path.parent}"
            )
        return value


def amount(jets: int) -> str:
    """4000000 -> 4M, as in the papers; else the number of jets."""
    return f"{jets // 10**6}M" if jets % 10**6 == 0 else f"{jets} jets"


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
    summaries = [
        path.parent for path, run in runs.items() if any(key in run.metrics for key in SUMMARIES)
    ]
    return [
        run
        for path, run in runs.items()
        if not any(folder in path.parent.parents for folder in summaries)
    ]


def read_run(run: Path) -> Run:
    """One run directory; raises UserError as `read_runs` does."""
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
    origin = (Path(prefix) / path.parent.relative_to(folder)).as_posix()
    return Run(
        path,
        origin if origin != "." else path.parent.resolve().name,
        metrics,
        _read_about(path.parent),
    )


def _read_about(run: Path) -> dict[str, Any]:
    """config.json of a run, of its first repeat or of the first cell of a scan; else empty."""
    paths = (
        path
        for pattern in ("config.json", "seed*/config.json", "*/seed*/config.json")
        for path in sorted(run.glob(pattern))
    )
    path = next(paths, None)
    if path is None:
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: no JSON ({error}); copy it from the run again") from None
    if not isinstance(about, dict) or not isinstance(about.get("config", {}), dict):
        raise UserError(
            f"{path}: expected an object with an object 'config' in it, as "
            "finetune.py writes it; copy it from the run again"
        )
    return about


def text_of(result: Result | None) -> str:
    """The cell of a result, a dash without one."""
    return BLANK if result is None else result.text


def pet_rows(scratch: str) -> dict[str, Callable[[Run], bool]]:
    """The rows of the papers that this suite trains: PET, named `scratch`, and PET from a backbone.

    Name -> condition on the runs of the row.
    """
    return {
        scratch: lambda run: run.network == "pet" and not run.is_finetuned,
        "OmniLearn": lambda run: run.network == "pet" and run.is_finetuned,
    }


def in_order(
    runs: Sequence[Run], expected: dict[str, Callable[[Run], bool]]
) -> list[tuple[str, Run | None]]:
    """Name and run of every row of this suite: first the `expected` rows, in their order.

    `expected` maps the name of a row to the condition on its runs. A row without a run has None;
    one with several runs is repeated for each.
    """
    rows: list[tuple[str, Run | None]] = []
    used: set[Path] = set()
    for name, fits in expected.items():
        fitting = [run for run in runs if fits(run) and run.path not in used]
        rows += [(run.model, run) for run in sorted(fitting, key=by_size)] or [(name, None)]
        used |= {run.path for run in fitting}
    rest = [run for run in runs if run.path not in used]
    return rows + [(run.model, run) for run in sorted(rest, key=by_size)]


def by_size(run: Run) -> tuple:
    """The order of rows: name of the model, training jets, path."""
    return run.model.partition(" (")[0], run.train_jets, run.origin
