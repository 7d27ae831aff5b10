"""Events of two jets: batches, roles in a search, and kinematics as eight numbers."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from toy_dijets import LIGHT, dijets, write_dijets

from omnilearn.anomaly.dijet_kinematics import KinematicsScale, decoded, encoded
from omnilearn.anomaly.dijets import DijetPipeline, Dijets
from omnilearn.anomaly.event_roles import SearchConfig, assign_roles
from omnilearn.data.catalogue import LHCO
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.spec import JET_FEATURES
from omnilearn.errors import UserError
from omnilearn.kinematics import invariant_mass, sum_constituents

EVENTS = {"train": 900, "val": 200, "test": 400}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return Dijets(LIGHT, str(write_dijets(tmp_path_factory.mktemp("dijets"), EVENTS)))


def test_events_of_all_splits_are_in_sequence(events):
    assert np.bincount(events.split).tolist() == list(EVENTS.values())
    assert events.natural.all()
    inside = events.in_signal_region
    np.testing.assert_array_equal(inside, (events.mass >= 3300) & (events.mass < 3700))
    assert not (inside & events.in_sidebands).any()
    assert events.signal.mean() == pytest.approx(0.2, abs=0.04)
    assert inside[events.signal].mean() > 0.95


def test_batches_hold_both_jets_of_every_event_as_in_the_files(events):
    selected = np.zeros(len(events.mass), bool)
    selected[5:90:3] = True
    selected[910:920] = True
    signal, background = selected & events.signal, selected & ~events.signal
    jets = Pipeline(events.files.jets, LIGHT, 64, weighted=False, selected=np.repeat(selected, 2))
    by_row = {}
    for batch in jets.ordered():
        for row, constituents, jet in zip(
            batch["index"], batch["constituents"], batch["jet"], strict=True
        ):
            by_row[int(row)] = constituents, jet
    read = []
    for batch in events.pipeline(signal, background, 16).ordered():
        slots = batch["mask"].shape[1]
        for position, event in enumerate(batch["index"]):
            for jet in range(2):
                expected, kinematics = by_row[2 * int(event) + jet]
                count = int(batch["mask"][position, :, jet].sum())
                assert count == events.files.filled[event, jet] <= slots
                constituents = batch["constituents"][position, :, jet]
                np.testing.assert_array_equal(constituents[:count], expected[:count])
                assert not constituents[count:].any()
                np.testing.assert_array_equal(batch["jet"][position, jet], kinematics)
        np.testing.assert_array_equal(batch["label"][:, 1] == 1, events.signal[batch["index"]])
        read.append(batch["index"])
    np.testing.assert_array_equal(np.sort(np.concatenate(read)), np.flatnonzero(selected))


def test_both_classes_have_equal_sums_of_weights_and_a_mean_weight_of_one(events):
    target = events.signal & (np.arange(len(events.mass)) < 200)
    batches = list(events.pipeline(target, ~events.signal, 32).ordered())
    label, weight = (
        np.concatenate([batch[key] for batch in batches]) for key in ("label", "weight")
    )
    sums = (label * weight[:, None]).sum(axis=0)
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    assert weight.mean() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_have_equal_steps_and_share_the_events(events, ranks):
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
    read = np.concatenate([batch["index"] for epoch in epochs for batch in epoch])
    assert len(np.unique(read)) == len(read)


@pytest.mark.parametrize("kind", ["idealised", "cathode", "supervised"])
def test_no_event_has_two_roles_and_the_test_has_signal_that_is_not_trained_on(events, kind):
    roles = assign_roles(events, SearchConfig(kind, 40, 40, 10), seed=1)
    counts = np.stack([roles.data, roles.reference, roles.test]).astype(int).sum(axis=0)
    assert counts.max() == 1
    assert not (roles.bump_hunt & (roles.data | roles.reference)).any()
    assert (roles.test & events.signal).any()
    for role in (roles.data, roles.reference, roles.test):
        assert events.in_signal_region[role].all()


def test_data_hold_the_injected_signal_and_the_background_of_the_search(events):
    roles = assign_roles(events, SearchConfig("idealised", 40, 30, 20), seed=1)
    counts = [np.count_nonzero(roles.data & kind) for kind in (events.signal, ~events.signal)]
    assert counts == [40, 30]
    assert np.count_nonzero(roles.reference) == 20
    assert not (roles.reference & events.signal).any()
    training, validation = (roles.samples(is_validation) for is_validation in (False, True))
    assert np.count_nonzero(training[0]) + np.count_nonzero(validation[0]) == 70
    assert 5 < np.count_nonzero(validation[0]) < 30


def test_data_and_reference_shrink_by_the_same_factor_with_little_background(events):
    roles = assign_roles(events, SearchConfig("idealised", 0, 100_000, 350_000), seed=1)
    counts = [np.count_nonzero(role) for role in (roles.data, roles.reference)]
    assert counts[1] / counts[0] == pytest.approx(3.5, rel=0.1)


def test_another_seed_selects_other_background_and_signal(events):
    first, second, same_seed = (
        assign_roles(events, SearchConfig("idealised", 40, 30, 20), seed) for seed in (1, 2, 1)
    )
    for kind in (events.signal, ~events.signal):
        assert (first.data & kind != second.data & kind).any()
    np.testing.assert_array_equal(same_seed.data, first.data)


def test_the_bump_hunt_has_the_signal_per_background_of_the_data(events):
    roles = assign_roles(events, SearchConfig("idealised", 20, 40, 20), seed=1)
    inside = roles.bump_hunt & events.in_signal_region
    background = np.count_nonzero(inside & ~events.signal)
    assert np.count_nonzero(inside & events.signal) == pytest.approx(background / 2, abs=1.5)
    assert (roles.bump_hunt & events.in_sidebands).any()
    without_signal = assign_roles(events, SearchConfig("idealised", 0, 40, 20), seed=1)
    assert not (without_signal.bump_hunt & events.signal).any()


def keep_the_signal_region(path) -> None:
    """Leave the events of the signal region alone in a file, as in that of extra background."""
    with h5py.File(path, "r+") as file:
        masses = file["observables"][:, 0]
        inside = (masses >= LHCO.signal_region[0]) & (masses < LHCO.signal_region[1])
        for key in list(file):
            values = file[key][:][inside]
            del file[key]
            file[key] = values


@pytest.mark.parametrize("region", [LHCO.signal_region, (3400.0, 3600.0), (3500.0, 4100.0)])
def test_files_without_sidebands_are_left_out_of_the_bump_hunt_of_any_region(tmp_path, region):
    write_dijets(tmp_path, {"train": 400, "val": 400, "test": 400})
    for path in tmp_path.rglob("*.h5"):
        keep_the_signal_region(path)
    events = Dijets(replace(LIGHT, signal_region=region), str(tmp_path))
    assert len(events.mass) > 100
    assert not assign_roles(events, SearchConfig("idealised", 0, 20, 20), 0).bump_hunt.any()


def test_more_signal_than_available_is_refused_with_the_number(events):
    with pytest.raises(UserError, match="--signal is 9999, lhco has 2"):
        assign_roles(events, SearchConfig("idealised", 9999, 60, 30), 0)


def test_decoding_inverts_the_encoding_of_dijets():
    rng = np.random.default_rng(1)
    arrays = dijets(np.zeros(300, int), rng)
    columns = [LIGHT.jet_features.index(name) for name in JET_FEATURES]
    jets, mass = (
        arrays["jet"][..., columns].astype(float),
        arrays["observables"][:, 0].astype(float),
    )
    restored, angle = decoded(encoded(jets, mass), mass)
    np.testing.assert_allclose(restored[..., 0], jets[..., 0], rtol=2e-3)
    np.testing.assert_allclose(restored[..., 1:], jets[..., 1:], rtol=1e-4, atol=1e-3)
    phi = arrays["jet"][..., 2]
    expected = np.abs((phi[:, 0] - phi[:, 1] + np.pi) % (2 * np.pi) - np.pi)
    np.testing.assert_allclose(angle, expected, atol=5e-3)


def test_decoded_jets_have_the_dijet_mass_for_any_numbers():
    rng = np.random.default_rng(2)
    mass = rng.uniform(2300, 5000, 500)
    columns = rng.normal(size=(500, 8)) * [2, 1, 0.7, 0.4, 0.5, 0.5, 20, 20]
    columns += [1, -2.5, 0, 0, 4.5, 4.5, 60, 60]
    jets, angle = decoded(columns, mass)
    pt, eta, jet_mass, multiplicity = np.moveaxis(jets, -1, 0)
    phi = np.column_stack([0 * angle, angle])
    energy = np.hypot(pt * np.cosh(eta), jet_mass)
    dijet = sum_constituents(np.stack([pt, eta, phi, energy], axis=-1))
    np.testing.assert_allclose(invariant_mass(dijet), mass, rtol=1e-6)
    assert (pt[:, 0] >= pt[:, 1]).all()
    assert (multiplicity == np.rint(multiplicity)).all()
    assert multiplicity.min() >= 1


def test_the_scale_holds_the_trigger_and_standardises_the_events():
    arrays = dijets(np.zeros(200, int), np.random.default_rng(3))
    jets = arrays["jet"][..., [0, 1, 3, 4]].astype(float)
    scale = KinematicsScale.of(jets, arrays["observables"][:, 0])
    assert scale.passing(jets).all()
    softer = jets * [0.01, 1, 1, 1]
    assert not scale.passing(softer).any()
    standardised = scale.transform(jets, arrays["observables"][:, 0])
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(axis=0), 1, atol=1e-3)
