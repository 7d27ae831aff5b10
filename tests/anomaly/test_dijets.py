"""Events of two jets: whole in every batch, in the role they have, and as eight numbers."""

from dataclasses import replace

import numpy as np
import pytest
from toy_dijets import LIGHT, dijets, write_dijets

from omnilearn.anomaly.dijet_kinematics import KinematicsScale, decoded, encoded
from omnilearn.anomaly.dijets import DijetPipeline, Dijets
from omnilearn.anomaly.event_roles import KINDS, SearchConfig, divide
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.spec import JET_FEATURES
from omnilearn.errors import UserError
from omnilearn.kinematics import invariant_mass, sum_constituents

EVENTS = {"train": 900, "val": 200, "test": 400}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return Dijets(LIGHT, str(write_dijets(tmp_path_factory.mktemp("dijets"), EVENTS)))


def test_events_of_all_splits_stand_one_behind_the_other(events):
    assert np.bincount(events.split).tolist() == list(EVENTS.values())
    assert events.natural.all()
    inside = events.in_signal_region
    np.testing.assert_array_equal(inside, (events.mass >= 3300) & (events.mass < 3700))
    assert not (inside & events.in_sidebands).any()
    assert events.signal.mean() == pytest.approx(0.2, abs=0.04)
    assert inside[events.signal].mean() > 0.95


def test_batches_hold_whole_events_as_the_jets_of_the_files(events):
    chosen = np.zeros(len(events.mass), bool)
    chosen[5:90:3] = True
    chosen[910:920] = True
    signal, background = chosen & events.signal, chosen & ~events.signal
    jets = Pipeline(events.files.jets, LIGHT, 64, weighted=False, selected=np.repeat(chosen, 2))
    by_row = {}
    for batch in jets.ordered():
        for row, constituents, jet in zip(
            batch["index"], batch["constituents"], batch["jet"], strict=True
        ):
            by_row[int(row)] = constituents, jet
    seen = []
    for batch in events.pipeline(signal, background, 16).ordered():
        slots = batch["mask"].shape[1]
        for place, event in enumerate(batch["index"]):
            for jet in range(2):
                constituents, kinematics = by_row[2 * int(event) + jet]
                number = int(batch["mask"][place, :, jet].sum())
                assert number == events.files.filled[event, jet] <= slots
                found = batch["constituents"][place, :, jet]
                np.testing.assert_array_equal(found[:number], constituents[:number])
                assert not found[number:].any()
                np.testing.assert_array_equal(batch["jet"][place, jet], kinematics)
        assert slots >= events.files.multiplicity[batch["index"]].max()
        np.testing.assert_array_equal(batch["label"][:, 1] == 1, events.signal[batch["index"]])
        seen.append(batch["index"])
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.flatnonzero(chosen))


