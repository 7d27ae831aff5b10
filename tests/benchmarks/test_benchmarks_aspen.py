"""The study of Aspen Open Jets: every cell once, small ones first, tables and figures of all."""

import argparse
import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_jets import write_toy_dataset

from benchmarks import aspen, aspen_summary
from benchmarks.aspen_cells import Cell, cell_of, cell_results, studies
from benchmarks.aspen_cells import metrics as all_metrics
from benchmarks.aspen_tables import aspen_tables
from benchmarks.runs import Run, read_runs
from omnilearn.errors import UserError
from omnilearn.generation.jet_observables import OBSERVABLES
from omnilearn.statistics.histograms import histogram, write_histograms
from omnilearn.statistics.results import Result, read_results, write_results

BETTER = {"tokens_finetuned": 1.0, "tokens_scratch": 3.0, "pet_finetuned": 2.0, "pet_scratch": 4.0}


@pytest.fixture
def scripts(monkeypatch):
    """Commands instead of trainings: metrics fall as D^-0.3, and are lower from a backbone."""
    commands = []

    def executed(command, log, threads, stop):
        commands.append(command)
        if command[1] == "train.py":
            run = Path(value(command, "--runs")) / value(command, "--name")
            weights_folder = run / "tokeniser" if "--tokeniser-only" in command else run
            weights_folder.mkdir(parents=True, exist_ok=True)
            (weights_folder / "best.h5").write_text("weights")
        if command[1] == "evaluate.py":
            results_of(Path(command[2]))

    monkeypatch.setattr(aspen, "execute", executed)
    return commands


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def results_of(run: Path) -> None:
    """Write what evaluate.py writes for a cell with two repeats."""
    class_name, *strategy, jets = run.name.split("_")
    level = BETTER["_".join(strategy)] * int(jets) ** -0.3
    metrics = {
        f"{kind}_{name}": Result(level, 0.1 * level, 200)
        for kind in ("kl", "w1")
        for name in OBSERVABLES
    }
    write_results(
        run / "results.json",
        {
            "dataset": "jetclass",
            "model": run.name,
            "data": "simulated",
            "parameters": 1000,
            "jets_per_second": 50.0,
            "generated": {class_name: metrics},
        },
    )
    rng = np.random.default_rng(0)
    samples = {"truth": rng.normal(10, 2, 300), "generated": rng.normal(11, 2, 300)}
    seed = run / "seed0"
    seed.mkdir(parents=True, exist_ok=True)
    write_histograms(seed, {class_name: {name: histogram(samples) for name in OBSERVABLES}})


@pytest.fixture
def flags(tmp_path):
    write_toy_dataset(tmp_path / "data", "aspen", {"test": 60})
    write_toy_dataset(tmp_path / "data", "jetclass", {"test": 120})
    folders = f"--data {tmp_path}/data --out {tmp_path}/study"
    return f"{folders} --repeats 2 --train-jets 1000,100 --pet-train-jets 100,1000".split()


@pytest.mark.slow
def test_one_command_runs_the_study_and_repeats_nothing(scripts, flags, tmp_path, capsys):
    aspen.main(flags)
    assert [command[1] for command in scripts[:3]] == ["train.py"] * 3
    trained = [command for command in scripts if command[1] == "finetune.py"]
    assert len(trained) == len({value(command, "--name") for command in trained}) == 16
    assert [value(command, "--train-jets") for command in trained] == ["100"] * 8 + ["1000"] * 8
    for command in trained:
        assert value(command, "--val-jets") == value(command, "--train-jets")
        assert value(command, "--patience") == "10"
        assert value(command, "--repeats") == "2"
        is_scratch = "scratch" in value(command, "--name")
        assert ("--backbone" in command) != is_scratch
        assert ("--tokeniser" in command) == (is_scratch and "tokens" in value(command, "--name"))
    study = tmp_path / "study"
    text = (study / "tables.md").read_text()
    assert text in capsys.readouterr().out
    assert "| 100 | QCD | tokens | 10 of 10 | 10 | 0 | 3.00 |" in text
    assert "| gamma | tokens, fine-tuned | 0.300 ± " in text
    assert "| 1000 | PET, from scratch | Tbqq | 1000 | 50.0 |" in text
    stored = read_results(study / "study.json")
    assert stored["data"] == "simulated"
    assert len(stored["cells"]) == 16
    assert all(abs(law["exponent"].value - 0.3) < 1e-6 for law in stored["power_laws"])
    for name in ("figure1_data_sets", "figure1_identities", "figure3_QCD", "figure4_Tbqq"):
        assert (study / f"{name}.png").stat().st_size > 1000
        assert (study / f"{name}.pdf").stat().st_size > 1000
    scripts.clear()
    aspen.main([*flags, "--stage", "cells"])
    assert scripts == []
    aspen.main([*flags, "--stage", "backbones"])
    assert [command[1] for command in scripts] == ["train.py"] * 3  # which resume, or are finished


