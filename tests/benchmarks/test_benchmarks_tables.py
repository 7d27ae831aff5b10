"""Tables are made from results files and published rows."""

import json
import re

import pytest

from benchmarks.markdown import latex, markdown
from benchmarks.published import PUBLISHED
from benchmarks.runs import read_runs
from benchmarks.tables import RESULTS, main
from benchmarks.tagging_tables import columns, tagging_rows
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


def make_run(folder, metrics, backbone=None, task="tagging", **config):
    """An evaluated run: results.json and config.json."""
    write_results(folder / "results.json", ABOUT | metrics)
    about = {"config": {"preset": "full", **config}, "task": task, "backbone": backbone}
    (folder / "config.json").write_text(json.dumps(about))


def test_published_tables_are_complete_and_cited():
    assert set(PUBLISHED) == {"top", "qg", "cms", "h1", "atlas"}
    for dataset, table in PUBLISHED.items():
        assert table.dataset == dataset
        assert table.citation.startswith("arXiv:")
        rejections = {f"rejection_{point:g}" for point in CATALOGUE[dataset].working_points}
        assert set(table.metrics) == {"accuracy", "auc", *rejections}
        assert any("OmniLearn" in model for model in table.rows)
        for model in table.rows:
            assert len(table.numbers(model)) == len(table.metrics)


def test_every_published_table_rejects_more_background_at_lower_signal_efficiency():
    for table in PUBLISHED.values():
        low, high = sorted(
            (name for name in table.metrics if name.startswith("rejection")),
            key=lambda name: float(name.split("_")[1]),
        )
        for model in table.rows:
            row = dict(zip(table.metrics, table.numbers(model), strict=True))
            if row[low] and row[high]:
                assert row[low][0] > row[high][0]


def test_published_omnilearn_row_is_printed_as_in_the_paper():
    (line,) = [text for text in tagging_table("top", []).splitlines() if "| OmniLearn |" in text]
    assert cells(line)[3:7] == ["0.942", "0.9872", "568 ± 9", "2647 ± 192"]
    assert "arXiv:2502.14652, Table 1" in line


def test_the_row_of_a_run_has_its_kind_of_data_size_and_uncertainties(tmp_path):
    write_results(tmp_path / "top_scratch" / "results.json", ABOUT | METRICS)
    line = tagging_table("top", read_runs(tmp_path)).splitlines()[-1]
    assert cells(line) == [
        "**PET**",
        "simulated",
        "3200",
        "0.9100 ± 0.0050",
        "0.9700 ± 0.0030",
        "57.2 ± 6.1",
        "> 120",
        "this suite, top_scratch",
    ]


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


def test_the_row_of_a_run_does_not_depend_on_its_folder(tmp_path):
    make_run(tmp_path / "a" / "b" / "c" / "anything", METRICS, backbone="runs/jetclass")
    rows = tagging_rows("top", read_runs(tmp_path))
    assert [row[0] for row in rows[-2:]] == ["PET classifier", "OmniLearn"]
    assert rows[-2][1:] == ["-"] * 6 + ["this suite, no run"]
    assert rows[-1][-1] == "this suite, a/b/c/anything"


def test_two_runs_of_the_same_kind_have_a_row_each(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / name, METRICS, train_jets=1000, model="pet")
    rows = tagging_rows("top", read_runs(tmp_path))[-3:]
    assert [row[0] for row in rows] == ["PET classifier (1000 jets)"] * 2 + ["OmniLearn"]
    assert [row[-1] for row in rows[:2]] == ["this suite, a", "this suite, b"]


def test_repeats_have_one_row_after_they_were_evaluated_together(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path / "top" / f"seed{seed}", METRICS, backbone="runs/jetclass", seed=seed)
    assert len(read_runs(tmp_path)) == 2
    write_results(tmp_path / "top" / "results.json", ABOUT | METRICS | {"trainings": 2})
    (run,) = read_runs(tmp_path)
    assert (run.model, run.source) == ("OmniLearn", "this suite, top, 2 trainings")


