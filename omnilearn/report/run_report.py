"""report.html of one run: settings, data, losses, figures, numbers, and the commands behind it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnilearn.data.catalogue import CATALOGUE
from omnilearn.data.declared import FILE_NAME, read_declaration
from omnilearn.data.spec import DatasetSpec
from omnilearn.history import FILE as HISTORY
from omnilearn.history import read_history
from omnilearn.report.pages import figures_in, write_page
from omnilearn.report.tables import every_result, number_tables, sizes
from omnilearn.runs import trainings
from omnilearn.statistics.results import read_results
from omnilearn.stored_json import read_json

REPORT = "report.html"
TASKS = {
    "pretraining": "Pre-training",
    "tagging": "Tagging",
    "generation": "Generation of jets",
    "unfolding": "Unfolding",
    "anomaly": "Search for a resonance",
    "density": "Generator of background events",
    "tokens": "Jets as tokens",
    "token_tagging": "Tagging with tokens",
}
ORIGINS = {"public": "published sample", "simulated": "simulated here", "own": "data of your own"}
MEND = "make the run again with train.py or finetune.py"


@dataclass(frozen=True)
class Training:
    """One training of a run: its name, and what its history says of it."""

    name: str
    epochs: int
    best_epoch: int
    best_loss: float
    jets: int
    seconds: float

    @classmethod
    def of(cls, name: str, history: Sequence[Mapping[str, Any]]) -> "Training":
        losses = [line["validation"]["loss"] for line in history]
        best = min(range(len(losses)), key=losses.__getitem__)
        jets = sum(line.get("jets") or 0 for line in history)
        seconds = sum(line.get("seconds") or 0.0 for line in history)
        return cls(name, len(history), best + 1, losses[best], jets, seconds)


def write_report(run: Path, command: Sequence[str] = ()) -> Path:
    """RUN/report.html of an evaluated run, or of several trainings evaluated as one.

    `command`: the words of the command line that evaluated it. Raises UserError when config.json or
    results.json is missing or damaged.
    """
    folders = trainings(run)
    about = read_about(folders[0])
    results = read_results(run / "results.json")
    histories = {folder: read_history(folder) for folder in folders if (folder / HISTORY).is_file()}
    content = {
        "title": run.resolve().name,
        "task": task_of(about),
        **data_of(folders[0], about, results),
        "sizes": sizes_of(about, results, [*histories.values()]),
        "commands": commands_of(about, command),
        "settings": settings_of(about),
        "versions": {**(about.get("versions") or {}), "revision": about.get("revision", "unknown")},
        "trainings": [
            Training.of(folder.relative_to(run).as_posix(), history)
            for folder, history in histories.items()
        ],
        "tables": number_tables(results),
        "figures": figures_in(run, run),
        "more_figures": [
            picture for folder in folders if folder != run for picture in figures_in(folder, run)
        ],
    }
    return write_page(run / REPORT, "run.html", content)


def read_about(run: Path) -> dict[str, Any]:
    """config.json as it is stored."""
    return read_json(run / "config.json", "configuration of this suite", MEND, float)


def task_of(about: Mapping[str, Any]) -> str:
    """How pages call the task of a run."""
    task = str(about.get("task") or "run")
    return TASKS.get(task, task)


def described_dataset(run: Path, name: str) -> DatasetSpec | None:
    """The data set of a run: of the catalogue, else as the run declares it, else unknown."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    path = run / FILE_NAME
    return read_declaration(path, name) if path.is_file() else None


def data_of(run: Path, about: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """Title of the data set, and rows that say what it is, where it was, and how large."""
    name = results["dataset"]
    spec = described_dataset(run, name)
    config = about.get("config") or {}
    rows = {"Data set": name, "Origin": ORIGINS.get(str(results.get("data")), "unknown")}
    if spec is not None:
        rows |= {
            "Title": spec.title,
            "Classes": ", ".join(spec.class_names),
            "Constituents kept per jet": str(spec.max_constituents),
            "Source": spec.source,
            "Citation": spec.citation,
        }
    if config.get("data"):
        rows["Folder"] = config["data"]
    return {"dataset": spec.title if spec else name, "data": rows}


def sizes_of(
    about: Mapping[str, Any], results: Mapping[str, Any], histories: Sequence[Sequence[Mapping]]
) -> dict[str, str]:
    """How many jets or events were asked for, seen in an epoch, and evaluated."""
    config = about.get("config") or {}
    found = {}
    for key, title in (("train_jets", "Training"), ("val_jets", "Validation")):
        if key in config:
            found[f"{title} jets asked for"] = str(config[key] or "all")
    seen = [line["jets"] for history in histories for line in history if line.get("jets")]
    if seen:
        found["Jets of one epoch"] = " to ".join(dict.fromkeys((str(min(seen)), str(max(seen)))))
    if evaluated := sizes(every_result(results)):
        found["Jets or events behind the numbers"] = evaluated
    return found


def commands_of(about: Mapping[str, Any], evaluation: Sequence[str]) -> dict[str, str]:
    """Title -> command line, as far as they are known."""
    found = {}
    if trained := about.get("command"):
        ranks = about.get("ranks", 1)
        launch = f"horovodrun -np {ranks} --gloo " if ranks > 1 else ""
        found["Training"] = launch + program(shlex.split(trained))
    if evaluation:
        found["Evaluation"] = program(evaluation)
    return found


def program(words: Sequence[str]) -> str:
    """A command line as it is typed: scripts by python, installed commands by their name."""
    script = Path(words[0]).name
    python = ["python"] if script.endswith(".py") else []
    return shlex.join([*python, script, *words[1:]])


def settings_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Every setting of the training, by the name of its flag, then what else the run is about."""
    apart = ("config", "versions", "revision", "command", "ranks")
    rest = {key: value for key, value in about.items() if key not in apart}
    settings = {**(about.get("config") or {}), **rest}
    return {name.replace("_", "-"): shown(value) for name, value in settings.items()}


def shown(value: Any) -> str:
    """A setting as text: on and off for switches, a dash for none."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(item)}" for key, item in value.items())
    return "-" if value in (None, "") else str(value)
