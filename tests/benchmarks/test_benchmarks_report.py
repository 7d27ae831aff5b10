"""The report of a folder of runs: all tables with the published rows, all figures."""

import re
import shutil

import pytest

from benchmarks import report
from benchmarks.programs import RESULTS
from benchmarks.published import PUBLISHED
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    runs = folder / "runs"
    shutil.copytree(RESULTS / "demo_full", runs / "demo_full")
    shutil.copytree(RESULTS / "unfolding" / "events_64000", runs / "unfolding")
    shutil.copy(RESULTS / "demo_full" / "roc.png", runs / "demo_full" / "top_finetuned")
    report.main(["--runs", str(runs), "--out", str(folder / "report.html")])
    return (folder / "report.html").read_text()


def test_a_table_has_published_rows_and_rows_of_runs(page):
    top = page[page.index('<h3 id="table-1">') :]
    top = top[: top.index("</table>")]
    for model in (*PUBLISHED["top"].rows, "OmniLearn (small)", "PET classifier (small)"):
        assert f'<th scope="row">{model}</th>' in top, model
    assert top.count('<tr class="ours">') == 2
    measured = read_results(RESULTS / "demo_full" / "top_finetuned" / "results.json")[
        "rejection_0.3"
    ]
    assert measured.text in top


def test_tables_without_a_run_are_left_out(page):
    assert "Quark/Gluon (" not in page
    assert "OmniFold, unfolded to particle level" in page


def test_every_figure_is_on_the_page_once_with_the_name_of_its_run(page):
    names = re.findall(r'<img src="data:image/png;base64,[^"]+" alt="([^"]+)">', page)
    assert len(set(names)) == len(names) == 10
    assert {"demo_full/roc", "demo_full/loss", "demo_full/top_finetuned/roc"} <= set(names)


def test_no_formula_of_latex_is_left_on_the_page(page):
    assert "$" not in re.sub(r"base64,[^\"]+", "", page)
    assert "tau21" in page
    assert report.plain("W1M (10^-3)") == "W1M (10⁻³)"


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(UserError, match="no evaluated run"):
        report.main(["--runs", str(tmp_path)])
    with pytest.raises(UserError, match="no such folder"):
        report.main(["--runs", str(tmp_path / "nothing")])
