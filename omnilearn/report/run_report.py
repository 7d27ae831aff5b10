"""report.html of one run: settings, data, losses, figures, numbers and commands."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnilearn.data.catalogue import described_in
from omnilearn.history import FILE as HISTORY
from omnilearn.history import best_epoch, read_history
from omnilearn.report.pages import figures_in, write_page
from omnilearn.report.tables import every_result, number_tables, range_text, sizes
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


def write_report(run: Path, command: Sequence[str] = ()) -> Path:
    """Write RUN/report.html of an evaluated run, or of several trainings evaluated together.

    `command`: the words of the command line that evaluated it. Raises UserError when config.json or
    results.json is missing or damaged.
    """
    folders = trainings(run)
    about = read_json(folders[0] / "config.json", "configuration of this suite", MEND, float)
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
            training_of(folder.relative_to(run).as_posix(), history)
            for folder, history in histories.items()
        ],
        "tables": number_tables(results),
        "figures": figures_in(run, run),
        "more_figures": [
            picture for folder in folders if folder != run for picture in figures_in(folder, run)
        ],
    }
    return write_page(run / REPORT, "run.html", content)


def training_of(name: str, history: list[dict[str, Any]]) -> dict[str, Any]:
    """One training for the template: its name and a summary of its history."""
    best = best_epoch(history)
    return {
        "name": name,
        "epochs": len(history),
        "best_epoch": history.index(best) + 1,
        "best_loss": best["validation"]["loss"],
        "jets": sum(line.get("jets") or 0 for line in history),
        "seconds": sum(line.get("seconds") or 0.0 for line in history),
    }


def task_of(about: Mapping[str, Any]) -> str:
    """The name of the task of a run."""
    task = str(about.get("task") or "run")
    return TASKS.get(task, task)


def data_of(run: Path, about: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """Title of the dataset and rows that describe it, from the catalogue or from the run."""
    name = results["dataset"]
    spec = described_in(run, name)
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
    """Numbers of jets or events: in the settings, in an epoch, and in the evaluation."""
    config = about.get("config") or {}
    rows = {}
    for key, title in (("train_jets", "Training jets"), ("val_jets", "Validation jets")):
        if key in config:
            rows[title] = str(config[key] or "all")
    jets = [line["jets"] for history in histories for line in history if line.get("jets")]
    if jets:
        rows["Jets of one epoch"] = range_text(jets)
    if evaluated := sizes(every_result(results)):
        rows["Evaluated jets or events"] = evaluated
    return rows


def commands_of(about: Mapping[str, Any], evaluation: Sequence[str]) -> dict[str, str]:
    """Title -> command line, of the commands that are known."""
    commands = {}
    if training := about.get("command"):
        ranks = about.get("ranks", 1)
        launcher = f"horovodrun -np {ranks} --gloo " if ranks > 1 else ""
        commands["Training"] = launcher + command_line(shlex.split(training))
    if evaluation:
        commands["Evaluation"] = command_line(evaluation)
    return commands


def command_line(words: Sequence[str]) -> str:
    """A command line: a script is called with python, an installed command by its name."""
    script = Path(words[0]).name
    python = ["python"] if script.endswith(".py") else []
    return shlex.join([*python, script, *words[1:]])


def settings_of(about: Mapping[str, Any]) -> dict[str, str]:
    """Every setting of the training, by the name of its flag, then other entries of config.json."""
    elsewhere = ("config", "versions", "revision", "command", "ranks")
    rest = {key: value for key, value in about.items() if key not in elsewhere}
    settings = {**(about.get("config") or {}), **rest}
    return {name.replace("_", "-"): setting_text(value) for name, value in settings.items()}


def setting_text(value: Any) -> str:
    """A setting as text: on or off for a switch, a dash for none."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{key} {setting_text(item)}" for key, item in value.items())
    return "-" if value in (None, "") else str(value)
