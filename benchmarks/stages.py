"""Demos: commands run one after another, each once, then one table and two figures."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.markdown import markdown
from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError

ROOT = Path(__file__).parents[1]
DONE = "seconds.json"  # what is done, and in which time
METRICS = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "rejection_0.5": "1/eB at eS = 0.5",
    "rejection_0.3": "1/eB at eS = 0.3",
}


def command(line: str, **places: Path | str | int) -> list[str]:
    """The words of a command, {names} replaced by `places`, python by the present one."""
    places = {"python": sys.executable, **places}
    return [word.format(**places) for word in line.split()]


def folder_flags(name: str, line: str, arguments: Sequence[str], more=()) -> argparse.Namespace:
    """--out and --fresh of a demo, whose earlier stages --fresh throws away; `more` are flags."""
    parser = argparse.ArgumentParser(
        f"python -m benchmarks {name}", description=line, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, default=ROOT / name, help="folder of the demo")
    parser.add_argument("--fresh", action="store_true", help="repeat finished stages too")
    for flag, options in more:
        parser.add_argument(flag, **options)
    flags = parser.parse_args(arguments)
    if flags.fresh and (flags.out / DONE).exists():
        shutil.rmtree(flags.out)
    return flags


def run_stages(stages: dict[str, list[str]], folder: Path, again: str) -> dict[str, float]:
    """Run the commands by title; returns their seconds. What ended well before is not repeated.

    `again` is the command that goes on. Raises UserError when a stage fails.
    """
    done = folder / DONE
    seconds = json.loads(done.read_text()) if done.is_file() else {}
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}  # the launcher too imports TensorFlow
    for number, (title, words) in enumerate(stages.items(), start=1):
        print(f"[{number}/{len(stages)}] {title}", end="", flush=True)
        if title in seconds:
            print(f": done before in {seconds[title]:.0f} s")
            continue
        shown = " ".join(words).replace(f"{ROOT}/", "")
        print(f"\n    {shown}", flush=True)
        started = time.monotonic()
        ended = subprocess.run(words, cwd=ROOT, env=quiet, check=False)
        if ended.returncode:
            raise UserError(
                f"stage {title!r} failed with exit code {ended.returncode}; mend what it says "
                f"above and run: {again}"
            )
        seconds[title] = time.monotonic() - started
        with atomic_path(done) as temporary:
            temporary.write_text(json.dumps(seconds, indent=2) + "\n")
    return seconds


def show(head: Sequence[str], rows: Sequence[Sequence[str]], folder: Path) -> None:
    """Print the table and leave it in table.md; every column is text."""
    table = markdown([head, *rows], texts=len(head))
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(table)
    print(f"\n{table}\nfigures: {folder}/loss.png, {folder}/roc.png; per run: {folder}/runs/*/")
