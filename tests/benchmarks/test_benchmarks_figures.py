"""Pairs of fine-tuned runs and runs from scratch: their figures and their convergence."""

import json
from dataclasses import replace

import pytest

from benchmarks.figures import FINETUNED, SCRATCH, convergence, main, pairs
from benchmarks.runs import read_runs
from omnilearn.data.catalogue import TOP
from omnilearn.data.declared import FILE_NAME, write_declaration
from omnilearn.errors import UserError
from omnilearn.history import write_history
from omnilearn.statistics.results import Result, write_results

CURVE = {"signal_efficiency": [0.3, 0.5], "rejection": [Result(90, 9, 500), Result(30, 3, 500)]}


@pytest.fixture
def make_run(tmp_path):
    def make(name, backbone, validation, repeat="", dataset="top"):
        run = tmp_path / name / repeat
        lines = [{"training": {"loss": loss}, "validation": {"loss": loss}} for loss in validation]
        write_history(run, lines)
        (run / "config.json").write_text(json.dumps({"backbone": backbone}))
        results = {
            "dataset": dataset,
            "model": name,
            "data": "simulated",
            "trainings": 1,
            "accuracy": Result(0.9, 0.1, 500),
            "curves": {"top": CURVE},
        }
        write_results(tmp_path / name / "results.json", results)
        return tmp_path / name

    return make


def test_convergence_counts_epochs_to_the_best_loss_from_scratch(make_run):
    finetuned = make_run("a", "runs/jetclass", [0.4, 0.29, 0.25])
    scratch = make_run("b", None, [0.6, 0.5, 0.4, 0.3, 0.35])
    assert convergence(finetuned, scratch) == (2, 4)
    assert convergence(make_run("c", "runs/jetclass", [0.5]), scratch) == (None, 4)


def test_runs_are_paired_by_their_backbone_and_repeats_are_one_run(make_run, tmp_path):
    make_run("top_any", "runs/jetclass", [0.3], repeat="seed0")
    make_run("top_other", None, [0.4])
    make_run("qg_alone", None, [0.4], dataset="qg")
    by_name = pairs(read_runs(tmp_path))
    assert {name: set(runs) for name, runs in by_name.items()} == {"top": {FINETUNED, SCRATCH}}
    assert by_name["top"][FINETUNED].name == "top_any"


def test_figures_of_each_pair_are_drawn_and_the_gain_is_printed(make_run, tmp_path, capsys):
    make_run("top_finetuned", "runs/jetclass", [0.4, 0.29])
    make_run("top_scratch", None, [0.6, 0.5, 0.4, 0.3])
    main(["--runs", str(tmp_path), "--out", str(tmp_path / "figures")])
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        "top_loss.png",
        "top_roc.png",
    }
    assert "2 epochs, 2.0 times fewer" in capsys.readouterr().out


def test_a_dataset_of_your_own_is_drawn_as_its_runs_declare_it(make_run, tmp_path):
    for name, backbone in (("a", "small"), ("b", None)):
        run = make_run(name, backbone, [0.4, 0.3], dataset="my_tops")
        write_declaration(run / FILE_NAME, replace(TOP, name="my_tops", title="My tops"))
    main(["--runs", str(tmp_path), "--out", str(tmp_path / "figures")])
    names = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert names == {"my_tops_loss.png", "my_tops_roc.png"}


def test_a_second_run_of_the_same_kind_is_reported_as_not_drawn(make_run, tmp_path, capsys):
    for name in ("a", "b"):
        make_run(name, None, [0.4])
    assert pairs(read_runs(tmp_path)) == {}
    assert f"not drawn: {tmp_path / 'b'}, since {tmp_path / 'a'}" in capsys.readouterr().out


def test_a_folder_without_a_pair_is_an_error(make_run, tmp_path):
    make_run("top_scratch", None, [0.6])
    with pytest.raises(UserError, match="no dataset with an evaluated run from a backbone"):
        main(["--runs", str(tmp_path), "--out", str(tmp_path / "figures")])
