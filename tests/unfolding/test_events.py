"""Events with two levels: splits, folds, held-out events, and batches of weighted samples."""

import h5py
import numpy as np
import pytest
from toy_events import SPEC, write_events

from omnilearn.errors import UserError
from omnilearn.training.random_streams import Stream
from omnilearn.unfolding.events import Events, select_events

EVENTS = {"train": 90, "val": 40, "test": 30}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return Events(SPEC, write_events(tmp_path_factory.mktemp("events"), EVENTS))


def all_events(events):
    return np.ones(len(events.simulated), bool)


def batches(events, level, samples, rows):
    parts = list(events.pipeline(level, samples, rows, batch=16).ordered())
    columns = {
        key: np.concatenate([part[key] for part in parts]) for key in ("label", "weight", "index")
    }
    return columns | {"event": events.positions(columns["index"])}


def test_events_of_all_splits_are_in_sequence(events):
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


def test_a_limit_selects_training_events_of_both_samples_and_leaves_other_splits(tmp_path):
    folder = write_events(tmp_path, EVENTS)
    everything, limited = Events(SPEC, folder), Events(SPEC, folder, limit=20)
    assert [limited.within(split).sum() for split in EVENTS] == [20, 40, 30]
    assert (limited.simulated & limited.within("train")).sum() == 10
    np.testing.assert_array_equal(limited.weight, everything.weight[limited.selected])
    mass, all_masses = (each.observable("gen", "jet_mass") for each in (limited, everything))
    np.testing.assert_array_equal(mass, all_masses[limited.selected])
    file_index, row, inputs = limited.file_rows()
    assert [item["events"] for item in inputs] == list(EVENTS.values())
    for index, item in enumerate(inputs):
        with h5py.File(item["file"]) as file:
            stored = file["weight"][:][row[file_index == index]]
        np.testing.assert_allclose(limited.weight[file_index == index], stored)
    samples = (limited.weight * limited.simulated, limited.weight * ~limited.simulated)
    columns = batches(limited, "gen", samples, all_events(limited))
    np.testing.assert_array_equal(np.sort(columns["event"]), np.arange(90))
    is_simulated = columns["label"][:, 0] == 1
    np.testing.assert_array_equal(is_simulated, limited.simulated[columns["event"]])
    assert (Events(SPEC, folder, limit=20, seed=1).selected != limited.selected).any()
    assert Events(SPEC, folder, limit=500).selected.all()


def test_a_limit_selects_both_samples_from_files_sorted_by_sample():
    label = np.repeat([0, 1, 0, 1], [400, 200, 200, 100])  # the last two are of other splits
    training = np.arange(900) < 600
    selected = select_events(label, [400, 200], 60, seed=0)
    assert selected[~training].all()
    assert [(selected & training & (label == sample)).sum() for sample in (0, 1)] == [40, 20]
    assert not np.array_equal(selected, select_events(label, [400, 200], 60, seed=1))


def test_no_classifier_is_trained_or_stopped_by_events_whose_ratios_it_predicts(events):
    counts = np.zeros(len(events.simulated), int)
    for fold in range(events.folds):
        training, validation, predicted = events.roles(fold)
        assert not (training & validation).any()
        assert not ((training | validation) & predicted).any()
        assert training.sum() > validation.sum() > 0
        assert (events.within("val") | ~validation).all()
        counts += predicted
    assert (counts == 1).all()


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_all_folds_have_equally_many_events_of_each_sample_and_split(tmp_path, folds):
    events = Events(SPEC, write_events(tmp_path, EVENTS), folds=folds)
    for split in EVENTS:
        for sample in (events.simulated, ~events.simulated):
            counts = np.bincount(events.fold[sample & events.within(split)], minlength=folds)
            assert np.ptp(counts) <= 1


def test_folds_depend_on_the_seed(tmp_path):
    folder = write_events(tmp_path, EVENTS)
    first, same_seed, other_seed = (Events(SPEC, folder, seed=seed).fold for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same_seed)
    assert (first != other_seed).any()


