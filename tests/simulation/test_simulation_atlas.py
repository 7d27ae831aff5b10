"""ATLAS top tagging: MeV, calibrated jets, weights that balance the spectra; conversion."""

import h5py
import numpy as np
import pytest
from small_samples import converted, simulated

from omnilearn.hdf5_sums import attributes
from simulation import atlas

JETS, TEST_JETS = 121, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulated(atlas, tmp_path_factory.mktemp("atlas"), jets=JETS, test_jets=TEST_JETS)


@pytest.fixture(scope="module")
def columns(folder):
    with h5py.File(folder / "train.h5") as file:
        return {name: values[:] for name, values in file.items()}


def test_columns_and_attributes_are_the_public_ones(folder, columns):
    for name in ("pt", "eta", "phi", "E"):
        assert columns[f"fjet_clus_{name}"].shape == (JETS, 200)
        assert columns[f"fjet_clus_{name}"].dtype == np.float32
    for name in ("fjet_pt", "fjet_eta", "fjet_phi", "fjet_m", "labels", "weights"):
        assert columns[name].shape == (JETS,)
    for name, jets in (("train", JETS), ("test", TEST_JETS)):
        with h5py.File(folder / f"{name}.h5") as file:
            assert attributes(file)["num_jets"] == jets
            assert attributes(file)["num_cons"] == 200
            assert list(attributes(file)["jet"]) == ["fjet_pt", "fjet_eta", "fjet_phi", "fjet_m"]


def test_jets_are_in_mev_and_in_the_window_and_half_of_them_are_tops(columns):
    assert columns["fjet_pt"].min() > 350e3
    assert columns["fjet_pt"].max() < 3150e3
    assert np.abs(columns["fjet_eta"]).max() < 2
    assert columns["labels"].sum() == JETS // 2
    assert 160e3 < np.median(columns["fjet_m"][columns["labels"] == 1]) < 260e3
    assert np.median(columns["fjet_m"][columns["labels"] == 0]) < 160e3


def test_constituents_fall_in_pt_and_sum_to_the_jet_before_its_calibration(columns):
    pt, phi = columns["fjet_clus_pt"], columns["fjet_clus_phi"]
    assert (np.diff(pt, axis=1) <= 0).all()
    total = np.hypot((pt * np.cos(phi)).sum(axis=1), (pt * np.sin(phi)).sum(axis=1))
    np.testing.assert_allclose(total / columns["fjet_pt"], atlas.RESPONSE, rtol=1e-3)


def test_tops_fill_the_range_of_pt(columns):
    pt = columns["fjet_pt"][columns["labels"] == 1] / 1000
    assert np.percentile(pt, 25) < 900
    assert np.percentile(pt, 90) > 1300


def test_weights_give_the_background_the_spectrum_of_the_tops():
    rng = np.random.default_rng(0)
    pt = np.concatenate([rng.uniform(400, 3000, 4000), 350 / rng.random(20_000) ** 0.5])
    pt, label = pt[pt < 3150], np.repeat([1, 0], [4000, np.count_nonzero(pt[4000:] < 3150)])
    weights = atlas.training_weights(pt, label)
    assert (weights[label == 1] == 1).all()
    assert weights[label == 0].mean() == pytest.approx(1)
    edges = atlas.PT_EDGES[1:]
    tops = np.histogram(pt[label == 1], edges)[0] / 4000
    others = np.histogram(pt[label == 0], edges, weights=weights[label == 0])[0]
    np.testing.assert_allclose(others / others.sum(), tops / tops.sum(), atol=0.03)


def test_converted_jets_are_those_of_the_sample(folder, columns, tmp_path):
    splits = converted("atlas", folder, tmp_path)
    assert len(splits["test"]["jet"]) == TEST_JETS
    jets, weights = (
        np.concatenate([splits[split][key] for split in ("train", "val")])
        for key in ("jet", "weight")
    )
    ours, theirs = jets[:, 0].argsort(), columns["fjet_pt"].argsort()
    pt, mass, weight = (columns[key][theirs] for key in ("fjet_pt", "fjet_m", "weights"))
    np.testing.assert_allclose(jets[ours, 0], pt / 1000, rtol=1e-5)
    np.testing.assert_allclose(jets[ours, 2], mass / 1000, rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(weights[ours], weight, rtol=1e-5)
