"""JetNet: one class per file, relative constituents, masses of resonances; conversion."""

import h5py
import numpy as np
import pytest
from small_samples import converted, simulated

from omnilearn.data.catalogue import CATALOGUE
from simulation import jetnet30, jetnet150

JETS = 202
SETS = {"jetnet30": ("", 30), "jetnet150": ("150", 150)}  # suffix of files, slots


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of both sets."""
    out = tmp_path_factory.mktemp("jetnet")
    simulated(jetnet30, out, jets=40)
    return simulated(jetnet150, out, jets=JETS)


@pytest.fixture(scope="module")
def classes(folder):
    """Class -> (constituents (jets, 150, 4), jets (jets, 4))."""
    arrays = {}
    for name in "gqtwz":
        with h5py.File(folder / f"{name}150.hdf5") as file:
            arrays[name] = file["particle_features"][:], file["jet_features"][:]
    return arrays


def test_keys_and_shapes_are_the_public_ones(folder, classes):
    assert [len(jets) for _, jets in classes.values()] == [41, 41, 40, 40, 40]
    for constituents, jets in classes.values():
        assert constituents.shape[1:] == (150, 4)
        assert constituents.dtype == jets.dtype == np.float32
    with h5py.File(folder / "w.hdf5") as file:
        assert sorted(file) == ["jet_features", "particle_features"]
        assert file["particle_features"].shape == (8, 30, 4)
        assert file["jet_features"][:, 3].max() <= 30


def test_constituents_fall_in_pt_relative_to_a_jet_of_about_a_tev(classes):
    for constituents, jets in classes.values():
        eta_rel, phi_rel, pt_rel, mask = np.moveaxis(constituents, -1, 0)
        assert set(np.unique(mask)) <= {0, 1}
        np.testing.assert_array_equal(mask.sum(axis=1), jets[:, 3])
        np.testing.assert_array_equal(mask == 1, pt_rel > 0)
        assert (np.diff(pt_rel, axis=1) <= 0).all()
        # a heavy particle of low pt has a larger pseudorapidity than rapidity
        assert np.percentile(np.hypot(eta_rel, phi_rel)[mask == 1], 99) < 0.45
        total = np.hypot((pt_rel * np.cos(phi_rel)).sum(1), (pt_rel * np.sin(phi_rel)).sum(1))
        np.testing.assert_allclose(total, 1, atol=1e-3)
        assert (np.abs(jets[:, 0] - 1200) < 400).all()
        assert abs(np.median(jets[:, 0]) - 1000) < 80


def test_masses_are_those_of_the_resonances(classes):
    median = {name: np.median(jets[:, 2]) for name, (_, jets) in classes.items()}
    assert abs(median["w"] - 80.4) < 5
    assert abs(median["z"] - 91.2) < 5
    assert 120 < median["t"] < 175  # a radius of 0.4 loses a part of some tops
    assert median["q"] < median["g"] < 100


def test_gluons_hold_more_constituents_than_quarks(classes):
    assert classes["g"][1][:, 3].mean() > 1.2 * classes["q"][1][:, 3].mean()


@pytest.mark.parametrize("name", SETS)
def test_converted_jets_are_those_of_the_sample(name, folder, tmp_path):
    suffix, slots = SETS[name]
    splits = converted(name, folder, tmp_path).values()
    arrays = {key: np.concatenate([split[key] for split in splits]) for key in ("jet", "pid")}
    assert {split["data"].shape[1:] for split in splits} == {(slots, 7)}
    for index, label in enumerate("gqtwz"):
        with h5py.File(folder / f"{label}{suffix}.hdf5") as file:
            expected = file["jet_features"][:]
        jets = arrays["jet"][arrays["pid"].argmax(axis=1) == index]
        jets, expected = jets[jets[:, 0].argsort()], expected[expected[:, 0].argsort()]
        np.testing.assert_allclose(jets[:, :2], expected[:, :2], rtol=1e-5)
        np.testing.assert_allclose(jets[:, 2], expected[:, 2], rtol=1e-3, atol=0.1)
        np.testing.assert_array_equal(jets[:, 3], expected[:, 3])


def test_the_constants_of_the_catalogue_fit_the_jets(classes):
    constants = CATALOGUE["jetnet150"].normalisation
    jets = np.concatenate([jets for _, jets in classes.values()])
    standard = (jets - constants.jet_mean) / constants.jet_std
    # without multiple interactions the multiplicity is lower
    assert np.abs(standard.mean(axis=0)[:3]).max() < 0.3
    assert (np.abs(standard.std(axis=0) - 1) < 0.4).all()
