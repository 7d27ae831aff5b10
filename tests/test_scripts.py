"""The three commands, end to end on toy jets, and every mistake answered by one sentence."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import ROOT, TINY
from commands import python as command
from tiny_training import ARCHITECTURE
from toy_jets import write_toy_dataset

from omnilearn.data import pipeline
from omnilearn.history import read_history
from omnilearn.model.checkpoint import load_checkpoint, model_weights, save_checkpoint
from omnilearn.model.pet import PET
from omnilearn.recipes import ARCHITECTURES
from omnilearn.statistics.results import Result, read_results
from omnilearn.tagging.predictions import read_predictions

COMMON = ("--preset", "small", "--epochs", "1", "--batch", "32", "--warmup-epochs", "0")


@pytest.fixture(scope="module", autouse=True)
def tiny_preset():
    """The small preset even smaller, and batches of one length, so that few graphs are compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "small", TINY)
        patch.setattr(pipeline, "padded_lengths", lambda slots: (slots,))
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data of both datasets and, after the first commands, runs."""
    folder = tmp_path_factory.mktemp("place")
    for dataset, train in (("jetclass", 70), ("top", 64)):
        write_toy_dataset(folder / "data", dataset, {"train": train, "val": 40, "test": 50})
    return folder


@pytest.fixture(scope="module")
def where(place):
    return ("--data", place / "data", "--runs", place / "runs")


@pytest.fixture(scope="module")
def pretrained(where):
    code, out, err = command("train.py jetclass", *where, *COMMON)
    assert (code, err) == (0, "")
    return out


@pytest.fixture(scope="module")
def finetuned(place, where, pretrained):
    run = place / "runs" / "jetclass"
    code, out, err = command("finetune.py top --backbone", run, *where, *COMMON)
    assert (code, err) == (0, "")
    return out


@pytest.fixture(scope="module")
def evaluated(place, finetuned):
    code, out, err = command("evaluate.py", place / "runs" / "top_finetuned", "--batch", 32)
    assert (code, err) == (0, "")
    return out


def test_pretraining_leaves_a_whole_run(place, pretrained):
    run = place / "runs" / "jetclass"
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "history.jsonl", "last.h5", "previous.h5", "best.h5"}
    assert "70 training jets in 2 steps per epoch" in pretrained
    assert len(read_history(run)) == 1
    assert set(read_history(run)[0]["validation"]) >= {"loss", "velocity", "cross_entropy"}


def test_finetuning_says_what_it_took_from_the_backbone(place, finetuned):
    fresh = "classifier.logits.kernel, classifier.logits.bias, generator.cond_label.kernel"
    why = r"\(trained for QCD, Hbb, .*, Tbl; now QCD, top\)"
    report = rf"jetclass/best\.h5: \d+ of \d+ weights loaded, fresh: {fresh} {why};"
    assert re.search(report, finetuned)
    found = load_checkpoint(place / "runs" / "top_finetuned" / "best.h5")
    assert found.record["dataset"] == "top"
    assert found.class_names == ("QCD", "top")
    assert found.model_config.num_classes == 2


def test_generator_stays_as_it_was_where_only_the_classifier_is_trained(place, finetuned):
    before, after = (
        load_checkpoint(place / "runs" / run / "best.h5").weights
        for run in ("jetclass", "top_finetuned")
    )
    name = "generator.velocity.kernel"
    np.testing.assert_array_equal(after[name], before[name])
    assert (after["body.embedding.first.kernel"] != before["body.embedding.first.kernel"]).any()


def test_evaluation_gives_numbers_with_uncertainties_and_figures(place, evaluated):
    run = place / "runs" / "top_finetuned"
    results = read_results(run / "results.json")
    measured = {name: found for name, found in results.items() if isinstance(found, Result)}
    assert {"accuracy", "auc"} <= measured.keys()
    assert measured["accuracy"].n == 50
    for name, result in measured.items():
        assert result.error is not None or result.bound or result.reason, name
        assert f"{name}: {result}" in evaluated
    for figure in ("roc.png", "roc.pdf", "loss.png", "loss.pdf"):
        assert (run / figure).stat().st_size > 1000


def test_evaluating_twice_gives_the_same_numbers(place, evaluated):
    run = place / "runs" / "top_finetuned"
    before = (run / "results.json").read_bytes()
    again = command("evaluate.py", run, "--batch", 50, "--data", place / "data")
    assert again == (0, evaluated, "")
    assert (run / "results.json").read_bytes() == before


def test_predictions_are_enough_to_evaluate_again(place, evaluated):
    run = place / "runs" / "top_finetuned"
    before = (run / "results.json").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "is_file", lambda path: path.name != "best.h5" and path.exists())
        again = command("evaluate.py", run, "--from-predictions", "--data", place / "nowhere")
    assert again == (0, evaluated, "")
    assert (run / "results.json").read_bytes() == before


def test_ten_classes_have_a_confusion_matrix(place, pretrained):
    run = place / "runs" / "jetclass"
    write_toy_dataset(place / "ten", "jetclass", {"test": 200})
    code, _, err = command("evaluate.py", run, "--data", place / "ten")
    assert (code, err) == (0, "")
    results = read_results(run / "results.json")
    np.testing.assert_allclose(np.sum(results["confusion"], axis=1), 1.0)
    assert (run / "confusion.png").stat().st_size > 1000
    for name in ("results.json", "predictions.h5"):
        (run / name).unlink()  # what pre-training leaves is looked at elsewhere


@pytest.mark.slow
def test_repeated_trainings_are_evaluated_as_mean_and_spread(place, where):
    line = "finetune.py top --repeats 2 --name several --mode classifier"
    code, _, err = command(line, *where, *COMMON)
    assert (code, err) == (0, "")
    code, out, err = command("evaluate.py", place / "runs" / "several")
    assert (code, err) == (0, "")
    several, first, second = (
        read_results(place / "runs" / "several" / name / "results.json")
        for name in (".", "seed0", "seed1")
    )
    both = [first["auc"].value, second["auc"].value]
    assert several["trainings"] == 2
    assert several["auc"].value == pytest.approx(np.mean(both))
    assert several["auc"].error == pytest.approx(np.std(both, ddof=1))
    logits = [
        read_predictions(place / "runs" / "several" / name / "predictions.h5")[0]["logits"]
        for name in ("seed0", "seed1")
    ]
    assert not np.array_equal(*logits)
    assert f"auc: {several['auc']}" in out
    code, out, _ = command(line, *where, *COMMON)
    assert code == 0
    assert out.count("has finished: 1 epochs") == 2


def test_a_generator_is_evaluated_by_its_denoising(place, where):
    code, _, err = command("train.py jetclass --mode generator --name denoiser", *where, *COMMON)
    assert (code, err) == (0, "")
    run = place / "runs" / "denoiser"
    assert command("evaluate.py", run, "--batch", 50)[::2] == (0, "")
    found = read_results(run / "results.json")["velocity"]
    assert found.n == 50
    assert found.error > 0
    assert command("evaluate.py", run, "--batch", 16)[::2] == (0, "")
    again = read_results(run / "results.json")["velocity"]
    assert again.value == pytest.approx(found.value, rel=1e-5)  # whatever the batches


def test_the_same_command_twice_has_nothing_left_to_do(place, where, pretrained):
    before = (place / "runs" / "jetclass" / "last.h5").read_bytes()
    code, out, err = command("train.py jetclass", *where, *COMMON)
    assert (code, err) == (0, "")
    assert "jetclass has finished: 1 epochs" in out
    assert (place / "runs" / "jetclass" / "last.h5").read_bytes() == before


def test_other_settings_under_the_same_name_are_refused(place, where, pretrained):
    before = (place / "runs" / "jetclass" / "config.json").read_bytes()
    code, _, err = command("train.py jetclass", *where, *COMMON, "--lr", "0.5")
    assert code == 2
    assert re.fullmatch(r"error: .*lr 0\.0003 \(now 0\.5\).*--overwrite\n", err)
    assert (place / "runs" / "jetclass" / "config.json").read_bytes() == before


def test_overwrite_with_a_mistake_behind_it_keeps_the_old_run(place, where, pretrained):
    before = sorted((place / "runs" / "jetclass").iterdir())
    code, _, err = command("train.py jetclass", *where, *COMMON, "--overwrite", "--batch", "71")
    assert code == 2
    assert "the largest batch that works is 70" in err
    assert sorted((place / "runs" / "jetclass").iterdir()) == before


def test_released_weights_that_cannot_be_read_are_refused(tmp_path, where):
    (tmp_path / "x.weights.h5").write_text("not HDF5")
    for name, message in (("x.weights.h5", "cannot be read as HDF5"), ("y.h5", "not found")):
        path = tmp_path / name
        code, _, err = command(
            "finetune.py top --released-weights",
            path,
            *where[:2],
            *COMMON,
            "--runs",
            tmp_path / "runs",
        )
        assert code == 2
        assert f"{path} {message}" in err
    assert not (tmp_path / "runs").exists()


def backbone_of_other_weights(folder: Path) -> Path:
    weights = {name: np.array(weight) for name, weight in model_weights(PET(ARCHITECTURE)).items()}
    deeper = replace(ARCHITECTURE, num_layers=ARCHITECTURE.num_layers + 1)
    save_checkpoint(folder / "other.h5", deeper, weights, {})
    return folder / "other.h5"


MISTAKES = {
    "unknown flag": ("train.py jetclass --epoch 3", "unrecognized arguments: --epoch 3"),
    "no number": ("train.py jetclass --epochs three", "invalid int value: 'three'"),
    "two sources": ("finetune.py top --backbone a --released-weights b", "not allowed with"),
    "unknown dataset": ("train.py jets --preset small", "error: unknown dataset 'jets'; the suite"),
    "unknown preset": ("train.py jetclass --preset huge", "no recipe for dataset 'jetclass' with"),
    "one class": ("train.py aspen --preset small --mode all", "error: aspen has one class, data:"),
    "no batch": ("train.py jetclass --batch 0", "error: --batch is 0; expected 1 or more"),
    "bad setting": ("train.py jetclass --lr -1", "error: --lr is -1.0; expected above 0"),
    "missing data": (
        "train.py jetclass --preset small --data {tmp}/nowhere",
        "error: no train files of jetclass .*python -m preprocessing jetclass",
    ),
    "missing backbone": (
        "finetune.py top --preset small --backbone {tmp}/runs/jetclass",
        "error: .*runs/jetclass not found",
    ),
    "no run": ("evaluate.py {tmp}", "error: .* is no run directory"),
    "runs below a file": (
        "train.py jetclass --preset small --batch 8 --runs {data}/../file",
        "error: .*/file/jetclass cannot be made .*--runs",
    ),
    "runs that cannot be": (
        "train.py jetclass --preset small --batch 8 --runs /proc/runs",
        "error: /proc/runs/jetclass cannot be made .*--runs",
    ),
    "other backbone": (
        "finetune.py top --preset small --backbone {other}",
        "error: .*other.h5: weight .* is missing; the file was made by",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(name, place, tmp_path, monkeypatch):
    (place / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    line, message = MISTAKES[name]
    other = backbone_of_other_weights(place)
    line = line.format(tmp=tmp_path, data=place / "data", other=other)
    data = () if "--data" in line or "evaluate" in line else ("--data", place / "data")
    code, _, err = command(line, *data)
    assert code == 2
    assert re.search(message, err)
    assert "Traceback" not in err
    said = err.splitlines()
    assert len(said) == 1 or said[0].startswith("usage:")
    assert not list(tmp_path.iterdir())


def test_a_run_without_an_epoch_cannot_be_evaluated_yet(place, pretrained, tmp_path):
    (tmp_path / "config.json").write_bytes((place / "runs/jetclass/config.json").read_bytes())
    code, _, err = command("evaluate.py", tmp_path)
    assert code == 2
    assert re.fullmatch(r"error: .*history\.jsonl not found.*\n", err)


def test_jets_that_are_no_numbers_are_told_by_file_and_row(place, where, tmp_path):
    write_toy_dataset(tmp_path / "data", "jetclass", {"train": 40, "val": 40})
    (path,) = (tmp_path / "data").rglob("*train*.h5")
    with h5py.File(path, "a") as file:
        file["jet"][7, 2] = np.nan
    more = ("--runs", tmp_path / "runs", *COMMON, "--batch", "40")  # all jets in one batch
    code, _, err = command("train.py jetclass --data", tmp_path / "data", *more)
    assert code == 2
    assert re.fullmatch(r"error: .*\.h5: 'jet' is nan in row 7 .*\n", err)


def test_the_shell_sees_one_line_and_exit_code_2(tmp_path):
    """In a process of its own: what TensorFlow says while it loads is not shown either."""
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "jetclass", "--data", tmp_path, "--runs", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"error: no train files of jetclass .*\n", done.stderr)
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())
