"""report.html of a run: every number with its meaning, every picture, no external content."""

import base64
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import ROOT

from omnilearn.errors import UserError
from omnilearn.report.meanings import meaning_of
from omnilearn.report.pages import CAPTIONS
from omnilearn.report.run_report import write_report
from omnilearn.report.tables import IN_FIGURES, every_result, number_tables
from omnilearn.statistics.results import Result, read_results

RESULTS = ROOT / "benchmarks" / "results"
EVALUATED = [
    path.parent
    for path in sorted(RESULTS.rglob("results.json"))
    if list(path.parent.glob("config.json")) + list(path.parent.glob("*/*/config.json"))
]


class Page(HTMLParser):
    """Text, tags and links of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.words, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report_of(run: Path, command=()) -> Page:
    return Page(write_report(run, command).read_text())


@pytest.fixture
def run(tmp_path):
    """A copy of a committed run, with two figures."""
    copy = shutil.copytree(RESULTS / "demo_full" / "top_finetuned", tmp_path / "top_finetuned")
    for name in ("loss.png", "roc.png"):
        shutil.copy(RESULTS / "demo_full" / name, copy)
    return copy


@pytest.fixture
def about(run):
    """config.json of the run, to be changed and written again."""
    return json.loads((run / "config.json").read_text())


def without_figures(results: dict) -> dict:
    """The results without what figures show: keys of results, and the spectra of a scan."""
    shown = {key: value for key, value in results.items() if key not in IN_FIGURES}
    for by_signal in shown.get("scan", {}).values():
        for point in by_signal.values():
            point.pop("spectra", None)
    return shown


@pytest.mark.parametrize("run", EVALUATED, ids=lambda run: run.relative_to(RESULTS).as_posix())
def test_every_number_of_the_committed_results_is_in_the_tables_with_its_meaning(run):
    results = read_results(run / "results.json")
    tables = number_tables(results)
    cells = {cell for table in tables for row in table.rows for cell in row}
    in_tables = every_result(without_figures(results))
    assert [result for result in in_tables if result.text not in cells] == []
    assert "''" not in str([table.meanings for table in tables])
    names = {name for name in results if name not in ("statistical", *IN_FIGURES)}
    assert [name for name in names if not meaning_of(name)[1]] == []


def test_keys_have_readable_names():
    assert meaning_of("new_number") == ("new number", "")
    assert meaning_of("rejection_0.5_unweighted")[0] == "1/eB at eS = 0.5, all jets equal"
    assert meaning_of("kl_tau21")[0] == "KL divergence of tau21"
    assert meaning_of("w1_jet_mass_2")[0] == "W1 of jet mass, jet 2"


def test_a_report_is_one_file_with_its_pictures_and_without_scripts(run):
    page = report_of(run, ["evaluate.py", "runs/top finetuned"])
    assert "script" not in page.tags
    pictures = [link for link in page.links if link.startswith("data:image/png")]
    stored = {path.read_bytes() for path in run.glob("*.png")}
    assert {base64.b64decode(url.partition(",")[2]) for url in pictures} == stored
    assert len(pictures) == len(stored) == 2
    assert [link for link in page.links if not link.startswith("data:")] == []
    rejection = read_results(run / "results.json")["rejection_0.5"]
    assert f"1/eB at eS = 0.5 {rejection.text} {rejection.n}" in page.text
    for expected in (
        "Top tagging",
        "simulated here",
        CAPTIONS["roc"],
        "python evaluate.py 'runs/top finetuned'",
        "body-factor 10.0",
        "tensorflow-cpu",
    ):
        assert expected in page.text, expected


def test_a_report_has_the_command_of_the_training(run, about):
    assert "config.json of this run has no command line" in report_of(run).text
    about |= {"command": "finetune.py top --name 'my run'", "ranks": 2}
    (run / "config.json").write_text(json.dumps(about))
    command = "horovodrun -np 2 --gloo python finetune.py top --name 'my run'"
    assert command in report_of(run).text


def test_html_in_the_settings_of_a_run_is_shown_as_text(run, about):
    about["config"]["name"] = "<script>alert(1)</script>"
    (run / "config.json").write_text(json.dumps(about))
    page = report_of(run)
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_several_trainings_have_one_report(tmp_path):
    scan = RESULTS / "anomaly" / "salad" / "lhco_finetuned"
    page = report_of(shutil.copytree(scan, tmp_path / "lhco"))
    assert "salad_signal250/seed1" in page.text
    assert "Search, salad" in page.text


def test_a_report_of_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        write_report(tmp_path)


def test_an_undefined_number_is_shown_with_its_reason():
    undefined = Result(float("nan"), None, 4, reason="too few jets")
    (table,) = number_tables({"dataset": "top", "auc": undefined})
    assert table.rows[0][1] == "undefined (too few jets)"
