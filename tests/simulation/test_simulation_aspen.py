"""Aspen Open Jets: candidates, impact parameters, tagging variables; conversion."""

import h5py
import numpy as np
import pytest
from small_samples import converted, simulated

from simulation import aspen

JETS = 81


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("aspen")
    return simulated(aspen, out, jets=JETS, events=None, processes=None)


@pytest.fixture(scope="module")
def columns(folder):
    """All jets of both files."""
    runs = []
    for run in "GH":
        with h5py.File(folder / f"Run{run}_batch0.h5") as file:
            runs.append({name: values[:] for name, values in file.items()})
    assert [len(arrays["PFCands"]) for arrays in runs] == [41, 40]
    return {name: np.concatenate([arrays[name] for arrays in runs]) for name in runs[0]}


def test_keys_shapes_and_types_are_the_public_ones(columns):
    assert {name: (values.shape[1:], values.dtype) for name, values in columns.items()} == {
        "event_info": ((3,), np.int64),
        "jet_kinematics": ((4,), np.float32),
        "jet_tagging": ((13,), np.float32),
        "PFCands": ((150, 11), np.float32),
    }


def test_candidates_sum_to_the_jet_and_fall_in_pt(columns):
    px, py, pz, energy = np.moveaxis(columns["PFCands"][..., :4], -1, 0)
    pt = np.hypot(px, py)
    assert (np.diff(pt, axis=1) < 1e-3).all()
    jets = columns["jet_kinematics"]
    np.testing.assert_allclose(np.hypot(px.sum(1), py.sum(1)), jets[:, 0], rtol=1e-4)
    assert jets[:, 0].min() > 300
    assert np.abs(jets[:, 1]).max() < 2.5
    mass = np.sqrt(energy.sum(1) ** 2 - px.sum(1) ** 2 - py.sum(1) ** 2 - pz.sum(1) ** 2)
    assert (jets[:, 3] < mass + 0.5).all()  # groomed
    np.testing.assert_array_equal(columns["jet_tagging"][:, 0], (pt > 0).sum(axis=1))


def test_every_event_has_a_jet_above_the_trigger(columns):
    """Without the trigger, one jet of seven above 300 GeV would be above its threshold."""
    share = np.mean(columns["jet_kinematics"][:, 0] > aspen.CARD.trigger_pt)
    assert 0.45 < share < 0.95


def test_only_particles_with_a_track_have_impact_parameters(columns):
    real = columns["PFCands"][columns["PFCands"][..., 3] > 0]
    tracks, charge, pdg_id, weight = real[:, 4:8], real[:, 8], real[:, 9], real[:, 10]
    assert (tracks[charge == 0] == -1).all()
    assert (tracks[charge != 0][:, [1, 3]] > 0).all()
    assert np.median(np.abs(tracks[charge != 0][:, 0])) < 0.1  # cm
    assert set(np.abs(pdg_id)) <= {211, 130, 22, 11, 13}
    assert (weight == 1).all()
    assert 0.45 < np.mean(charge != 0) < 0.65


def test_converted_jets_are_those_of_the_sample(folder, columns, tmp_path):
    splits = converted("aspen", folder, tmp_path).values()
    assert sum(len(arrays["data"]) for arrays in splits) == JETS
    jets = np.concatenate([arrays["jet"] for arrays in splits])
    jets = jets[jets[:, 0].argsort()]
    order = columns["jet_kinematics"][:, 0].argsort()
    expected = columns["jet_kinematics"][order]
    np.testing.assert_allclose(jets[:, :2], expected[:, :2], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(jets[:, 3], columns["jet_tagging"][order, 0])
    assert (jets[:, 2] > expected[:, 3] - 0.5).all()  # the mass before grooming
    assert 30 < np.median(jets[:, 2]) < 80
