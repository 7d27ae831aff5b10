"""README is short, every task has its page, and messages that pages quote are in the code."""

import re
import shutil

import numpy as np
import pytest
from commands import ROOT
from documented import run_example

README = (ROOT / "README.md").read_text()
DOCS = ROOT / "docs"
TASKS = ("pretraining", "tagging", "generation", "unfolding", "anomaly", "tokens")
SECTIONS = ("The command", "Output", "How to read the numbers", "What can go wrong")


def test_readme_is_at_most_120_lines_of_120_characters():
    lines = README.splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("task", TASKS)
def test_the_page_of_every_task_has_the_same_sections(task):
    text = (DOCS / f"{task}.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert [section for section in SECTIONS if section not in headings] == []
    assert "**What it answers.**" in text
    assert headings[-1] == "The paper"
    assert "arXiv:" in text.rpartition("## The paper")[2]
    assert f"(docs/{task}.md)" in README


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"(\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {path.name for path in DOCS.glob("*.md")}


def test_terms_of_the_glossary_are_in_the_order_of_the_alphabet():
    terms = re.findall(r"^### (.*)$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)
    assert {"PET", "CWoLa", "OmniFold", "SIC", "Horovod rank", "W1M, W1P, W1EFP"} <= set(terms)


@pytest.fixture(scope="module")
def code():
    """All of the code; a text that spans several lines is joined."""
    return " ".join(
        re.sub(r"\"\s*\n\s*f?\"", "", path.read_text())
        for folder in ("omnilearn", "preprocessing", "simulation")
        for path in (ROOT / folder).rglob("*.py")
    )


@pytest.mark.parametrize("task", TASKS)
def test_messages_that_a_page_quotes_are_those_of_the_code(task, code):
    text = (DOCS / f"{task}.md").read_text()
    quoted = re.findall(r"^- \*\*\"([^\"]+)\"", text, re.MULTILINE)
    assert [message for message in quoted if message not in code] == []


def test_messages_of_troubleshooting_are_those_of_the_code(code):
    text = (DOCS / "troubleshooting.md").read_text()
    num_quoted = 0
    for table in re.findall(r"\| message has .*?(?=\n\n)", text, re.DOTALL):
        for row in table.splitlines()[2:]:
            messages = re.findall(r"`([^`]+)`", row.split("|")[1])
            num_quoted += len(messages)
            assert [message for message in messages if message not in code] == [], row
    assert num_quoted > 15


def test_pages_have_the_words_of_the_field():
    private = ("who plays what", "runs that survive", "one law", "never felt", "stretch of")
    for path in (ROOT / "README.md", *DOCS.glob("*.md")):
        text = path.read_text().lower()
        assert [word for word in private if word in text] == [], path.name


def test_the_example_of_own_data_in_readme_writes_a_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    momenta = np.zeros((60, 4, 4))
    momenta[..., 0] = 150.0
    momenta[..., 1:3] = random.normal(0, 0.1, (60, 4, 2))
    momenta[..., 3] = 150.0 * np.cosh(momenta[..., 1])
    run_example("README.md", "write_dataset", momenta=momenta, labels=random.integers(0, 2, 60))
    assert list((tmp_path / "data" / "my_tops" / "train").glob("*.h5"))


def test_the_example_that_reads_results_runs(tmp_path, monkeypatch, capsys):
    run = ROOT / "benchmarks" / "results" / "demo_full" / "top_finetuned"
    shutil.copytree(run, tmp_path / "runs" / "top_finetuned")
    monkeypatch.chdir(tmp_path)
    run_example("docs/results_json.md", "read_results")
    assert "0.9718 ± 0.0015 (n=10000)" in capsys.readouterr().out
