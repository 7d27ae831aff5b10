"""Events with two levels: weights of the caller's, each event in the sample where it belongs."""

import numpy as np
import pytest
from toy_events import SPEC, write_events

from omnilearn.errors import UserError
from omnilearn.unfolding.events import SPLITS, Events

EVENTS = {"train": 90, "val": 40, "test": 30}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return Events(SPEC, write_events(tmp_path_factory.mktemp("events"), EVENTS))


def batches(events, split, level, samples):
    found = list(events.pipeline(split, level, samples, batch=16).ordered())
    return {key: np.concatenate([batch[key] for batch in found])
            for key in ("label", "weight", "index")}  # fmt: skip


def test_events_of_all_splits_stand_one_behind_the_other(events):
    assert len(events.simulated) == sum(EVENTS.values())
    assert [events.rows[split].stop for split in SPLITS] == [90, 130, 160]
    assert events.simulated.sum() == 80
    assert events.passes["gen"].all()
    assert 0.8 < events.passes["reco"].mean() < 1
    assert 0.5 < events.weight.min() < events.weight.max() < 1.5
    missed = ~events.passes["reco"]
    assert (events.observable("reco", "multiplicity")[missed] == 0).all()
    assert (events.observable("gen", "multiplicity") > 0).all()


def test_two_samples_weigh_the_same_and_the_mean_weight_is_one(events):
    simulated = events.simulated
    samples = (events.weight * simulated, 5 * events.weight * ~simulated)
    found = batches(events, "train", "reco", samples)
    both = (found["label"] * found["weight"][:, None]).sum(axis=0)
    assert both[0] == pytest.approx(both[1], rel=1e-5)
    assert found["weight"].mean() == pytest.approx(1.0, rel=1e-5)
    # the labels are those of the files
    assert (found["label"].argmax(axis=1) == ~simulated[found["index"]]).all()
    # events that were missed or have no weight are not read
    there = np.flatnonzero(events.passes["reco"][:90])
    np.testing.assert_array_equal(np.sort(found["index"]), there)


def test_an_event_of_both_samples_is_read_once_with_a_shared_label(events):
    before = events.weight * events.simulated
    after = before * np.linspace(0.5, 3, len(before))
    found = batches(events, "val", "gen", (before, after))
    assert len(found["index"]) == 20 == len(np.unique(found["index"]))
    rows = events.rows["val"].start + found["index"]
    first, second = before[events.rows["val"]].sum(), after[events.rows["val"]].sum()
    odds = found["label"][:, 1] / found["label"][:, 0]
    np.testing.assert_allclose(odds, after[rows] / before[rows] * first / second, rtol=1e-5)


def test_a_negative_weight_stays_negative(events):
    weight = events.weight.copy()
    weight[:3] *= -1
    simulated = events.simulated
    found = batches(events, "train", "gen", (weight * simulated, weight * ~simulated))
    assert (found["weight"][np.isin(found["index"], [0, 1, 2])] < 0).all()
    np.testing.assert_allclose(found["label"].sum(axis=1), 1)


def test_a_sample_without_events_is_refused_with_split_and_level(events):
    with pytest.raises(UserError, match="split val at level gen has a sample without events"):
        events.pipeline("val", "gen", (events.weight, 0 * events.weight), 16)


def test_a_split_without_data_is_refused_by_name(tmp_path):
    folder = write_events(tmp_path, {"train": 8, "val": 1, "test": 8})
    with pytest.raises(UserError, match="no event of the data among the 1 of split val"):
        Events(SPEC, folder)