def test_both_classes_weigh_the_same_and_the_mean_weight_is_one(events):
    target = events.signal & (np.arange(len(events.mass)) < 200)
    batches = list(events.pipeline(target, ~events.signal, 32).ordered())
    label, weight = (
        np.concatenate([batch[key] for batch in batches]) for key in ("label", "weight")
    )
    sums = (label * weight[:, None]).sum(axis=0)
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    assert weight.mean() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_have_as_many_steps_of_the_same_length_and_share_the_events(events, ranks):
    weight = np.ones(len(events.mass))
    label = np.eye(2)[events.signal.astype(int)]
    pipelines = [
        DijetPipeline(events.files, LIGHT, label, weight, 32, rank, ranks, 5, window=256)
        for rank in range(ranks)
    ]
    epochs = [list(pipeline.epoch(0)) for pipeline in pipelines]
    assert len({len(epoch) for epoch in epochs}) == 1
    for steps in zip(*epochs, strict=True):
        assert len({batch["mask"].shape for batch in steps}) == 1
    seen = np.concatenate([batch["index"] for epoch in epochs for batch in epoch])
    assert len(np.unique(seen)) == len(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_no_event_has_two_roles_and_none_of_the_test_was_trained_on(events, kind):
    found = divide(events, SearchConfig(kind, 40, 40, 10), seed=1)
    roles = np.stack([found.data, found.reference, found.test]).astype(int).sum(axis=0)
    assert roles.max() == 1
    assert not (found.hunted & (found.data | found.reference)).any()
    signal_of_test = found.test & events.signal
    assert signal_of_test.any()
    assert not (signal_of_test & found.data).any()
    for role in (found.data, found.reference, found.test):
        assert events.in_signal_region[role].all()


def test_data_hold_the_injected_signal_and_the_background_that_is_wanted(events):
    found = divide(events, SearchConfig("idealised", 40, 30, 20), seed=1)
    counts = [np.count_nonzero(found.data & kind) for kind in (events.signal, ~events.signal)]
    assert counts == [40, 30]
    assert np.count_nonzero(found.reference) == 20
    assert not (found.reference & events.signal).any()
    training, validation = (found.part(held_out) for held_out in (False, True))
    assert np.count_nonzero(training[0]) + np.count_nonzero(validation[0]) == 70
    assert 5 < np.count_nonzero(validation[0]) < 30


def test_data_and_reference_shrink_alike_where_background_is_scarce(events):
    found = divide(events, SearchConfig("idealised", 0, 100_000, 350_000), seed=1)
    counts = [np.count_nonzero(role) for role in (found.data, found.reference)]
    assert counts[1] / counts[0] == pytest.approx(3.5, rel=0.1)


def test_another_seed_draws_other_background_and_other_signal(events):
    first, second = (divide(events, SearchConfig("idealised", 40, 30, 20), seed) for seed in (1, 2))
    for kind in (events.signal, ~events.signal):
        assert (first.data & kind != second.data & kind).any()
    again = divide(events, SearchConfig("idealised", 40, 30, 20), 1)
    np.testing.assert_array_equal(again.data, first.data)


def test_the_hunt_has_the_signal_per_background_of_the_data(events):
    found = divide(events, SearchConfig("idealised", 20, 40, 20), seed=1)
    inside = found.hunted & events.in_signal_region
    background = np.count_nonzero(inside & ~events.signal)
    assert np.count_nonzero(inside & events.signal) == pytest.approx(background / 2, abs=1.5)
    assert (found.hunted & events.in_sidebands).any()
    nothing = divide(events, SearchConfig("idealised", 0, 40, 20), seed=1)
    assert not (nothing.hunted & events.signal).any()


def test_files_without_sidebands_have_no_part_in_the_hunt(tmp_path, events):
    write_dijets(tmp_path, {"train": 50, "val": 50, "test": 50})
    everything = replace(LIGHT, signal_region=(2000.0, 9000.0))
    assert not Dijets(everything, str(tmp_path)).natural.any()


def test_more_signal_than_there_is_is_refused_with_the_number(events):
    with pytest.raises(UserError, match="--signal is 9999, lhco has 2"):
        divide(events, SearchConfig("idealised", 9999, 60, 30), 0)


def test_dijets_as_eight_numbers_and_back_are_the_same_jets():
    rng = np.random.default_rng(1)
    made = dijets(np.zeros(300, int), rng)
    columns = [LIGHT.jet_features.index(name) for name in JET_FEATURES]
    jets, mass = made["jet"][..., columns].astype(float), made["observables"][:, 0].astype(float)
    found, angle = decoded(encoded(jets, mass), mass)
    np.testing.assert_allclose(found[..., 0], jets[..., 0], rtol=2e-3)
    np.testing.assert_allclose(found[..., 1:], jets[..., 1:], rtol=1e-4, atol=1e-3)
    turned = np.abs((made["jet"][:, 0, 2] - made["jet"][:, 1, 2] + np.pi) % (2 * np.pi) - np.pi)
    np.testing.assert_allclose(angle, turned, atol=5e-3)


def test_whatever_the_numbers_the_jets_have_the_dijet_mass():
    rng = np.random.default_rng(2)
    mass = rng.uniform(2300, 5000, 500)
    columns = rng.normal(size=(500, 8)) * [2, 1, 0.7, 0.4, 0.5, 0.5, 20, 20]
    columns += [1, -2.5, 0, 0, 4.5, 4.5, 60, 60]
    jets, angle = decoded(columns, mass)
    pt, eta, jet_mass, number = np.moveaxis(jets, -1, 0)
    phi = np.column_stack([0 * angle, angle])
    energy = np.hypot(pt * np.cosh(eta), jet_mass)
    dijet = sum_constituents(np.stack([pt, eta, phi, energy], axis=-1))
    np.testing.assert_allclose(invariant_mass(dijet), mass, rtol=1e-6)
    assert (pt[:, 0] >= pt[:, 1]).all()
    assert (number == np.rint(number)).all()
    assert number.min() >= 1


def test_the_trigger_of_the_events_is_remembered():
    rng = np.random.default_rng(3)
    made = dijets(np.zeros(200, int), rng)
    jets = made["jet"][..., [0, 1, 3, 4]].astype(float)
    scale = KinematicsScale.of(jets, made["observables"][:, 0])
    assert scale.passing(jets).all()
    softer = jets * [0.01, 1, 1, 1]
    assert not scale.passing(softer).any()
    standardised = scale.there(jets, made["observables"][:, 0])
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(axis=0), 1, atol=1e-3)
