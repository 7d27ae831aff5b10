"""What the demos share: they run stages of commands, then print a table and draw two figures."""

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

# by title, commands that run one after the other; all titles of a stage run at the same time
Stage = dict[str, list[list[str]]]
NICE = ("nice", "-n", "15")  # of a command that gives way to others
SECONDS_FILE = "seconds.json"  # durations of the finished commands by title
METRICS = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "rejection_0.5": "1/eB at eS = 0.5",
    "rejection_0.3": "1/eB at eS = 0.3",
}


def parse_flags(
    name: str, description: str, arguments: Sequence[str], more=()
) -> argparse.Namespace:
    """The flags --out, --fresh and `more` of a demo; --fresh deletes the stages that are done."""
    parser = command_parser(name, description)
    parser.add_argument("--out", type=Path, default=ROOT / name, help="folder of the demo")
    parser.add_argument("--fresh", action="store_true", help="repeat finished stages too")
    for flag, options in more:
        parser.add_argument(flag, **options)
    flags = parser.parse_args(arguments)
    if flags.fresh and (flags.out / SECONDS_FILE).exists():
        shutil.rmtree(flags.out)
    return flags


def run_stages(stages: Sequence[Stage], folder: Path, demo_command: str) -> dict[str, float]:
    """Run the stages in order; returns the seconds of the commands by title.

    Titles that have succeeded before are not repeated. Raises UserError when a command fails,
    after the others of its stage have ended; its message names `demo_command` for the repetition.
    """
    seconds_path = folder / SECONDS_FILE
    seconds = json.loads(seconds_path.read_text()) if seconds_path.is_file() else {}
    for index, stage in enumerate(stages, start=1):
        for title, commands in stage.items():
            print(f"[{index}/{len(stages)}] {title}", end="", flush=True)
            if title in seconds:
                print(f": done before in {seconds[title]:.0f} s", flush=True)
                continue
            print()
            for words in commands:
                print("   ", " ".join(words).replace(f"{ROOT}/", ""), flush=True)
        remaining = {title: commands for title, commands in stage.items() if title not in seconds}
        failed = {}
        for title, code, duration in run_together(remaining, folder):
            if code:
                failed[title] = code
            else:
                seconds[title] = duration
        write_json(seconds_path, seconds)
        if failed:
            title, code = next(iter(failed.items()))
            raise UserError(
                f"stage {title!r} failed with exit code {code}; mend the error above and "
                f"run: {demo_command}"
            )
    return seconds


def run_together(stage: Stage, folder: Path) -> Iterator[tuple[str, int, float]]:
    """Run the titles of a stage at the same time: title, exit code and seconds of each, in order.

    Each has its share of the cores, and the first, which takes longest, precedence. It prints to
    the terminal, the others to files, which are printed when they end.
    """
    logs = {title: folder / f"{title}.log" for title in list(stage)[1:]}

    def run(title: str) -> tuple[str, int, float]:
        start, code = time.monotonic(), 0
        nice = NICE if title in logs else ()
        for words in stage[title]:
            code = exit_status([*nice, *words], logs.get(title), len(stage))
            if code:
                break
        return title, code, time.monotonic() - start

    folder.mkdir(parents=True, exist_ok=True)
    for log in logs.values():
        log.unlink(missing_ok=True)
    with ThreadPoolExecutor(max(len(stage), 1)) as threads:
        for title, code, duration in threads.map(run, stage):
            if title in logs:
                print(f"{title}:")
                print(indent(logs[title].read_text(errors="replace"), "    "), flush=True)
            yield title, code, duration


def run_demo(
    stages: Sequence[Stage],
    folder: Path,
    demo_command: str,
    plotted_runs: Callable[[Path], dict[str, Path]],
    table: Callable[[Path], tuple[list[str], list[list[str]]]],
) -> None:
    """Run the stages, draw losses and ROC curves, write and print table.md, print the time.

    For the folder of runs, `plotted_runs` returns the runs of the figures by label, and `table` the
    heading and the rows of the table.
    """
    start = time.monotonic()
    seconds = run_stages(stages, folder, demo_command)
    runs = folder / "runs"
    compare(plotted_runs(runs), folder, "", "Top tagging", "Top")
    head, rows = table(runs)
    text = markdown([head, *rows], texts=len(head))
    write_text(folder / "table.md", text)
    print(f"\n{text}\nfigures: {folder}/loss.png, {folder}/roc.png; per run: {folder}/runs/*/")
    total, elapsed = total_seconds(stages, seconds), time.monotonic() - start
    print(f"stages took {total:.0f} s, this call {elapsed:.0f} s")


def total_seconds(stages: Sequence[Stage], seconds: dict[str, float]) -> float:
    """Duration of all stages: a stage takes as long as its longest title."""
    return sum(max(seconds[title] for title in stage) for stage in stages)
