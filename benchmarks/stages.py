"""Demos: commands run one after another, each once, then one table and two figures."""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.figures import compare
from benchmarks.markdown import markdown
from benchmarks.scripts import ROOT, exit_status
from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError

DONE = "seconds.json"  # what is done, and in which time
METRICS = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "rejection_0.5": "1/eB at eS = 0.5",
    "rejection_0.3": "1/eB at eS = 0.3",
}


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
    for number, (title, words) in enumerate(stages.items(), start=1):
        print(f"[{number}/{len(stages)}] {title}", end="", flush=True)
        if title in seconds:
            print(f": done before in {seconds[title]:.0f} s")
            continue
        shown = " ".join(words).replace(f"{ROOT}/", "")
        print(f"\n    {shown}", flush=True)
        started = time.monotonic()
        if code := exit_status(words):
            raise UserError(
                f"stage {title!r} failed with exit code {code}; mend what it says "
                f"above and run: {again}"
            )
        seconds[title] = time.monotonic() - started
        with atomic_path(done) as temporary:
            temporary.write_text(json.dumps(seconds, indent=2) + "\n")
    return seconds


def carry_out(
    stages: dict[str, list[str]],
    folder: Path,
    again: str,
    drawn: Callable[[Path], dict[str, Path]],
    table: Callable[[Path], tuple[list[str], list[list[str]]]],
) -> None:
    """Run the stages, draw losses and ROC curves, print a table and the time.

    `again` is the command that goes on. Of the folder of runs, `drawn` gives those of the figures
    by label, and `table` the heading and the rows, which are left in table.md too.
    """
    started = time.monotonic()
    seconds = run_stages(stages, folder, again)
    runs = folder / "runs"
    compare(drawn(runs), folder, "", "Top tagging", "Top")
    show(*table(runs), folder)
    print(
        f"stages took {sum(seconds.values()):.0f} s, this call {time.monotonic() - started:.0f} s"
    )


def show(head: Sequence[str], rows: Sequence[Sequence[str]], folder: Path) -> None:
    """Print the table and leave it in table.md; every column is text."""
    table = markdown([head, *rows], texts=len(head))
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(table)
    print(f"\n{table}\nfigures: {folder}/loss.png, {folder}/roc.png; per run: {folder}/runs/*/")
