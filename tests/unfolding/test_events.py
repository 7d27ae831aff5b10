"""Events with two levels: who learns, who is held out, and weights of the caller's."""

import h5py
import numpy as np
import pytest
from toy_events import SPEC, write_events

from omnilearn.errors import UserError
from omnilearn.unfolding.events import Events, taken

EVENTS = {"train": 90, "val": 40, "test": 30}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return Events(SPEC, write_events(tmp_path_factory.mktemp("events"), EVENTS))


def everyone(events):
    return np.ones(len(events.simulated), bool)


def batches(events, level, samples, rows):
    found = list(events.pipeline(level, samples, rows, batch=16).ordered())
    read = {
        key: np.concatenate([batch[key] for batch in found]) for key in ("label", "weight", "index")
    }
    return read | {"event": events.positions(read["index"])}


def test_events_of_all_splits_stand_one_behind_the_other(events):
    assert len(events.simulated) == sum(EVENTS.values())
    assert [events.within(split).sum() for split in EVENTS] == list(EVENTS.values())
    assert (np.diff(events.split) >= 0).all()
    assert events.simulated.sum() == 80
    assert events.passes["gen"].all()
    assert 0.8 < events.passes["reco"].mean() < 1
    assert 0.5 < events.weight.min() < events.weight.max() < 1.5
    missed = ~events.passes["reco"]
    assert (events.observable("reco", "multiplicity")[missed] == 0).all()
    assert (events.observable("gen", "multiplicity") > 0).all()


def test_fewer_training_events_are_drawn_from_both_samples_and_other_splits_stay_whole(tmp_path):
    folder = write_events(tmp_path, EVENTS)
    whole, part = Events(SPEC, folder), Events(SPEC, folder, limit=20)
    assert [part.within(split).sum() for split in EVENTS] == [20, 40, 30]
    assert (part.simulated & part.within("train")).sum() == 10
    np.testing.assert_array_equal(part.weight, whole.weight[part.kept])
    values = [one.observable("gen", "jet_mass") for one in (part, whole)]
    np.testing.assert_array_equal(values[0], values[1][part.kept])
    owner, row, inputs = part.places()
    assert [one["events"] for one in inputs] == list(EVENTS.values())
    for number, one in enumerate(inputs):
        with h5py.File(one["file"]) as file:
            stored = file["weight"][:][row[owner == number]]
        np.testing.assert_allclose(part.weight[owner == number], stored)
    samples = (part.weight * part.simulated, part.weight * ~part.simulated)
    found = batches(part, "gen", samples, everyone(part))
    np.testing.assert_array_equal(np.sort(found["event"]), np.arange(90))
    np.testing.assert_array_equal(found["label"][:, 0] == 1, part.simulated[found["event"]])
    assert (Events(SPEC, folder, limit=20, seed=1).kept != part.kept).any()
    assert Events(SPEC, folder, limit=500).kept.all()


def test_a_limit_takes_both_samples_from_files_that_are_sorted_by_them():
    label = np.repeat([0, 1, 0, 1], [400, 200, 200, 100])  # the last two are of other splits
    training = np.arange(900) < 600
    kept = taken(label, [400, 200], 60, seed=0)
    assert kept[~training].all()
    assert [(kept & training & (label == kind)).sum() for kind in (0, 1)] == [40, 20]
    assert not np.array_equal(kept, taken(label, [400, 200], 60, seed=1))


def test_no_classifier_learns_from_or_is_stopped_by_an_event_that_it_weighs(events):
    weighed = np.zeros(len(events.simulated), int)
    for fold in range(events.folds):
        learning, stopping, own = events.roles(fold)
        assert not (learning & stopping).any()
        assert not ((learning | stopping) & own).any()
        assert learning.sum() > stopping.sum() > 0
        assert (events.within("val") | ~stopping).all()
        weighed += own
    assert (weighed == 1).all()


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_fold_has_as_many_events_of_each_sample_and_split(tmp_path, folds):
    events = Events(SPEC, write_events(tmp_path, EVENTS), folds=folds)
    for split in EVENTS:
        for kind in (events.simulated, ~events.simulated):
            counts = np.bincount(events.fold[kind & events.within(split)], minlength=folds)
            assert np.ptp(counts) <= 1


