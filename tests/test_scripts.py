"""The three commands, end to end on toy jets, and one sentence for every mistake."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from socket import gethostname

import h5py
import numpy as np
import pytest
from commands import ROOT, output_of, refusal_of, run_process
from commands import python as command
from tiny_models import tiny_and_eager
from tiny_training import ARCHITECTURE
from toy_jets import write_toy_dataset

from omnilearn.data import pipeline
from omnilearn.history import read_history
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint, weight_arrays
from omnilearn.model.pet import PET
from omnilearn.run_lock import EVALUATION
from omnilearn.statistics.results import Result, read_results
from omnilearn.tagging.predictions import read_predictions
from omnilearn.writing_process import started

COMMON = ("--preset", "small", "--epochs", "1", "--batch", "32", "--warmup-epochs", "0")


@pytest.fixture(scope="module", autouse=True)
def tiny_preset():
    """Tiny models without graphs, and batches of one length."""
    with tiny_and_eager() as patch:
        patch.setattr(pipeline, "padded_lengths", lambda slots: (slots,))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the data of both datasets and, after the first commands, runs."""
    folder = tmp_path_factory.mktemp("folder")
    for dataset, train in (("jetclass", 70), ("top", 64)):
        write_toy_dataset(folder / "data", dataset, {"train": train, "val": 40, "test": 50})
    return folder


@pytest.fixture(scope="module")
def folders(folder):
    return ("--data", folder / "data", "--runs", folder / "runs")


@pytest.fixture(scope="module")
def pretrained(folders):
    return output_of(command("train.py jetclass", *folders, *COMMON))


@pytest.fixture(scope="module")
def finetuned(folder, folders, pretrained):
    run = folder / "runs" / "jetclass"
    return output_of(command("finetune.py top --backbone", run, *folders, *COMMON))


@pytest.fixture(scope="module")
def evaluated(folder, finetuned):
    return output_of(command("evaluate.py", folder / "runs" / "top_finetuned", "--batch", 32))


def test_pretraining_writes_all_files_of_a_run(folder, pretrained):
    run = folder / "runs" / "jetclass"
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "history.jsonl", "last.h5", "previous.h5", "best.h5"}
    assert "70 training jets in 2 steps per epoch" in pretrained
    assert len(read_history(run)) == 1
    assert set(read_history(run)[0]["validation"]) >= {"loss", "velocity", "cross_entropy"}


def test_finetuning_reports_the_weights_taken_from_the_backbone(folder, finetuned):
    layers = "classifier.logits.kernel, classifier.logits.bias, generator.cond_label.kernel"
    reason = r"\(trained for QCD, Hbb, .*, Tbl; now QCD, top\)"
    report = rf"jetclass/best\.h5: \d+ of \d+ weights loaded, fresh: {layers} {reason};"
    assert re.search(report, finetuned)
    checkpoint = load_checkpoint(folder / "runs" / "top_finetuned" / "best.h5")
    assert checkpoint.record["dataset"] == "top"
    assert checkpoint.class_names == ("QCD", "top")
    assert checkpoint.model_config.num_classes == 2


def test_the_generator_is_unchanged_where_only_the_classifier_is_trained(folder, finetuned):
    before, after = (
        load_checkpoint(folder / "runs" / run / "best.h5").weights
        for run in ("jetclass", "top_finetuned")
    )
    name = "generator.velocity.kernel"
    np.testing.assert_array_equal(after[name], before[name])
    assert (after["body.embedding.first.kernel"] != before["body.embedding.first.kernel"]).any()


def test_a_run_has_one_evaluation_at_a_time(folder, finetuned):
    run = folder / "runs" / "top_finetuned"
    holder = {"host": gethostname(), "process": 1, "started": started(1), "token": "", "count": 0}
    (run / EVALUATION).write_text(json.dumps(holder))
    error = refusal_of(command("evaluate.py", run))
    assert f"{run} is written to by process 1 on {gethostname()}; wait for its end" in error
    (run / EVALUATION).unlink()


def test_evaluation_gives_numbers_with_uncertainties_and_figures(folder, evaluated):
    run = folder / "runs" / "top_finetuned"
    results = read_results(run / "results.json")
    measured = {name: value for name, value in results.items() if isinstance(value, Result)}
    assert {"accuracy", "auc"} <= measured.keys()
    assert measured["accuracy"].n == 50
    assert re.fullmatch(r".+; ranks: 1", results["machine"])
    for name, result in measured.items():
        assert result.error is not None or result.bound or result.reason, name
        assert f"{name}: {result}" in evaluated
    for figure in ("roc.png", "roc.pdf", "loss.png", "loss.pdf"):
        assert (run / figure).stat().st_size > 1000


