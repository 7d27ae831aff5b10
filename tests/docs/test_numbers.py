"""Every number of README and docs with an uncertainty stands between markers and is the result."""

import re

import pytest
from commands import ROOT, output_of
from commands import python as command

from benchmarks import docs
from benchmarks.docs_tables import TABLES
from omnilearn.errors import UserError

# a number with its uncertainty, and what looks like one in an example of JSON
MEASURED = re.compile(r"\d\s*±\s*[\d.]+")
every_page = pytest.mark.parametrize("page", docs.pages(), ids=lambda path: path.name)


@every_page
def test_every_inserted_number_is_that_of_its_result(page):
    text = page.read_text()
    assert docs.rewritten(text) == text, "write it again with: python -m benchmarks docs"


@every_page
def test_no_number_with_an_uncertainty_is_typed(page):
    typed = docs.TABLE.sub("", docs.NUMBER.sub("", page.read_text()))
    assert MEASURED.findall(typed) == []


def test_most_pages_of_results_have_numbers_and_every_table_is_used():
    texts = [page.read_text() for page in docs.pages()]
    used = {match[2].split()[0] for text in texts for match in docs.TABLE.finditer(text)}
    assert used == set(TABLES)
    assert sum(len(docs.NUMBER.findall(text)) for text in texts) > 15


def test_a_number_that_was_changed_by_hand_is_corrected():
    right = "<!-- number: demo_full/top_finetuned rejection_0.5 -->74.6 ± 9.5<!-- /number -->"
    assert docs.rewritten(right.replace("74.6", "99.9")) == right
    table = "<!-- table: demo_figure loss ../ -->\nx\n<!-- /table -->"
    assert "](../benchmarks/results/demo" in docs.rewritten(table)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("demo_full/top_finetuned auc .2f", "0.97"),
        ("generation/jetnet30_scratch generated/t/w1m x1000", "5.69 ± 0.98"),
        ("preprocessing datasets/top/runs/1/rows ,d", "40 768"),
        ("demo_full/top_finetuned data", "simulated"),
    ],
)
def test_a_factor_or_format_of_the_marker_is_applied(words, text):
    assert docs.number(words) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- number: demo_full/top_finetuned nothing --><!-- /number -->", "nothing: .* no such"),
        ("<!-- number: no/such/run auc --><!-- /number -->", "no/such/run auc: .* no such number"),
        ("<!-- number: demo_full/top_finetuned auc -->0.9", "an end; expected <!-- /number -->"),
        ("<!-- table: nothing -->\n<!-- /table -->", "no table 'nothing'; there are stored"),
        ("<!-- table: demo -->\n", "expected <!-- /table --> behind each"),
    ],
)
def test_a_marker_without_a_result_or_an_end_is_named(text, message):
    with pytest.raises(UserError, match=message):
        docs.rewritten(text)


def test_check_names_the_page_that_differs_and_changes_nothing(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    wrong = "<!-- number: demo_full/top_finetuned auc -->1<!-- /number -->\n"
    page.write_text(wrong)
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "pages", lambda: [page])
    with pytest.raises(UserError, match="differ from benchmarks/results"):
        docs.main(["--check"])
    assert page.read_text() == wrong
    docs.main([])
    assert "0.9718 ± 0.0015" in page.read_text()
    docs.main(["--check"])


def test_the_command_finds_every_page_up_to_date():
    out = output_of(command("-m benchmarks docs --check"))
    assert out == "every number is up to date\n"
    assert (ROOT / "docs" / "results.md") in docs.pages()
