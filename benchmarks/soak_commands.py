"""Kill the other commands at random moments and give them again: they must leave what one run does.

    python -m benchmarks soak_commands [--kills 5] [--only simulation preprocessing]

One command after the other, from the simulation of jets to the evaluation of a tagger: each is run
once through, then from the same folder with so many kills (SIGKILL of its first process alone) at
random moments, and then to its end. All numbers in its files must be the same, no process of a
killed command may live on for more than twenty seconds, and no temporary file may be left.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from omnilearn.progress import progress

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PATIENCE = 20.0  # seconds for the processes of a killed command to end
SMALL = "--preset small --epochs 1 --checkpoint-every 1 --data data"
COMMANDS = {
    "simulation": "-m simulation top --jets 400 --val-jets 100 --test-jets 100 --seed 1 "
    "--out raw/top --workers 2",
    "preprocessing": "-m preprocessing top --raw raw/top --out data --workers 2",
    "repeats": f"finetune.py top {SMALL} --batch 100 --repeats 2 --name tagger",
    "evaluation": "evaluate.py runs/tagger",
}
# of what a clock or a place on the disk says, nothing is compared
CLOCKS = {"seconds", "jets_per_second", "data", "runs"}
NOT_COMPARED = {"sources.json", "config.json", "simulation.json"}


def started(command: str, folder: Path) -> subprocess.Popen:
    """The command in a session of its own, its output in log."""
    words = command.split()
    words = words if words[0] == "-m" else [str(ROOT / words[0]), *words[1:]]
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )


def of_session(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # ended meanwhile
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


def run_through(command: str, folder: Path) -> float:
    """Seconds of the whole command; raises UserError with its last words when it fails."""
    begun = time.monotonic()
    code = started(command, folder).wait()
    if code:
        raise UserError(f"{command} ended with code {code}: {(folder / 'log').read_text()[-500:]}")
    return time.monotonic() - begun


def kill(command: str, folder: Path, after: float) -> bool:
    """Whether the command was killed before its end; raises UserError if a worker lives on."""
    process = started(command, folder)
    try:
        process.wait(after)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    until = time.monotonic() + PATIENCE
    while left := of_session(process.pid):
        if time.monotonic() > until:
            raise UserError(f"{command}: processes {left} live on after it was killed")
        time.sleep(0.1)
    return True


def numbers_of(path: Path) -> dict[str, bytes]:
    """All that is compared of a file, by name: arrays of HDF5, values of JSON, bytes of others."""
    if path.suffix == ".h5":
        found = {}

        def add(name: str, item) -> None:
            if isinstance(item, h5py.Dataset):
                value = item[()]
                if name == "record":
                    found[name] = repr(without_clocks(json.loads(value))).encode()
                elif item.dtype.kind == "O":
                    found[name] = repr(value).encode()
                else:
                    found[name] = np.asarray(value).tobytes()

        with open_for_reading(path) as file:
            file.visititems(add)
        return found
    if path.suffix in (".json", ".jsonl"):
        lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
        return {
            str(n): repr(without_clocks(json.loads(one))).encode() for n, one in enumerate(lines)
        }
    return {}


def without_clocks(value):
    """Plain JSON without what CLOCKS names."""
    if isinstance(value, dict):
        return {key: without_clocks(one) for key, one in value.items() if key not in CLOCKS}
    return [without_clocks(one) for one in value] if isinstance(value, list) else value


def differing(one: Path, other: Path) -> list[str]:
    """Names of files that are not in both folders, or not with the same numbers; leftovers too."""
    files = [
        {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    ]
    wrong = files[0] ^ files[1]
    for name in files[0] & files[1]:
        if Path(name).name in NOT_COMPARED:
            continue
        if numbers_of(one / name) != numbers_of(other / name):
            wrong.add(name)
    return sorted(wrong)


def survive(name: str, through: Path, kills: int, rng: random.Random) -> int:
    """Run a command in the folder `through`, and with kills in a copy; returns how many there were.

    Raises UserError when the two do not end alike.
    """
    killed = through.with_name("killed")
    shutil.copytree(through, killed, symlinks=True)
    usual = run_through(COMMANDS[name], through)
    done = 0
    with progress(kills, f"kills of {name}", "kills") as bar:
        for _ in range(3 * kills):
            if done == kills:
                break
            if kill(COMMANDS[name], killed, rng.uniform(0, usual)):
                done += 1
                bar.update(1)
    run_through(COMMANDS[name], killed)
    if wrong := differing(through, killed):
        raise UserError(f"{name}: {', '.join(wrong[:5])} differ from those of an uninterrupted run")
    shutil.rmtree(killed)
    print(f"{name}: {done} kills, ended like the uninterrupted one", flush=True)
    return done


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks soak_commands", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=5, help="of every command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=COMMANDS,
        default=list(COMMANDS),
        help="kill these alone; those before them are run as they are",
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "soak_commands.json")
    flags = parser.parse_args(arguments)
    begun, counts = time.monotonic(), {}
    rng = random.Random(flags.seed)
    last = max(list(COMMANDS).index(name) for name in flags.only)
    with tempfile.TemporaryDirectory() as folder:
        through = Path(folder) / "through"
        through.mkdir()
        for name in list(COMMANDS)[: last + 1]:
            if name in flags.only:
                counts[name] = survive(name, through, flags.kills, rng)
            else:
                run_through(COMMANDS[name], through)
    result = {"seconds": round(time.monotonic() - begun), "kills": counts}
    with atomic_path(flags.out) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
