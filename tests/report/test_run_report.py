"""report.html of a run: every number with its meaning, every picture, nothing from outside."""

import base64
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import ROOT

from omnilearn.errors import UserError
from omnilearn.report.meanings import meaning_of, meanings
from omnilearn.report.pages import CAPTIONS
from omnilearn.report.run_report import write_report
from omnilearn.report.tables import DRAWN, every_result, number_tables
from omnilearn.statistics.results import Result, read_results

RESULTS = ROOT / "benchmarks" / "results"
EVALUATED = [
    path.parent
    for path in sorted(RESULTS.rglob("results.json"))
    if list(path.parent.glob("config.json")) + list(path.parent.glob("*/*/config.json"))
]


class Page(HTMLParser):
    """Text and addresses of a page."""

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


def copied(run: Path, place: Path) -> Path:
    """A committed run in a folder that may be written to, with a picture of its study."""
    copy = shutil.copytree(run, place / run.name)
    picture = next(iter(sorted(run.glob("*.png")) or sorted(run.parent.glob("*.png"))), None)
    if picture:
        shutil.copy(picture, copy)
    return copy


@pytest.mark.parametrize("run", EVALUATED, ids=lambda run: run.relative_to(RESULTS).as_posix())
def test_every_number_of_the_committed_results_is_in_the_tables_with_its_meaning(run):
    results = read_results(run / "results.json")
    tables = number_tables(results)
    shown = {cell for table in tables for row in table.rows for cell in row}
    counted = {key: value for key, value in results.items() if key not in DRAWN}
    missing = [result for result in every_result(counted) if result.text not in shown]
    assert missing == []
    explained = " ".join(f"{table.about} {table.meanings} {table.rows}" for table in tables)
    assert "''" not in str([table.meanings for table in tables])
    assert len(explained) > 100
    names = {name for name in results if name not in ("statistical", *DRAWN)}
    assert [name for name in names if not meaning_of(name)[1]] == []


def test_an_unknown_key_has_a_name_and_no_meaning():
    assert meaning_of("new_number") == ("new number", "")
    assert meaning_of("rejection_0.5_unweighted")[0] == "1/eB at eS = 0.5, all jets equal"
    assert meaning_of("kl_tau21")[0] == "KL divergence of tau21"
    assert meaning_of("w1_jet_mass_2")[0] == "W1 of jet mass, jet 2"
    assert len({meaning.written for meaning in meanings()}) == len(meanings())


def test_a_report_is_one_file_with_its_pictures_and_without_scripts(tmp_path):
    run = copied(RESULTS / "demo_full" / "top_finetuned", tmp_path)
    shutil.copy(RESULTS / "demo_full" / "roc.png", run)
    text = write_report(run, ["evaluate.py", "runs/top finetuned"]).read_text()
    page = Page(text)
    assert "script" not in page.tags
    pictures = [link for link in page.links if link.startswith("data:image/png")]
    assert len(pictures) == len(list(run.glob("*.png"))) == 2
    stored = {path.read_bytes() for path in run.glob("*.png")}
    assert {base64.b64decode(url.partition(",")[2]) for url in pictures} == stored
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


def test_a_report_says_by_which_command_the_run_was_trained(tmp_path):
    run = copied(RESULTS / "demo_full" / "top_finetuned", tmp_path)
    assert "before commands were kept" in Page(write_report(run).read_text()).text
    about = json.loads((run / "config.json").read_text())
    about |= {"command": "finetune.py top --name 'my run'", "ranks": 2}
    (run / "config.json").write_text(json.dumps(about))
    page = Page(write_report(run).read_text())
    assert "horovodrun -np 2 --gloo python finetune.py top --name 'my run'" in page.text


def test_a_report_shows_what_files_of_others_say_and_runs_none_of_it(tmp_path):
    run = copied(RESULTS / "demo_full" / "top_finetuned", tmp_path)
    about = json.loads((run / "config.json").read_text())
    about["config"]["name"] = "<script>alert(1)</script>"
    (run / "config.json").write_text(json.dumps(about))
    page = Page(write_report(run).read_text())
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_several_trainings_are_one_report(tmp_path):
    run = copied(RESULTS / "anomaly" / "lhco_finetuned", tmp_path)
    page = Page(write_report(run).read_text())
    assert "idealised_signal250/seed1" in page.text
    assert "Search, cathode" in page.text


def test_a_report_of_no_run_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no run directory"):
        write_report(tmp_path)


def test_a_number_without_a_value_says_why():
    undefined = Result(float("nan"), None, 4, reason="too few jets")
    (table,) = number_tables({"dataset": "top", "auc": undefined})
    assert table.rows[0][1] == "undefined (too few jets)"
