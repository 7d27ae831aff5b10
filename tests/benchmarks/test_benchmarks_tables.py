"""Tables are made from results files and published rows; nothing is typed by hand."""

import pytest

from benchmarks.published import PUBLISHED
from benchmarks.tables import columns, latex, main, markdown, read_runs, tagging_rows
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, write_results

ABOUT = {"dataset": "top", "model": "PET", "data": "simulated"}
METRICS = {
    "accuracy": Result(0.91, 0.005, 3200),
    "auc": Result(0.97, 0.003, 3200),
    "rejection_0.5": Result(57.2, 6.1, 3200),
    "rejection_0.3": Result(120.4, None, 3200, bound="lower"),
}


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tagging_table(dataset, runs):
    return markdown(tagging_rows(dataset, runs))


def test_published_tables_are_complete_and_cited():
    assert set(PUBLISHED) == {"top", "qg", "cms", "h1", "atlas"}
    for dataset, table in PUBLISHED.items():
        assert table.dataset == dataset
        assert table.citation.startswith("arXiv:")
        wanted = {f"rejection_{point:g}" for point in CATALOGUE[dataset].working_points}
        assert set(table.metrics) == {"accuracy", "auc", *wanted}
        assert any("OmniLearn" in model for model in table.rows)
        for numbers in table.rows.values():
            assert len(numbers) == len(table.metrics)


def test_every_published_table_rejects_more_background_at_lower_signal_efficiency():
    for table in PUBLISHED.values():
        low, high = sorted(
            (name for name in table.metrics if name.startswith("rejection")),
            key=lambda name: float(name.split("_")[1]),
        )
        for numbers in table.rows.values():
            row = dict(zip(table.metrics, numbers, strict=True))
            if row[low] and row[high]:
                assert row[low][0] > row[high][0]


def test_published_omnilearn_row_is_printed_as_in_the_paper():
    (line,) = [text for text in tagging_table("top", []).splitlines() if "| OmniLearn |" in text]
    assert cells(line)[3:7] == ["0.942", "0.9872", "568 ± 9", "2647 ± 192"]
    assert "arXiv:2502.14652, Table 1" in line


def test_our_row_names_its_data_its_size_and_its_uncertainty(tmp_path):
    write_results(tmp_path / "top_scratch" / "results.json", ABOUT | METRICS)
    line = tagging_table("top", read_runs(tmp_path)).splitlines()[-1]
    assert cells(line) == [
        "**PET**", "simulated", "3200", "0.9100 ± 0.0050", "0.9700 ± 0.0030", "57.2 ± 6.1",
        "> 120", "this suite, top_scratch",
    ]  # fmt: skip


def test_published_rows_are_compared_with_jets_of_equal_weight(tmp_path):
    unweighted = {"accuracy_unweighted": Result(0.888, 0.004, 3200)}
    write_results(tmp_path / "top" / "results.json", ABOUT | METRICS | unweighted)
    line = tagging_table("top", read_runs(tmp_path)).splitlines()[-1]
    assert "0.8880" in line
    assert "0.91" not in line


def test_every_line_of_the_table_has_all_columns(tmp_path):
    write_results(tmp_path / "a" / "results.json", ABOUT | {"accuracy": METRICS["accuracy"]})
    lines = tagging_table("top", read_runs(tmp_path)).splitlines()
    assert {len(cells(line)) for line in lines} == {4 + len(columns("top"))}
    assert cells(lines[-1])[4:7] == ["-", "-", "-"]


def test_runs_without_tagging_are_counted_and_left_out(tmp_path, capsys):
    write_results(tmp_path / "a" / "results.json", ABOUT | METRICS)
    write_results(tmp_path / "b" / "results.json", ABOUT | {"model": "unfolded"})
    main(["--runs", str(tmp_path)])
    out, err = capsys.readouterr()
    assert "2 runs read, 1 of other tasks left out" in err
    assert "unfolded" not in out
    assert "this suite, a" in out


def test_a_dataset_without_published_rows_has_a_table_too(tmp_path, capsys):
    write_results(tmp_path / "results.json", ABOUT | METRICS | {"dataset": "jetclass"})
    main(["--runs", str(tmp_path)])
    assert "## JetClass" in capsys.readouterr().out


def test_published_rows_alone_before_anything_is_trained(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main([])
    out, err = capsys.readouterr()
    assert "OmniLearn" in out
    assert "published rows alone" in err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": 3}, "key 'model'"),
        ({"data": "real"}, "'real', expected public or simulated"),
        ({"auc": 0.97}, "key 'auc' is no result"),
    ],
)
def test_a_results_file_that_says_too_little_is_refused_by_name(tmp_path, change, sentence):
    path = tmp_path / "run" / "results.json"
    write_results(path, ABOUT | METRICS | change)
    with pytest.raises(UserError, match=sentence) as refusal:
        tagging_table("top", read_runs(tmp_path))
    assert str(path) in str(refusal.value)


def test_a_missing_folder_of_runs_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder of runs"):
        main(["--runs", str(tmp_path / "nowhere")])


def test_latex_has_the_same_rows_and_no_bare_special_character(tmp_path):
    write_results(tmp_path / "top_scratch" / "results.json", ABOUT | METRICS)
    rows = tagging_rows("top", read_runs(tmp_path))
    text = latex(rows)
    assert text.count(r"\\") == len(rows)
    assert r"57.2 $\pm$ 6.1" in text
    assert r"top\_scratch" in text
    assert r"$1/\varepsilon_B$(0.3)" in text
    assert {line.count("&") for line in text.splitlines() if "&" in line} == {len(rows[0]) - 1}


def test_a_row_of_several_trainings_says_how_many(tmp_path):
    write_results(tmp_path / "top" / "results.json", ABOUT | METRICS | {"trainings": 5})
    assert "this suite, top, 5 trainings" in tagging_table("top", read_runs(tmp_path))
