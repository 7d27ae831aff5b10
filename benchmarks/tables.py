"""Every table of the papers: published rows with their citation, then rows of runs of this suite.

    python -m benchmarks tables                                   # Markdown
    python -m benchmarks tables --runs runs --format latex > tables.tex

Tables 1 to 7 of arXiv:2502.14652, I and II of arXiv:2404.16091v2, the search for a resonance and
the study of arXiv:2412.10504. Runs are found at any depth below --runs by their configuration (see
`benchmarks/runs.py`). All runs of a row are shown; a row without a run has dashes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.aspen_cells import cell_of, studies
from benchmarks.aspen_tables import aspen_tables
from benchmarks.generation_tables import generation_tables
from benchmarks.markdown import SECTIONS, Table, latex_comment
from benchmarks.programs import RESULTS, command_parser
from benchmarks.runs import read_runs
from benchmarks.search_tables import search_tables
from benchmarks.tagging_tables import tagging_tables
from benchmarks.unfolding_tables import unfolding_tables

FOOTNOTE = """\
Published uncertainties are the papers' own (mostly the spread over trainings); ours are
statistical, from the test jets of one training, or for runs of several trainings their spread.
All count jets with equal weights; results.json has the weighted numbers too.
Rows on simulated jets cannot be ranked against rows on the public sample."""


def all_tables(folders: Sequence[Path]) -> tuple[list[Table], str]:
    """Every table of the runs below the folders, and a sentence with the number of runs read."""
    runs = read_runs(*folders)
    cells = [run for run in runs if cell_of(run)]
    single_runs = [run for run in runs if run not in cells]
    tables = [
        *tagging_tables(single_runs),
        *generation_tables(single_runs),
        *unfolding_tables(single_runs),
        *search_tables(single_runs),
        *aspen_tables(studies(cells, folders)),
    ]
    left_out = [
        run.origin
        for run in single_runs
        if not (run.is_tagging or run.is_generation or run.is_unfolding or run.is_search)
    ]
    summary = f"{len(runs)} runs read"
    return tables, summary + (f", of no table: {', '.join(left_out)}" if left_out else "")


def main(arguments: Sequence[str]) -> None:
    parser = command_parser("tables", __doc__)
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders with runs at any depth (default: runs, if it exists, "
        "and the committed results)",
    )
    parser.add_argument("--format", choices=SECTIONS, default="markdown")
    flags = parser.parse_args(arguments)
    folders = flags.runs or [*filter(Path.is_dir, [Path("runs")]), RESULTS]
    tables, summary = all_tables(folders)
    print(summary, file=sys.stderr)
    print("\n".join(map(SECTIONS[flags.format], tables)))
    print(FOOTNOTE if flags.format == "markdown" else latex_comment(FOOTNOTE).rstrip())