def test_no_classifier_is_trained_on_the_truth_which_is_data_of_the_test_split(events):
    np.testing.assert_array_equal(events.truth, events.within("test") & ~events.simulated)
    for fold in range(events.folds):
        training, validation, _ = events.roles(fold)
        assert not ((training | validation) & events.truth).any()
        assert not (training & events.held_out).any()
    # simulated events of the test split are for training
    assert (events.roles(0)[0] & events.within("test") & events.simulated).any()


def test_all_data_are_unfolded_if_they_have_no_particle_level(tmp_path):
    events = Events(SPEC, write_events(tmp_path, EVENTS, truth=False))
    assert not events.truth.any()
    data = events.within("test") & ~events.simulated
    assert (events.roles(0)[0] | events.roles(1)[0])[data].all()
    np.testing.assert_array_equal(events.held_out, events.within("val") & ~events.simulated)


def test_a_bootstrap_replica_resamples_both_samples_reproducibly(events):
    simulation, data = events.resampled(0, 3)
    assert (len(simulation), len(data)) == (80, 80)
    for counts in (simulation, data):
        assert counts.mean() == pytest.approx(1.0, abs=0.4)
        assert counts.var() == pytest.approx(1.0, abs=0.6)
    for first, second in zip((simulation, data), events.resampled(0, 3), strict=True):
        np.testing.assert_array_equal(first, second)
    assert (events.resampled(0, 4)[0] != simulation).any()
    for seeded in ((0, 3), (0, Stream.VALIDATION, 3)):  # folds, and other uses of the same seed
        other = np.random.default_rng(seeded).poisson(1.0, len(events.simulated))
        assert (other[events.simulated] != simulation).any()


def test_two_samples_have_equal_sums_of_weights_and_a_mean_weight_of_one(events):
    simulated, rows = events.simulated, events.within("train")
    samples = (events.weight * simulated, 5 * events.weight * ~simulated)
    columns = batches(events, "reco", samples, rows)
    sums = (columns["label"] * columns["weight"][:, None]).sum(axis=0)
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    assert columns["weight"].mean() == pytest.approx(1.0, rel=1e-5)
    # the labels are those of the files
    assert (columns["label"].argmax(axis=1) == ~simulated[columns["event"]]).all()
    # events without a jet at this level are not read
    expected = np.flatnonzero(events.passes["reco"] & rows)
    np.testing.assert_array_equal(np.sort(columns["event"]), expected)


def test_an_event_of_both_samples_is_read_once_with_a_shared_label(events):
    before = events.weight * events.simulated
    after = before * np.linspace(0.5, 3, len(before))
    rows = events.within("val")
    columns = batches(events, "gen", (before, after), rows)
    assert len(columns["index"]) == 20 == len(np.unique(columns["index"]))
    event = columns["event"]
    odds = columns["label"][:, 1] / columns["label"][:, 0]
    expected = after[event] / before[event] * before[rows].sum() / after[rows].sum()
    np.testing.assert_allclose(odds, expected, rtol=1e-5)


def test_a_negative_weight_stays_negative(events):
    weight = events.weight.copy()
    weight[:3] *= -1
    simulated = events.simulated
    samples = (weight * simulated, weight * ~simulated)
    columns = batches(events, "gen", samples, events.within("train"))
    assert (columns["weight"][np.isin(columns["event"], [0, 1, 2])] < 0).all()
    np.testing.assert_allclose(columns["label"].sum(axis=1), 1)


def test_a_sample_without_events_is_refused_with_level_and_sums(events):
    with pytest.raises(UserError, match=r"of 160 events at level gen .* add up to .* and 0;"):
        events.pipeline("gen", (events.weight, 0 * events.weight), all_events(events), 16)


def test_a_split_without_data_is_refused_by_name(tmp_path):
    folder = write_events(tmp_path, {"train": 8, "val": 1, "test": 8})
    with pytest.raises(UserError, match="no event of the data among the 1 of split val"):
        Events(SPEC, folder)
