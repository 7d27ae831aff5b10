"""Result tables in Markdown: published rows with their citation, then the runs of this suite.

    python -m benchmarks tables --runs runs > table.md

A run is a folder with a results.json, which names `dataset`, `model` and `data` (public or
simulated) beside its metrics. Nothing else is read.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.published import PUBLISHED, Number, PublishedRow
from omnilearn.errors import UserError
from omnilearn.results import Result, read_results

COLUMNS = {
    "accuracy": ("Acc", 3),
    "auc": ("AUC", 4),
    "rejection_0.5": ("1/eB(0.5)", 0),
    "rejection_0.3": ("1/eB(0.3)", 0),
}  # metric -> heading, decimals that papers print
KINDS_OF_DATA = ("public", "simulated")
BLANK = "-"
FOOTNOTE = """\
Published uncertainties are the papers' own (mostly the spread over trainings); ours are
statistical, from the test jets of one training. Rows on simulated jets cannot be ranked against
rows on the public sample."""


@dataclass(frozen=True)
class Run:
    """One run directory: what was evaluated on which jets, and its metrics by name."""

    path: Path
    model: str
    dataset: str
    data: str
    metrics: dict[str, Any]


def read_runs(folder: Path) -> list[Run]:
    """Every run below `folder` (itself or one level down), in alphabetical order.

    Raises UserError if the folder does not exist, or a results.json is malformed or lacks a name.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of runs; give the one you trained into: --runs")
    return [_read_run(path) for path in sorted(folder.glob("results.json"))] + [
        _read_run(path) for path in sorted(folder.glob("*/results.json"))
    ]


def _read_run(path: Path) -> Run:
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
    return Run(path, metrics["model"], metrics["dataset"], metrics["data"], metrics)


def tagging_table(dataset: str, runs: Sequence[Run]) -> str:
    """The Markdown table of one dataset: published rows as printed, then `runs` of that dataset."""
    headings = ["Model", "Data", "Test jets", *(text for text, _ in COLUMNS.values()), "Source"]
    rows = [_published_cells(row) for row in PUBLISHED.get(dataset, ())]
    rows += [_run_cells(run) for run in runs if run.dataset == dataset]
    lines = [headings, ["---", "---"] + ["--:"] * (1 + len(COLUMNS)) + ["---"], *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def _published_cells(row: PublishedRow) -> list[str]:
    numbers = [_as_printed(row.metrics[key], COLUMNS[key][1]) for key in COLUMNS]
    return [row.model, "public", str(row.jets), *numbers, f"{row.citation}, {row.table}"]


def _as_printed(number: Number | None, decimals: int) -> str:
    if number is None:
        return BLANK
    value, error = number
    fixed = f"{value:.{decimals}f}"
    text = fixed if float(fixed) == value else f"{value:g}"  # PELICAN prints one digit more
    return text if error is None else f"{text} ± {error:g}"


def _run_cells(run: Run) -> list[str]:
    results = [run.metrics.get(key) for key in COLUMNS]
    for key, result in zip(COLUMNS, results, strict=True):
        if result is not None and not isinstance(result, Result):
            raise UserError(
                f"{run.path}: key {key!r} is no result with value, error and n; "
                f"write the file again with: python evaluate.py {run.path.parent}"
            )
    sizes = {result.n for result in results if result is not None}
    jets = " / ".join(map(str, sorted(sizes))) or BLANK
    texts = [BLANK if result is None else result.text for result in results]
    model = run.model.replace("|", r"\|")
    return [f"**{model}**", run.data, jets, *texts, f"this suite, {run.path.parent.name}"]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables of all datasets that have published rows or runs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks tables", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--runs", type=Path, help="folder of run directories (default: runs)")
    folder = parser.parse_args(argv).runs
    if folder is None and not Path("runs").is_dir():  # nothing trained yet is no mistake
        runs = []
        print("no folder runs here: published rows alone", file=sys.stderr)
    else:
        runs = read_runs(folder or Path("runs"))
    tagging = [run for run in runs if "accuracy" in run.metrics]
    left_out = len(runs) - len(tagging)
    print(f"{len(runs)} runs read, {left_out} without an accuracy left out", file=sys.stderr)
    for dataset in dict.fromkeys([*PUBLISHED, *(run.dataset for run in tagging)]):
        print(f"## {dataset}\n\n{tagging_table(dataset, tagging)}")
    print(FOOTNOTE)