@pytest.mark.slow
def test_evaluating_twice_gives_the_same_numbers(folder, evaluated):
    run = folder / "runs" / "top_finetuned"
    before = (run / "results.json").read_bytes()
    result = command("evaluate.py", run, "--batch", 50, "--data", folder / "data")
    assert result == (0, evaluated, "")
    assert (run / "results.json").read_bytes() == before


def test_stored_predictions_suffice_to_evaluate_again(folder, evaluated):
    run = folder / "runs" / "top_finetuned"
    before = (run / "results.json").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "is_file", lambda path: path.name != "best.h5" and path.exists())
        result = command("evaluate.py", run, "--from-predictions", "--data", folder / "nowhere")
    assert result == (0, evaluated, "")
    assert (run / "results.json").read_bytes() == before


def test_ten_classes_have_a_confusion_matrix(folder, pretrained):
    run = folder / "runs" / "jetclass"
    write_toy_dataset(folder / "ten", "jetclass", {"test": 200})
    output_of(command("evaluate.py", run, "--data", folder / "ten"))
    results = read_results(run / "results.json")
    np.testing.assert_allclose(np.sum(results["confusion"], axis=1), 1.0)
    assert (run / "confusion.png").stat().st_size > 1000
    for name in ("results.json", "predictions.h5"):
        (run / name).unlink()  # another test lists the files of pre-training


def test_a_tagger_of_some_classes_is_evaluated_on_these(folder, folders):
    line = "train.py jetclass --mode classifier --name three --classes Tbqq,QCD,Hbb --batch 8"
    output_of(command(line, *folders, *COMMON[:4], *COMMON[6:]))
    run = folder / "runs" / "three"
    output_of(command("evaluate.py", run))
    results = read_results(run / "results.json")
    assert results["classes"] == ["QCD", "Hbb", "Tbqq"]
    assert list(results["curves"]) == ["Hbb", "Tbqq"]
    np.testing.assert_allclose(np.sum(results["confusion"], axis=1), np.ones(3))
    assert set(read_predictions(run / "predictions.h5")[0]["label"]) == {0, 1, 8}
    output_of(command("evaluate.py", run, "--from-predictions"))
    assert read_results(run / "results.json") == results


@pytest.mark.slow
def test_repeated_trainings_are_evaluated_as_mean_and_spread(folder, folders):
    line = "finetune.py top --repeats 2 --name several --mode classifier"
    output_of(command(line, *folders, *COMMON))
    out = output_of(command("evaluate.py", folder / "runs" / "several"))
    several, first, second = (
        read_results(folder / "runs" / "several" / name / "results.json")
        for name in (".", "seed0", "seed1")
    )
    values = [first["auc"].value, second["auc"].value]
    assert several["trainings"] == 2
    assert several["auc"].value == pytest.approx(np.mean(values))
    assert several["auc"].error == pytest.approx(np.std(values, ddof=1))
    logits = [
        read_predictions(folder / "runs" / "several" / name / "predictions.h5")[0]["logits"]
        for name in ("seed0", "seed1")
    ]
    assert not np.array_equal(*logits)
    assert f"auc: {several['auc']}" in out
    out = output_of(command(line, *folders, *COMMON))
    assert out.count("has finished: 1 epochs") == 2


@pytest.mark.slow
def test_a_generator_is_evaluated_by_its_denoising(folder, folders):
    output_of(command("train.py jetclass --mode generator --name denoiser", *folders, *COMMON))
    run = folder / "runs" / "denoiser"
    assert command("evaluate.py", run, "--batch", 50)[::2] == (0, "")
    result = read_results(run / "results.json")["velocity"]
    assert result.n == 50
    assert result.error > 0
    assert command("evaluate.py", run, "--batch", 16)[::2] == (0, "")
    with_other_batches = read_results(run / "results.json")["velocity"]
    assert with_other_batches.value == pytest.approx(result.value, rel=1e-5)


def test_a_finished_training_is_not_repeated_by_the_same_command(folder, folders, pretrained):
    before = (folder / "runs" / "jetclass" / "last.h5").read_bytes()
    out = output_of(command("train.py jetclass", *folders, *COMMON))
    assert "jetclass has finished: 1 epochs" in out
    assert (folder / "runs" / "jetclass" / "last.h5").read_bytes() == before