def test_an_element_of_an_array_is_one_cell(scripts, flags, capsys):
    aspen.main([*flags, "--stage", "backbones"])
    scripts.clear()
    aspen.main([*flags, "--stage", "cells", "--cell", "3"])
    assert [command[1] for command in scripts] == ["finetune.py", "evaluate.py"]
    capsys.readouterr()
    aspen.main([*flags, "--list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16
    assert lines[3] == f"3: {value(scripts[0], '--name')} (done)"
    assert sum("(done)" in line for line in lines) == 1


def test_cells_without_their_backbones_are_refused(scripts, flags):
    with pytest.raises(UserError, match=r"aspen_omnijet/best\.h5 does not exist yet; run first"):
        aspen.main([*flags, "--stage", "cells"])
    with pytest.raises(UserError, match="holds no finished cell"):
        aspen.main([*flags, "--stage", "summary"])


def test_a_study_of_few_cells_has_tables_of_these_alone(scripts, flags, tmp_path, monkeypatch):
    for name in ("transfer_figure", "data_sets_figure"):
        monkeypatch.setattr(aspen_summary, name, lambda *_: None)
    aspen.main([*flags, "--strategies", "tokens_finetuned,tokens_scratch", "--train-jets", "100"])
    text = (tmp_path / "study" / "tables.md").read_text()
    assert "gamma" not in text
    assert "PET" not in text


def test_an_uncertainty_adds_the_spread_of_trainings_and_of_jets(tmp_path):
    def generated(value, error):
        return {"generated": {"QCD": {"kl_tau21": Result(value, error, 100)}}}

    write_results(tmp_path / "results.json", generated(1.0, 0.3))
    for seed, error in ((0, 0.3), (1, 0.5)):
        (tmp_path / f"seed{seed}").mkdir()
        write_results(tmp_path / f"seed{seed}" / "results.json", generated(1.0, error))
    metric = cell_results(tmp_path, "QCD")["generated"]["QCD"]["kl_tau21"]
    assert metric.error == pytest.approx(0.5)
    assert metric.value == 1.0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["--strategies", "gan"], "--strategies has 'gan'"),
        (["--cell", "16"], "--cell is 16; expected 0 to 15"),
        (["--workers", "0"], "--workers is 0"),
        (["--ranks", "0"], "--ranks is 0"),
        (["--train-jets", "ten"], "--train-jets is 'ten'"),
        (["--pet-train-jets", "ten"], "--pet-train-jets is 'ten'"),
    ],
)
def test_flags_without_a_meaning_are_refused(scripts, flags, wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        aspen.main([*flags, *wrong])


def test_a_script_that_fails_is_named_with_its_log(flags, tmp_path):
    stop = threading.Event()
    command = [sys.executable, "-c", "import sys; sys.exit('no such place')"]
    with pytest.raises(UserError, match=r"failed \(no such place\).*one\.log"):
        aspen.execute(command, tmp_path / "one.log", 1, stop)
    assert stop.is_set()


def test_large_cells_and_backbones_take_several_ranks_and_small_cells_one(tmp_path):
    flags = aspen.parsed(["--preset", "full", "--ranks", "4", "--out", str(tmp_path)])
    for command in aspen.backbones(flags).values():
        assert command[1:4] == ["-np", "4", "--gloo"]
        assert command[5] == "train.py"
    few, many = (
        aspen.training(Cell("QCD", "pet_scratch", jets), flags) for jets in (100_000, 1_000_000)
    )
    assert few[1] == "finetune.py"
    assert many[0].endswith("/horovodrun")
    assert many[1:4] == ["-np", "4", "--gloo"]


def test_the_small_preset_limits_epochs_and_batch_size():
    flags = argparse.Namespace(preset="small", out=Path("o"), data=Path("d"), repeats=1, ranks=1)
    for jets in (100, 1000, 10_000):
        command = aspen.training(Cell("QCD", "tokens_scratch", jets), flags)
        epochs, batch = int(value(command, "--epochs")), int(value(command, "--batch"))
        assert epochs * jets <= 40_000
        assert jets // batch >= 10
    assert all_metrics()[0] == "kl_jet_pt"


def test_a_generator_whose_observables_were_not_compared_is_no_cell(tmp_path):
    metrics = {"generated": {"QCD": {"w1m": Result(1.0, 0.1, 50)}}}
    about = {"config": {"classes": "QCD", "train_jets": 100}, "task": "generation"}
    run = Run(tmp_path, "a", {"dataset": "jetclass", "data": "public", **metrics}, about)
    assert cell_of(run) is None
    metrics["generated"]["QCD"] |= {name: Result(1.0, 0.1, 50) for name in all_metrics()}
    assert cell_of(replace(run, metrics=run.metrics | metrics)) == Cell("QCD", "pet_scratch", 100)


def test_a_cell_of_a_run_is_not_repeated_from_a_study_file(tmp_path):
    def cell(folder, backbone, model):
        run = tmp_path / "s" / "runs" / "QCD_tokens_finetuned_100"
        results_of(run)
        run = run.rename(run.with_name(folder))
        config = {"classes": "QCD", "train_jets": 100, "model": model}
        about = {"task": "tokens", "backbone": backbone, "config": config}
        (run / "config.json").write_text(json.dumps(about))

    cell("x", "aspen", "omnijet")
    cell("y", None, "pet")
    cell("z", None, "pet")
    row = {
        "class": "QCD",
        "parameters": 1,
        "jets_per_second": 2.0,
        "training_jets": 100,
        "metrics": {name: Result(1.0, 0.1, 50) for name in all_metrics()},
    }
    write_results(
        tmp_path / "s" / "study.json",
        {
            "data": "simulated",
            "cells": [{**row, "strategy": "pet_scratch"}, {**row, "strategy": "tokens_scratch"}],
        },
    )
    all_studies = studies(read_runs(tmp_path), [tmp_path])
    assert [(study.origin, {cell.strategy for cell in study.cells}) for study in all_studies] == [
        ("s/runs", {"tokens_finetuned", "pet_scratch"}),
        ("s/runs", {"pet_scratch"}),
        ("s/study.json", {"tokens_scratch"}),
    ]
    first = aspen_tables(all_studies)[0]
    assert first.title.endswith("QCD: KL divergence (simulated jets; this suite, s/runs)")
    assert [row[:2] for row in first.rows[1:]] == [
        ["100", "tokens, fine-tuned"],
        ["100", "PET, from scratch"],
        ["-", "tokens, from scratch"],
        ["-", "PET, fine-tuned"],
    ]
