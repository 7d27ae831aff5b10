"""Run directories: RUNS/<name> with config.json, history.jsonl, last.h5, best.h5, results.json.

A model trained several times is a folder of such directories, RUNS/<name>/seed<k>.

config.json records configuration, data and versions; `evaluate.py` needs nothing else.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from omnilearn.config import FREE_TO_CHANGE, Config, read_config
from omnilearn.errors import UserError
from omnilearn.leftovers import remove_leftovers
from omnilearn.run_lock import TRAINING, hold, released
from omnilearn.stored_json import read_json, write_json
from omnilearn.training import distributed

MEND = "make one with train.py or finetune.py"
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "horovod", "numpy", "h5py")
_of_commands: list[set[Path]] = []  # for the command that is running: the runs that it trains


@contextmanager
def one_command() -> Iterator[None]:
    """A command, which deletes a run once at most; all locks are released at its end."""
    _of_commands.append(set())
    try:
        with released():
            yield
    finally:
        _of_commands.pop()


def prepare_run(config: Config, default_name: str, about: dict) -> Path:
    """Make or reopen the run directory of a configuration; the same on all ranks.

    The directory is locked for this process. A run of the same name and configuration is resumed,
    unless `overwrite` is set on all ranks and `one_command` has not trained it already. Raises
    UserError, naming what differs, when the run has another configuration and is not overwritten,
    when the weights that an overwritten one starts from are in it, when another process trains in
    the folder, and when it cannot be made or holds something else.
    """
    run = Path(config.runs) / (config.name or default_name)
    # ranks that start again do not overwrite, and a rank that joins them has the flag
    overwrite = bool(distributed.mean([config.overwrite]) == 1)
    if distributed.rank() == 0:
        make_folder(run)
        refuse_links(run)
        hold(run)
        # repeats of a search share runs
        trained = _of_commands[-1] if _of_commands else set()
        if overwrite and run.resolve() not in trained:
            refuse_own_start(run, about)
            empty_run(run)
        trained.add(run.resolve())
        if not (run / "config.json").exists() or refuse_another(run, config, about):
            write_description(run, config, about)
    distributed.barrier()
    return run


def repeated(config: Config, default_name: str, repeats: int) -> list[Config]:
    """The configurations of several trainings: RUNS/<name>/seed<k>, each with a seed of its own."""
    if repeats < 1:
        raise UserError(f"--repeats is {repeats}; at least 1 training is needed")
    if repeats == 1:
        return [config]
    folder = str(Path(config.runs) / (config.name or default_name))
    seeds = range(config.seed, config.seed + repeats)
    return [replace(config, runs=folder, name=f"seed{seed}", seed=seed) for seed in seeds]


def trainings(run: Path) -> list[Path]:
    """The run directories behind `run`: itself, those of its repeats, or of the cells of a scan.

    Raises UserError when it is neither.
    """
    if (run / "config.json").is_file():
        return [run]
    below = list(run.glob("*/seed*/config.json"))
    cells = [path for path in below if read_config(path)[1].get("task") == "anomaly"]
    runs = [path.parent for path in (*run.glob("seed*/config.json"), *cells)]
    if not runs:
        several = [path.parent for path in run.glob("*/config.json")]
        several += [path.parents[1] for path in below]
        raise UserError(
            f"{run} is not a run directory (no config.json, no seed*/config.json); "
            + (f"give one, such as {min(several)}" if several else MEND)
        )
    refuse_links(run)
    return sorted(runs, key=lambda path: (path.parent, len(path.name), path.name))


def refuse_links(run: Path) -> None:
    """Raise UserError for a link inside a run, through which we would write and delete elsewhere.

    The run directory itself may be a link.
    """
    for folder, names, _ in os.walk(run):
        for path in (Path(folder) / name for name in sorted(names)):
            if path.is_symlink():
                raise UserError(
                    f"{path} is a link to {os.readlink(path)}; within a run nothing is written or "
                    "deleted through links: put the folder itself there, or link the whole run"
                )


def make_folder(run: Path) -> None:
    """Make the folder of a run.

    Raises UserError where it holds files but no config.json, and for a repeat in a single training.
    """
    if re.fullmatch(r"seed\d+", run.name) and (run.parent / "config.json").is_file():
        raise UserError(
            f"{run.parent} holds a single training, and evaluate.py would pass over {run.name} in "
            f"it; choose another name for the repeats, or delete {run.parent}"
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{run} cannot be made ({error.strerror}); choose another folder with "
            "--runs, or another --name"
        ) from error
    remove_leftovers(run)
    others = (path for path in run.iterdir() if not path.name.startswith(TRAINING))
    if not (run / "config.json").is_file() and any(others):
        if repeats := sorted(path.parent.name for path in run.glob("seed*/config.json")):
            raise UserError(
                f"{run} holds the trainings of --repeats ({', '.join(repeats)}); give --repeats, "
                "or choose another --name"
            )
        raise UserError(
            f"{run} is not a run directory (no config.json) and is left alone; choose "
            "another --name"
        )


def refuse_own_start(run: Path, about: dict) -> None:
    """Raise UserError where the weights that a training starts from are in this run."""
    for start in filter(None, (about.get("backbone"), about.get("tokeniser"))):
        if Path(start).resolve().is_relative_to(run.resolve()):
            raise UserError(
                f"{run} holds {start}, from which the training starts: --overwrite would delete "
                "it; choose another --name"
            )


def empty_run(run: Path) -> None:
    """Delete the content of a run; raises UserError where config.json is not that of a run."""
    path = run / "config.json"
    if not path.is_file():
        return
    mend = (
        f"it was not written by this suite and --overwrite leaves {run} alone; choose another "
        "--name"
    )
    if not {"config", "revision"} <= set(
        read_json(path, "configuration of this suite", mend, float)
    ):
        raise UserError(f"{path}: no 'config' and 'revision' among its keys; {mend}")
    # config.json is deleted last: what an interrupted removal leaves is still a run directory
    for item in sorted(run.iterdir(), key=lambda item: item.name == path.name):
        if item.name == TRAINING:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


def refuse_another(run: Path, config: Config, about: dict) -> bool:
    """Raise UserError when the run in this directory is another training.

    Returns whether settings differ that may: a run that is asked for again as it is keeps its
    description, with the code and the command that trained it.
    """
    stored, stored_about = read_config(run / "config.json")
    before = {**asdict(stored), **{key: stored_about.get(key) for key in about}}
    now = {**asdict(config), **about}
    free = FREE_TO_CHANGE if config.decay else (*FREE_TO_CHANGE, "epochs")
    differing = [key for key in now if before[key] != now[key]]
    refused = {key: now[key] for key in differing if key not in free}
    require_recorded(
        run, before, refused, "choose another --name, or throw it away with --overwrite"
    )
    return bool(differing)


def require_recorded(run: Path, recorded: Mapping, settings: Mapping, mend: str) -> None:
    """Raise UserError naming the settings of which a run has recorded other values.

    mend: what helps.
    """
    if other := [key for key in settings if recorded.get(key) != settings[key]]:
        listed = ", ".join(f"{key} {recorded.get(key)!r} (now {settings[key]!r})" for key in other)
        raise UserError(f"{run} holds a run with {listed}; {mend}")


def write_description(run: Path, config: Config, about: dict) -> None:
    """Write config.json: the configuration, `about`, the command, versions and revision."""
    content = {"config": asdict(config), **about, "versions": versions(), "revision": revision()}
    content |= {"command": shlex.join(sys.argv), "ranks": distributed.size()}
    write_json(run / "config.json", content, indent=2)


def versions() -> dict[str, str]:
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def cpu_model() -> str:
    """The model of the CPU as Linux names it, or the architecture where it has no name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def revision() -> str:
    """The git revision of this checkout, or "unknown", as for an installed package."""
    path = Path(__file__)
    git = ["git", "-C", str(path.parent)]
    try:
        # this file must be tracked: an environment may lie inside another checkout
        for arguments in (["ls-files", "--error-unmatch", path.name], ["rev-parse", "HEAD"]):
            output = subprocess.run([*git, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # git is missing, or this is no checkout
        return "unknown"
    return output.stdout.strip()
