"""Result tables in Markdown or LaTeX: published rows with their citation, then this suite's runs.

    python -m benchmarks tables --runs runs > table.md
    python -m benchmarks tables --runs runs --format latex > table.tex

A run is a folder with a results.json, which names `dataset`, `model` and `data` (public or
simulated) beside its metrics. Nothing else is read.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.generation_tables import generation_rows, is_generation, observable_rows
from benchmarks.published import PUBLISHED, Number
from benchmarks.published_generation import PUBLISHED_GENERATION
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, read_results

HEADINGS = {"accuracy": ("Acc", 3), "auc": ("AUC", 4)}  # metric -> heading, decimals papers print
WITHOUT_A_TABLE = ("accuracy", "auc")  # columns of a dataset that no paper has a table of
KINDS_OF_DATA = ("public", "simulated", "own")
BLANK = "-"
FOOTNOTE = """\
Published uncertainties are the papers' own (mostly the spread over trainings); ours are
statistical, from the test jets of one training, or for runs of several trainings their spread.
All count jets with equal weights; results.json has the weighted numbers too.
Rows on simulated jets cannot be ranked against rows on the public sample."""


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


def columns(dataset: str) -> tuple[str, ...]:
    """Metrics in the order of the published table."""
    return PUBLISHED[dataset].metrics if dataset in PUBLISHED else WITHOUT_A_TABLE


def heading(metric: str) -> tuple[str, int]:
    """Column heading of a metric and the decimals that papers print."""
    return HEADINGS.get(metric) or (f"1/eB({metric.removeprefix('rejection_')})", 0)


def tagging_rows(dataset: str, runs: Sequence[Run]) -> list[list[str]]:
    """Heading, published rows as printed, then `runs` of that dataset: cells of text."""
    metrics = columns(dataset)
    rows = [["Model", "Data", "Test jets", *(heading(metric)[0] for metric in metrics), "Source"]]
    if table := PUBLISHED.get(dataset):
        for model, numbers in table.rows.items():
            cells = [
                _as_printed(number, heading(metric)[1])
                for metric, number in zip(metrics, numbers, strict=True)
            ]
            source = f"{table.citation}, {table.number}"
            rows.append([model, "public", str(table.jets), *cells, source])
    return rows + [_run_cells(run, metrics) for run in runs if run.dataset == dataset]


def _as_printed(number: Number | None, decimals: int) -> str:
    if number is None:
        return BLANK
    value, error = number
    fixed = f"{value:.{decimals}f}"
    text = fixed if float(fixed) == value else f"{value:g}"  # some print one digit more
    return text if error is None else f"{text} ± {error:g}"


def _run_cells(run: Run, metrics: Sequence[str]) -> list[str]:
    # papers count every jet once
    keys = [f"{key}_unweighted" if f"{key}_unweighted" in run.metrics else key for key in metrics]
    results = [run.metrics.get(key) for key in keys]
    for key, result in zip(keys, results, strict=True):
        if result is not None and not isinstance(result, Result):
            raise UserError(
                f"{run.path}: key {key!r} is no result with value, error and n; "
                f"write the file again with: python evaluate.py {run.path.parent}"
            )
    sizes = {result.n for result in results if result is not None}
    jets = " / ".join(map(str, sorted(sizes))) or BLANK
    texts = [BLANK if result is None else result.text for result in results]
    trainings = run.metrics.get("trainings", 1)
    several = f", {trainings} trainings" if trainings > 1 else ""
    return [run.model, run.data, jets, *texts, f"this suite, {run.path.parent.name}{several}"]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; numbers to the right, models of this suite in bold."""
    head, *body = rows
    body = [
        [f"**{cell}**" if column == 0 and is_ours(row) else cell for column, cell in enumerate(row)]
        for row in body
    ]
    rule = ["---", "---"] + ["--:"] * (len(head) - 3) + ["---"]
    lines = [[cell.replace("|", r"\|") for cell in row] for row in (head, *body)]
    lines.insert(1, rule)
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def latex(rows: Sequence[Sequence[str]]) -> str:
    """A tabular with rules above, below and between published rows and those of this suite."""
    head, *body = rows
    lines = [r"\begin{tabular}{ll" + "r" * (len(head) - 3) + "l}", r"\hline", _latex_row(head)]
    lines.append(r"\hline")
    for number, row in enumerate(body):
        if is_ours(row) and (number == 0 or not is_ours(body[number - 1])):
            lines.append(r"\hline")
        lines.append(_latex_row(row))
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _latex_row(cells: Sequence[str]) -> str:
    written = []
    for cell in cells:
        for plain, escaped in (("_", r"\_"), ("%", r"\%"), ("&", r"\&"), ("#", r"\#")):
            cell = cell.replace(plain, escaped)
        cell = cell.replace("±", r"$\pm$").replace("> ", "$>$ ")
        if cell.startswith("1/eB("):
            cell = r"$1/\varepsilon_B$" + cell.removeprefix("1/eB")
        written.append(cell)
    return " & ".join(written) + r" \\"


def is_ours(row: Sequence[str]) -> bool:
    return row[-1].startswith("this suite")


FORMATS = {"markdown": markdown, "latex": latex}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables of all datasets that have published rows or runs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks tables", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--runs", type=Path, help="folder of run directories (default: runs)")
    parser.add_argument("--format", choices=FORMATS, default="markdown")
    arguments = parser.parse_args(argv)
    folder, table = arguments.runs, FORMATS[arguments.format]
    if folder is None and not Path("runs").is_dir():  # nothing trained yet is no mistake
        runs = []
        print("no folder runs here: published rows alone", file=sys.stderr)
    else:
        runs = read_runs(folder or Path("runs"))
    tagging = [run for run in runs if "accuracy" in run.metrics]
    generating = [run for run in runs if is_generation(run.metrics)]
    left_out = len(runs) - len(tagging) - len(generating)
    print(f"{len(runs)} runs read, {left_out} of other tasks left out", file=sys.stderr)
    comment = "% " if arguments.format == "latex" else "## "
    for dataset in dict.fromkeys([*PUBLISHED, *(run.dataset for run in tagging)]):
        title = CATALOGUE[dataset].title if dataset in CATALOGUE else dataset
        print(f"{comment}{title}\n\n{table(tagging_rows(dataset, tagging))}")
    for dataset in dict.fromkeys([*PUBLISHED_GENERATION, *(run.dataset for run in generating)]):
        title = CATALOGUE[dataset].title if dataset in CATALOGUE else dataset
        print(f"{comment}{title}, generated\n\n{table(generation_rows(dataset, generating))}")
        if any(run.dataset == dataset for run in generating):
            rows = observable_rows(dataset, generating)
            print(f"{comment}{title}, generated: observables\n\n{table(rows)}")
    print(FOOTNOTE if arguments.format == "markdown" else "% " + FOOTNOTE.replace("\n", "\n% "))
