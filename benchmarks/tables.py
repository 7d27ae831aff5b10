"""Every table of the papers: published rows with their citation, then those of this suite's runs.

    python -m benchmarks tables                                   # Markdown
    python -m benchmarks tables --runs runs --format latex > tables.tex

Tables 1 to 7 of arXiv:2502.14652, I and II of arXiv:2404.16091v2, the search for a resonance and
the study of arXiv:2412.10504. Runs are found at any depth below --runs, by what they are: see
`benchmarks/runs.py`. All that fit a row are shown; a row that no run fits has dashes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.aspen_cells import cell_of, studies
from benchmarks.aspen_tables import aspen_tables
from benchmarks.generation_tables import generation_tables
from benchmarks.markdown import SECTIONS, Table, latex_comment
from benchmarks.runs import read_runs
from benchmarks.search_tables import search_tables
from benchmarks.tagging_tables import tagging_tables
from benchmarks.unfolding_tables import unfolding_tables

RESULTS = Path(__file__).parent / "results"  # runs that travel with the code
FOOTNOTE = """\
Published uncertainties are the papers' own (mostly the spread over trainings); ours are
statistical, from the test jets of one training, or for runs of several trainings their spread.
All count jets with equal weights; results.json has the weighted numbers too.
Rows on simulated jets cannot be ranked against rows on the public sample."""


def all_tables(folders: Sequence[Path]) -> tuple[list[Table], str]:
    """Every table of the runs below the folders, and a sentence of how many runs were read."""
    runs = read_runs(*folders)
    cells = [run for run in runs if cell_of(run)]
    others = [run for run in runs if run not in cells]
    tables = [
        *tagging_tables(others),
        *generation_tables(others),
        *unfolding_tables(others),
        *search_tables(others),
        *aspen_tables(studies(cells, folders)),
    ]
    left_out = [
        run.origin
        for run in others
        if not (run.is_tagging or run.is_generation or run.is_unfolding or run.is_search)
    ]
    said = f"{len(runs)} runs read"
    return tables, said + (f", of no table: {', '.join(left_out)}" if left_out else "")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks tables", allow_abbrev=False, description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders with runs at any depth (default: runs, where it is there, "
        "and the results that travel with the code)",
    )
    parser.add_argument("--format", choices=SECTIONS, default="markdown")
    flags = parser.parse_args(arguments)
    folders = flags.runs or [*filter(Path.is_dir, [Path("runs")]), RESULTS]
    tables, said = all_tables(folders)
    print(said, file=sys.stderr)
    print("\n".join(map(SECTIONS[flags.format], tables)))
    print(FOOTNOTE if flags.format == "markdown" else latex_comment(FOOTNOTE).rstrip())
