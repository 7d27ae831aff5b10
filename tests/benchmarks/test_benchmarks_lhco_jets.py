"""Jets of the LHC Olympics, cross-validated: every jet is tested once, without its event."""

import numpy as np
import pytest
from tiny_models import tiny_and_eager
from toy_dijets import write_dijets

from benchmarks import lhco_jets
from omnilearn.anomaly.dijets import Dijets
from omnilearn.backbones import names
from omnilearn.data.catalogue import LHCO
from omnilearn.statistics.results import read_results


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lhco_jets") / "data"
    return write_dijets(folder, {"train": 80, "val": 20, "test": 20}, signal=0.3)


def test_folds_hold_whole_events_with_equal_shares_of_signal(data):
    events = Dijets(LHCO, str(data))
    fold = lhco_jets.folds_of(events, 3, seed=0)
    for kind in (events.signal, ~events.signal):
        counts = np.bincount(fold[kind], minlength=3)
        assert counts.max() - counts.min() <= 1
    assert (fold != lhco_jets.folds_of(events, 3, seed=1)).any()


def test_the_uncertainty_is_that_of_events_whose_jets_go_together(data):
    events = Dijets(LHCO, str(data))
    folds = np.array([lhco_jets.folds_of(events, 3, seed) for seed in (0, 1)])
    rng = np.random.default_rng(0)
    of_event = np.repeat(events.signal + rng.normal(0, 1, len(events.mass)), 2)
    scores = {"OmniLearn": np.array([of_event] * 2), "from scratch": np.array([of_event] * 2)}
    results = lhco_jets.compared(scores, events, folds, seed=0)
    assert set(results) == {"OmniLearn", "from scratch"}  # their difference is zero without error
    label = np.repeat(events.signal, 2).astype(int)
    naive = lhco_jets.auc(of_event, label).error
    assert results["OmniLearn"].error > 1.2 * naive


@pytest.mark.slow
def test_all_models_are_compared_and_a_second_call_trains_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr(lhco_jets, "EPOCHS", 1)
    monkeypatch.setattr(lhco_jets, "REPLICAS", 5)
    flags = ["--data", str(data), "--folds", "3", "--repeats", "1", "--out", str(tmp_path)]
    flags += ["--backbone", names()[0]]
    with tiny_and_eager():
        lhco_jets.main(flags)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("best.h5")}
        lhco_jets.main(flags)
    assert len(before) == 6
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("best.h5")} == before
    record = read_results(tmp_path / "lhco_jets.json")
    assert (record["events"], record["folds"], record["repeats"]) == (120, 3, 1)
    assert record["auc"]["boosted trees"].value > 0.6
    assert {"OmniLearn - from scratch", "OmniLearn - boosted trees"} <= set(record["auc"])
    assert "OmniLearn" in (tmp_path / "lhco_jets.md").read_text()
