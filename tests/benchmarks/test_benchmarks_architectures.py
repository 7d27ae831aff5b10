"""Architectures at equal training time: sizes from a text, jets from a rate, nothing done twice."""

import argparse

import pytest
from tiny_models import tiny_and_eager
from toy_jets import write_toy_dataset

from benchmarks import architectures
from omnilearn.config import read_config
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results


def test_a_candidate_has_its_channels_and_blocks():
    config = architectures.candidates("16x3,8x2")["16x3"]
    assert (config.projection_dim, config.num_layers, config.num_classes) == (16, 3, 10)


@pytest.mark.parametrize("text", ["64", "64x", "64 4", "0x4"])
def test_another_text_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected CHANNELSxBLOCKS, like 64x4"):
        architectures.candidate(text)


def test_minutes_without_one_batch_per_epoch_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(architectures, "jets_per_second", lambda config, rounds: 1.0)
    flags = ["--candidates", "8x1", "--minutes", "1", "--out", str(tmp_path)]
    with pytest.raises(UserError, match="60 jets of 8x1, less than 8 epochs of one batch of 64"):
        architectures.main(flags)


@pytest.mark.slow
def test_slower_candidates_see_fewer_jets_and_a_second_call_trains_nothing(tmp_path, monkeypatch):
    rates = {1: 20.0, 2: 10.0}
    monkeypatch.setattr(
        architectures, "jets_per_second", lambda config, rounds: rates[config.num_layers]
    )
    monkeypatch.setattr(architectures, "EPOCHS", 2)
    write_toy_dataset(tmp_path / "data", "jetclass", {"train": 640, "val": 64, "test": 200})
    flags = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--val-jets", "64"]
    flags += ["--candidates", "8x1,8x2", "--minutes", "0.5"]
    with tiny_and_eager():
        architectures.main(flags)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("best.h5")}
        architectures.main(flags)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("best.h5")} == before
    assert read_config(tmp_path / "out/runs/8x2/config.json")[0].jets_per_epoch == 150
    record = read_results(tmp_path / "out" / "architectures.json")
    first, second = record["candidates"]
    assert (first["jets_seen"], second["jets_seen"]) == (2 * 256, 2 * 128)
    assert second["weights"] > first["weights"]
    assert "8x1" in (tmp_path / "out" / "architectures.md").read_text()
    assert (tmp_path / "out" / "architectures.png").is_file()