def test_folds_are_drawn_by_the_seed(tmp_path):
    folder = write_events(tmp_path, EVENTS)
    one, same, other = (Events(SPEC, folder, seed=seed).fold for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_the_truth_is_data_of_the_test_split_that_no_classifier_sees(events):
    np.testing.assert_array_equal(events.truth, events.within("test") & ~events.simulated)
    for fold in range(events.folds):
        learning, stopping, _ = events.roles(fold)
        assert not ((learning | stopping) & events.truth).any()
        assert not (learning & events.unseen).any()
    # its simulated events do take part
    assert (events.roles(0)[0] & events.within("test") & events.simulated).any()


def test_data_without_a_particle_level_are_unfolded_whole(tmp_path):
    events = Events(SPEC, write_events(tmp_path, EVENTS, truth=False))
    assert not events.truth.any()
    data = events.within("test") & ~events.simulated
    assert (events.roles(0)[0] | events.roles(1)[0])[data].all()
    np.testing.assert_array_equal(events.unseen, events.within("val") & ~events.simulated)


def test_a_bootstrap_replica_draws_both_samples_and_draws_them_alike_again(events):
    simulation, data = events.resampled(0, 3)
    assert (len(simulation), len(data)) == (80, 80)
    for counts in (simulation, data):
        assert counts.mean() == pytest.approx(1.0, abs=0.4)
        assert counts.var() == pytest.approx(1.0, abs=0.6)
    for first, second in zip((simulation, data), events.resampled(0, 3), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (events.resampled(0, 4)[0] != simulation).any()


def test_two_samples_weigh_the_same_and_the_mean_weight_is_one(events):
    simulated, rows = events.simulated, events.within("train")
    samples = (events.weight * simulated, 5 * events.weight * ~simulated)
    found = batches(events, "reco", samples, rows)
    both = (found["label"] * found["weight"][:, None]).sum(axis=0)
    assert both[0] == pytest.approx(both[1], rel=1e-5)
    assert found["weight"].mean() == pytest.approx(1.0, rel=1e-5)
    # the labels are those of the files
    assert (found["label"].argmax(axis=1) == ~simulated[found["event"]]).all()
    # events that were missed or have no weight are not read
    there = np.flatnonzero(events.passes["reco"] & rows)
    np.testing.assert_array_equal(np.sort(found["event"]), there)


def test_an_event_of_both_samples_is_read_once_with_a_shared_label(events):
    before = events.weight * events.simulated
    after = before * np.linspace(0.5, 3, len(before))
    rows = events.within("val")
    found = batches(events, "gen", (before, after), rows)
    assert len(found["index"]) == 20 == len(np.unique(found["index"]))
    event = found["event"]
    odds = found["label"][:, 1] / found["label"][:, 0]
    expected = after[event] / before[event] * before[rows].sum() / after[rows].sum()
    np.testing.assert_allclose(odds, expected, rtol=1e-5)


def test_a_negative_weight_stays_negative(events):
    weight = events.weight.copy()
    weight[:3] *= -1
    simulated = events.simulated
    samples = (weight * simulated, weight * ~simulated)
    found = batches(events, "gen", samples, events.within("train"))
    assert (found["weight"][np.isin(found["event"], [0, 1, 2])] < 0).all()
    np.testing.assert_allclose(found["label"].sum(axis=1), 1)


def test_a_sample_without_events_is_refused_with_level_and_sums(events):
    with pytest.raises(UserError, match=r"of 160 events at level gen .* add up to .* and 0;"):
        events.pipeline("gen", (events.weight, 0 * events.weight), everyone(events), 16)


def test_a_split_without_data_is_refused_by_name(tmp_path):
    folder = write_events(tmp_path, {"train": 8, "val": 1, "test": 8})
    with pytest.raises(UserError, match="no event of the data among the 1 of split val"):
        Events(SPEC, folder)
