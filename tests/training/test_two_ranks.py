"""Two ranks under horovodrun train with the same weights, which equal those of one process."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run_process
from horovodrun import LAUNCHER, NEEDS_HOROVOD
from tiny_training import write_jets
from toy_events import write_events
from toy_jets import write_toy_dataset

from omnilearn.model.checkpoint import load_checkpoint

WORKER = Path(__file__).parents[1] / "two_ranks_worker.py"
pytestmark = NEEDS_HOROVOD


def launched(command: list, out: Path, data: Path) -> list[dict]:
    """The report of every rank with its arrays."""
    out.mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{WORKER.parent}:{WORKER.parent.parent}"}
    process = run_process([*command, sys.executable, WORKER, data, out], env=environment, cwd=out)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    reports = []
    for path in sorted(out.glob("rank*.json")):
        with np.load(path.with_suffix(".npz")) as arrays:
            reports.append({**json.loads(path.read_text()), "out": out, **arrays})
    return reports


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    # numbers that two ranks and batches of 8 do not divide
    write_jets(folder / "data", train=53, val=27, test=37, few=15)
    write_events(folder / "data", {"train": 51, "val": 35, "test": 13})
    return folder


@pytest.fixture(scope="module")
def two(folder):
    reports = launched([LAUNCHER, "-np", "2", "--gloo"], folder / "two", folder / "data")
    assert [report["size"] for report in reports] == [2, 2]
    return reports


@pytest.fixture(scope="module")
def single(folder):
    (report,) = launched([], folder / "single", folder / "data")
    assert report["size"] == 1
    return report


def group(report: dict, name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in report.items() if key.startswith(f"{name}/")}


def test_both_ranks_have_the_same_weights_after_training(two):
    for name in ("descent", "weights"):
        first, second = (group(report, name) for report in two)
        np.testing.assert_equal(first, second)


def test_ranks_have_different_numbers_of_constituents(two):
    longer, shorter = (np.array(report["constituents"]) for report in two)
    assert (longer > 1.2 * shorter).all()


def test_two_ranks_descend_as_one_process_on_their_jets_together(single, two):
    np.testing.assert_allclose(two[0]["losses"], single["losses"], rtol=1e-5)
    for key, array in group(single, "descent").items():
        np.testing.assert_allclose(two[0][key], array, rtol=2e-4, atol=2e-5, err_msg=key)
    assert single["losses"][-1] != pytest.approx(single["losses"][0], rel=1e-2)


def test_evaluation_has_every_jet_once_on_any_number_of_ranks(single, two):
    for report in two:
        np.testing.assert_array_equal(report["predicted/label"], single["predicted/label"])
        np.testing.assert_allclose(
            report["predicted/logits"], single["predicted/logits"], atol=1e-6, rtol=1e-5
        )
    assert len(np.unique(single["predicted/logits"], axis=0)) == 37


def test_weights_of_an_unfolding_do_not_depend_on_the_number_of_ranks(single, two):
    for report in two:
        np.testing.assert_allclose(report["unfolding/pull"], single["unfolding/pull"], rtol=1e-5)
    assert np.std(single["unfolding/pull"]) > 1e-4


def test_a_repeated_unfolding_takes_as_many_jets_per_step_as_the_nominal_one(single, two):
    for report in (single, *two):
        nominal, *repeated = report["jets_of_trainings"]
        assert repeated == [nominal] * 2
    ((steps, jets),) = two[0]["jets_of_trainings"][0]
    assert jets == 16 * steps  # batches of 8 on two ranks


def test_within_single_process_every_rank_is_the_only_one(two):
    for report in two:
        assert report["single_process"] == [0, 1, 1]


def test_both_ranks_stop_early_together(two):
    for report in two:
        assert (report["epochs"], report["best_epoch"]) == (2, 1)  # patience is one epoch
    assert two[0]["terms"] == two[1]["terms"]


def test_only_one_rank_writes_the_run(two):
    run = two[0]["out"] / "run2"
    files = {"last.h5", "previous.h5", "best.h5", "history.jsonl"}
    assert {path.name for path in run.iterdir()} == files
    stored = load_checkpoint(run / "last.h5")
    assert stored.record["ranks"] == 2
    for name, array in stored.weights.items():
        np.testing.assert_array_equal(two[1][f"weights/{name}"], array)


def test_a_signal_to_one_rank_stops_both_at_the_same_step(two):
    assert [report["ends"]["signal"] for report in two] == [
        [1, "asked to stop (another rank was) at epoch 1, step 2"],
        [1, "asked to stop (SIGTERM) at epoch 1, step 2"],
    ]


def test_a_bad_jet_of_one_rank_stops_both_at_the_same_step_and_is_written(two):
    ends = [report["ends"]["not_a_number"] for report in two]
    assert ends[0] == ends[1]
    assert ends[0][0] == 1
    assert "the loss is nan at epoch 1, step 2" in ends[0][1]
    (path,) = (two[0]["out"] / "resumed2").glob("not_a_number*")
    assert path.name == "not_a_number.epoch1.step2.0.rank1.npz"
    with np.load(path, allow_pickle=False) as stored:
        assert np.isnan(stored["constituents"]).any(axis=(1, 2)).sum() == 1


def test_an_interrupted_run_of_two_ranks_equals_an_uninterrupted_one_bit_for_bit(two):
    for report in two:
        expected, resumed = group(report, "weights"), group(report, "resumed")
        assert len(resumed) == len(expected) > 0
        for key, array in expected.items():
            np.testing.assert_array_equal(resumed[f"resumed/{key.partition('/')[2]}"], array)


def test_too_few_jets_are_refused_on_all_ranks_before_training(two):
    messages = [report["refused"] for report in two]
    assert messages[0] == messages[1]
    assert "15 jets on 2 ranks are 7 per rank, less than one batch of 8" in messages[0]
    assert "the largest batch that works is 7" in messages[0]


def test_arrays_of_ranks_are_combined(two):
    for report in two:
        assert report["allgather"] == [0, 1, 2]  # none from rank 0, three from rank 1
        assert report["broadcast"] == 5
        assert report["total"] == 3


def test_the_command_ends_on_all_ranks_when_one_has_no_full_batch(tmp_path):
    write_toy_dataset(tmp_path / "data", "jetclass", {"train": 15, "val": 4})
    script = [sys.executable, WORKER.parent.parent / "train.py", "jetclass", "--batch", "8"]
    process = run_process(
        [LAUNCHER, "-np", "2", "--gloo", *script, "--data", tmp_path / "data"], cwd=tmp_path
    )
    assert process.returncode != 0
    assert "<stderr>:error: jetclass: 15 jets on 2 ranks are 7 per rank" in process.stderr
    assert ">:Traceback" not in process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
