"""One HTML file of a folder of runs: tables with the published rows, all figures, all commands.

    python -m benchmarks report --runs runs --out report.html

The pictures are inside the file and it needs no script: it can be sent and printed.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.markdown import Table, is_ours
from benchmarks.programs import command_parser
from benchmarks.runs import NO_RUN, Run, read_runs
from benchmarks.tables import FOOTNOTE, all_tables
from omnilearn.errors import UserError
from omnilearn.report.pages import Picture, figures_in, write_page
from omnilearn.report.run_report import commands_of, settings_of, task_of

# LaTeX in tables -> text on the page
SYMBOLS = {r"$\ln\rho$": "ln rho", r"$\tau_{21}$": "tau21", r"$\tau_{32}$": "tau32", "$z_g$": "z_g"}
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SHOWN_SETTINGS = ("preset", "backbone", "train-jets", "epochs", "batch", "lr", "seed")


def plain(text: str) -> str:
    """A cell or title without LaTeX: symbols as text, exponents as superscripts."""
    for written, symbol in SYMBOLS.items():
        text = text.replace(written, symbol)
    return re.sub(r"\^(-?\d+)", lambda power: power[1].translate(SUPERSCRIPTS), text)


def is_run(row: Sequence[str]) -> bool:
    """Whether a row is of a run of this suite."""
    return is_ours(row) and row[-1] != NO_RUN


def table_content(table: Table) -> dict:
    """A table for the template of the page: plain cells, and the rows of this suite."""
    head, *body = table.rows
    return {
        "title": plain(table.title),
        "head": [plain(name) for name in head],
        "rows": [[plain(cell) for cell in row] for row in body],
        "ours": [index for index, row in enumerate(body) if is_run(row)],
        "note": plain(table.note),
    }


def section_of(run: Run, folder: Path) -> dict[str, Any]:
    """One run for the template of the page."""
    settings = settings_of(run.about)
    return {
        "name": run.origin,
        "task": task_of(run.about) if run.about else "",
        "settings": {key: settings[key] for key in SHOWN_SETTINGS if settings.get(key, "-") != "-"},
        "commands": commands_of(run.about, ()),
        "figures": figures_below(run.path.parent, folder),
    }


def figures_below(place: Path, folder: Path) -> list[Picture]:
    """All figures in and below `place`, named by their paths from `folder`."""
    folders = sorted({path.parent for path in place.rglob("*.png")})
    return [picture for path in folders for picture in figures_in(path, folder)]


def loose_figures(folder: Path, sections: Sequence[dict[str, Any]]) -> list[Picture]:
    """Figures below the folder that lie in no run: comparisons of several runs."""
    shown = {picture.name for section in sections for picture in section["figures"]}
    return [picture for picture in figures_below(folder, folder) if picture.name not in shown]


def main(arguments: Sequence[str]) -> None:
    parser = command_parser("report", __doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write")
    flags = parser.parse_args(arguments)
    if flags.out.is_dir():
        raise UserError(f"--out is {flags.out}, a folder; expected a file, like report.html")
    runs = read_runs(flags.runs)
    if not runs:
        raise UserError(
            f"{flags.runs} holds no evaluated run (no results.json); evaluate one with: "
            "python evaluate.py RUN"
        )
    tables, summary = all_tables([flags.runs])
    sections = [section_of(run, flags.runs) for run in runs]
    content = {
        "title": f"Runs in {flags.runs.resolve().name}",
        "summary": summary,
        "tables": [table_content(table) for table in tables if any(map(is_run, table.rows[1:]))],
        "footnote": FOOTNOTE,
        "sections": sections,
        "figures": loose_figures(flags.runs, sections),
    }
    print(f"{summary}; the report is {write_page(flags.out, 'folder.html', content)}")