def test_the_row_of_atlas_depends_on_the_training_jets_of_the_full_preset(tmp_path):
    metrics = METRICS | {"dataset": "atlas", "data": "public"}
    make_run(tmp_path / "a", metrics, train_jets=4_000_000)
    make_run(tmp_path / "b", metrics, backbone="released.weights.h5")
    make_run(tmp_path / "c", metrics | {"data": "simulated"}, preset="small")
    rows = tagging_rows("atlas", read_runs(tmp_path))[-5:]
    assert [(row[0], row[-1].removeprefix("this suite, ")) for row in rows] == [
        ("PET classifier (4M)", "a"),
        ("OmniLearn (4M)", "no run"),
        ("PET classifier (40M)", "no run"),
        ("OmniLearn", "b"),
        ("PET classifier (small)", "c"),
    ]


def test_one_command_prints_every_table_of_the_papers(tmp_path, capsys):
    write_results(tmp_path / "b" / "results.json", ABOUT | {"model": "closure"})
    main(["--runs", str(tmp_path)])
    out, err = capsys.readouterr()
    for table in range(1, 8):
        assert f"(arXiv:2502.14652, Table {table})" in out
    for table in ("I", "II"):
        assert f"(arXiv:2404.16091v2, Table {table})" in out
    assert "search for a resonance" in out
    assert "Aspen Open Jets to JetClass, QCD: KL divergence (no run)" in out
    assert "1 runs read, of no table: b" in err


def test_the_committed_tables_are_made_from_the_committed_runs(capsys):
    main(["--runs", str(RESULTS)])
    assert capsys.readouterr().out == (RESULTS / "tables.md").read_text()


def test_every_committed_run_has_its_config():
    for run in read_runs(RESULTS):
        has_no_model = run.model in ("inclusive spectrum", "true jets (training split)")
        assert run.about or has_no_model, run.path
        assert run.origin not in run.model


def test_in_latex_every_table_is_a_tabular_and_the_rest_a_comment(capsys):
    main(["--runs", str(RESULTS), "--format", "latex"])
    outside = True
    for line in capsys.readouterr().out.splitlines():
        if line.startswith(r"\begin{tabular}"):
            outside = False
        if outside:
            assert not line or line.startswith("%")
        elif line.endswith(r"\\"):
            assert not re.search(r"(?<!\\)[_^%#$]", re.sub(r"\$[^$]*\$", "", line))
        outside = outside or line == r"\end{tabular}"


def test_a_dataset_without_published_rows_has_a_table_too(tmp_path, capsys):
    write_results(tmp_path / "results.json", ABOUT | METRICS | {"dataset": "jetclass"})
    main(["--runs", str(tmp_path)])
    assert "## JetClass" in capsys.readouterr().out


def test_without_flags_the_runs_of_this_folder_and_the_committed_ones_are_read(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    main([])
    assert "this suite, demo_full/top_finetuned" in capsys.readouterr().out
    make_run(tmp_path / "runs" / "mine", METRICS)
    main([])
    out = capsys.readouterr().out
    assert "this suite, runs/mine" in out
    assert "this suite, results/demo_full/top_finetuned" in out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": 3}, "key 'model'"),
        ({"data": "real"}, "'real', expected public or simulated"),
        ({"auc": 0.97}, "key 'auc' is no result"),
    ],
)
def test_a_results_file_with_a_wrong_key_is_refused_by_name(tmp_path, change, sentence):
    path = tmp_path / "run" / "results.json"
    write_results(path, ABOUT | METRICS | change)
    with pytest.raises(UserError, match=sentence) as refusal:
        tagging_table("top", read_runs(tmp_path))
    assert str(path) in str(refusal.value)


def test_a_config_that_is_no_json_is_refused_by_name(tmp_path):
    make_run(tmp_path / "run", METRICS)
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"run/config\.json: no JSON"):
        read_runs(tmp_path)


def test_a_missing_folder_of_runs_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder of runs"):
        main(["--runs", str(tmp_path / "nowhere")])


def test_latex_has_the_same_rows_and_escapes_special_characters(tmp_path):
    write_results(tmp_path / "top_scratch" / "results.json", ABOUT | METRICS)
    rows = tagging_rows("top", read_runs(tmp_path))
    text = latex(rows)
    assert text.count(r"\\") == len(rows)
    assert r"57.2 $\pm$ 6.1" in text
    assert r"top\_scratch" in text
    assert r"$1/\varepsilon_B$(0.3)" in text
    assert {line.count("&") for line in text.splitlines() if "&" in line} == {len(rows[0]) - 1}