def test_overwrite_with_another_mistake_keeps_the_old_run(folder, folders, pretrained):
    before = sorted((folder / "runs" / "jetclass").iterdir())
    err = refusal_of(
        command("train.py jetclass", *folders, *COMMON, "--overwrite", "--batch", "71")
    )
    assert "the largest batch that works is 70" in err
    assert sorted((folder / "runs" / "jetclass").iterdir()) == before


def test_released_weights_that_cannot_be_read_are_refused(tmp_path, folders):
    (tmp_path / "x.weights.h5").write_text("not HDF5")
    for name, message in (("x.weights.h5", "cannot be read as HDF5"), ("y.h5", "not found")):
        path = tmp_path / name
        more = (path, *folders[:2], *COMMON, "--runs", tmp_path / "runs")
        err = refusal_of(command("finetune.py top --released-weights", *more))
        assert f"{path} {message}" in err
    assert not (tmp_path / "runs").exists()


def backbone_with_missing_weights(folder: Path) -> Path:
    deeper = replace(ARCHITECTURE, num_layers=ARCHITECTURE.num_layers + 1)
    save_checkpoint(folder / "other.h5", deeper, weight_arrays(PET(ARCHITECTURE)), {})
    return folder / "other.h5"


MISTAKES = {
    "unknown flag": ("train.py jetclass --epoch 3", "unrecognized arguments: --epoch 3"),
    "no number": ("train.py jetclass --epochs three", "invalid int value: 'three'"),
    "two sources": ("finetune.py top --backbone a --released-weights b", "not allowed with"),
    "unknown dataset": ("train.py jets --preset small", "error: unknown dataset 'jets'; the suite"),
    "unknown preset": ("train.py jetclass --preset huge", "no recipe for dataset 'jetclass' with"),
    "one class": ("train.py aspen --preset small --mode all", "error: aspen has one class, data:"),
    "one class of several": (
        "train.py jetclass --preset small --classes Hbb",
        "error: jetclass has one class of --classes, Hbb: nothing to classify",
    ),
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
    "no run": ("evaluate.py {tmp}", "error: .* is not a run directory"),
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
def test_a_mistake_is_one_sentence_and_writes_no_file(name, folder, tmp_path, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    line, message = MISTAKES[name]
    other = backbone_with_missing_weights(folder)
    line = line.format(tmp=tmp_path, data=folder / "data", other=other)
    data = () if "--data" in line or "evaluate" in line else ("--data", folder / "data")
    err = refusal_of(command(line, *data))
    assert re.search(message, err)
    assert "Traceback" not in err
    lines = err.splitlines()
    assert len(lines) == 1 or lines[0].startswith("usage:")
    assert not list(tmp_path.iterdir())


def test_a_run_without_an_epoch_cannot_be_evaluated_yet(folder, pretrained, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "runs/jetclass/config.json").read_bytes())
    err = refusal_of(command("evaluate.py", tmp_path))
    assert re.fullmatch(r"error: .*history\.jsonl not found.*\n", err)


def test_jets_that_are_not_finite_are_reported_with_file_and_row(folder, folders, tmp_path):
    write_toy_dataset(tmp_path / "data", "jetclass", {"train": 40, "val": 40})
    (path,) = (tmp_path / "data").rglob("*train*.h5")
    with h5py.File(path, "a") as file:
        file["jet"][7, 2] = np.nan
    more = ("--runs", tmp_path / "runs", *COMMON, "--batch", "40")  # all jets in one batch
    err = refusal_of(command("train.py jetclass --data", tmp_path / "data", *more))
    assert re.fullmatch(r"error: .*\.h5: 'jet' is nan in row 7 .*\n", err)


@pytest.mark.slow
def test_a_mistake_in_a_shell_is_one_line_and_exit_code_2(tmp_path):
    """In another process: start-up messages of TensorFlow are not shown either."""
    run = run_process(
        [sys.executable, ROOT / "train.py", "jetclass", "--data", tmp_path, "--runs", tmp_path],
        cwd=tmp_path,
    )
    assert run.returncode == 2
    assert re.fullmatch(r"error: no train files of jetclass .*\n", run.stderr)
    assert run.stdout == ""
    assert not list(tmp_path.iterdir())
