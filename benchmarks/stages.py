"""Demos: stages of commands, each command run once, then one table and two figures."""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import indent

from benchmarks.figures import compare
from benchmarks.markdown import markdown
from benchmarks.programs import command_parser, write_json, write_text
from benchmarks.scripts import ROOT, exit_status
from omnilearn.errors import UserError

Stage = dict[str, list[str]]  # commands by title, which run at the same time
DONE = "seconds.json"  # what is done, and in which time
METRICS = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "rejection_0.5": "1/eB at eS = 0.5",
    "rejection_0.3": "1/eB at eS = 0.3",
}


def folder_flags(
    name: str, description: str, arguments: Sequence[str], more=()
) -> argparse.Namespace:
    """--out and --fresh of a demo, whose earlier stages --fresh throws away; `more` are flags."""
    parser = command_parser(name, description)
    parser.add_argument("--out", type=Path, default=ROOT / name, help="folder of the demo")
    parser.add_argument("--fresh", action="store_true", help="repeat finished stages too")
    for flag, options in more:
        parser.add_argument(flag, **options)
    flags = parser.parse_args(arguments)
    if flags.fresh and (flags.out / DONE).exists():
        shutil.rmtree(flags.out)
    return flags


def run_stages(stages: Sequence[Stage], folder: Path, again: str) -> dict[str, float]:
    """Run the stages in order; returns the seconds of every command by title.

    What has ended well before is not repeated. `again` is the command that goes on. Raises
    UserError when a command fails, once the others of its stage have ended.
    """
    done = folder / DONE
    seconds = json.loads(done.read_text()) if done.is_file() else {}
    for number, stage in enumerate(stages, start=1):
        for title, words in stage.items():
            print(f"[{number}/{len(stages)}] {title}", end="", flush=True)
            shown = " ".join(words).replace(f"{ROOT}/", "")
            before = f": done before in {seconds[title]:.0f} s" if title in seconds else ""
            print(before or f"\n    {shown}", flush=True)
        left = {title: words for title, words in stage.items() if title not in seconds}
        failed = {}
        for title, code, took in at_once(left, folder):
            if code:
                failed[title] = code
            else:
                seconds[title] = took
        write_json(done, seconds)
        if failed:
            title, code = next(iter(failed.items()))
            raise UserError(
                f"stage {title!r} failed with exit code {code}; mend what it says "
                f"above and run: {again}"
            )
    return seconds


def at_once(commands: Stage, folder: Path) -> Iterator[tuple[str, int, float]]:
    """Run commands at the same time: title, exit code and seconds of each, in order.

    The first has the terminal. The output of the others is kept in files and printed when it ends.
    """
    logs = {title: folder / f"{title}.log" for title in list(commands)[1:]}

    def run(title: str) -> tuple[str, int, float]:
        started = time.monotonic()
        code = exit_status(commands[title], logs.get(title))
        return title, code, time.monotonic() - started

    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max(len(commands), 1)) as threads:
        for title, code, took in threads.map(run, commands):
            if title in logs:
                print(f"{title}:")
                print(indent(logs[title].read_text(errors="replace"), "    "), flush=True)
            yield title, code, took


def carry_out(
    stages: Sequence[Stage],
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
    total, here = total_seconds(stages, seconds), time.monotonic() - started
    print(f"stages took {total:.0f} s, this call {here:.0f} s")


def total_seconds(stages: Sequence[Stage], seconds: dict[str, float]) -> float:
    """Duration of all stages: a stage takes as long as the longest of its commands."""
    return sum(max(seconds[title] for title in stage) for stage in stages)


def show(head: Sequence[str], rows: Sequence[Sequence[str]], folder: Path) -> None:
    """Print the table and leave it in table.md; every column is text."""
    table = markdown([head, *rows], texts=len(head))
    write_text(folder / "table.md", table)
    print(f"\n{table}\nfigures: {folder}/loss.png, {folder}/roc.png; per run: {folder}/runs/*/")
