"""JetNet jets: absolute momenta from relative ones, classes by file; the released outputs."""

from pathlib import Path

import flat_files
import h5py
import numpy as np
import pytest
from golden import assert_log_of_one_minus, released_arrays, stored_arrays

from omnilearn.data.catalogue import JETNET30, JETNET150
from omnilearn.errors import UserError
from omnilearn.hdf5_sums import attributes
from preprocessing import jetnet, jetnet30


@pytest.fixture(scope="module", params=[JETNET30, JETNET150], ids=lambda spec: spec.name)
def golden(request):
    """(released outputs and inputs, our arrays) of 40 jets."""
    spec = request.param
    released, path = released_arrays(spec.name), Path("t.hdf5")
    chunk = jetnet.chunk(released["in.particle_features"], released["in.jet_features"], 2, path, 0)
    return released, stored_arrays(chunk, spec, path)


def test_jetnet_columns_equal_the_released_ones(golden):
    released, ours = golden
    for column in (0, 1, 3, 5, 6):
        theirs = released["out.data"][..., column]
        np.testing.assert_allclose(ours["data"][..., column], theirs, atol=2e-6)


def test_jetnet_log_one_minus_pt_rel_equals_the_released_one_above_the_floor(golden):
    released, ours = golden
    theirs, mine = released["out.data"][..., 2], ours["data"][..., 2]
    # pt_rel = 1 is 0 there, and the mask loses the constituent
    lost = (mine < np.log(1e-5)) & (theirs == 0)
    assert lost.any(axis=1).nonzero()[0].tolist()[0] == 0
    assert (released["in.particle_features"][..., 2][lost] >= 1).all()
    above = (theirs > np.log(1e-5)) & ~lost
    np.testing.assert_allclose(mine[above], theirs[above], atol=2e-6)


def test_jetnet_jet_energy_takes_eta_as_pseudorapidity_where_the_released_takes_rapidity(golden):
    released, ours = golden
    pt, eta, mass, _ = released["in.jet_features"].astype(np.float64).T[..., None]
    real = released["in.particle_features"][..., 3] == 1
    energy = np.exp(ours["data"][..., 5].astype(np.float64))
    ours_rel = energy / np.hypot(pt * np.cosh(eta), mass)
    theirs_rel = energy / (np.hypot(pt, mass) * np.cosh(eta))
    assert_log_of_one_minus(ours["data"][..., 4], ours_rel, real)
    assert_log_of_one_minus(released["out.data"][..., 4], theirs_rel, real)


def test_jetnet_jets_are_the_stored_ones(golden):
    released, ours = golden
    stored_jets = released["in.jet_features"]
    np.testing.assert_allclose(ours["jet"][:, :2], stored_jets[:, :2], rtol=1e-6)
    np.testing.assert_allclose(ours["jet"][:, 2], stored_jets[:, 2], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(ours["multiplicity"], stored_jets[:, 3])
    np.testing.assert_array_equal(ours["pid"].argmax(axis=1), 2)


def test_widths_are_positive_and_those_of_the_public_constants():
    # the released code has -0.054 for log(1 - pt_rel) of JetNet150
    for spec, width in ((JETNET30, 0.067), (JETNET150, 0.054)):
        constants = spec.normalisation
        assert constants.feature_std[2] == width == constants.feature_std[4]
        assert min(constants.feature_std + constants.jet_std) > 0


@pytest.fixture
def columns(toy_jets):
    return flat_files.columns("jetnet30", toy_jets)


def test_the_class_is_that_of_the_file_and_the_classes_are_mixed(
    toy_jets, convert, tmp_path, columns
):
    for seed, name in enumerate("gqtwz"):
        flat_files.write(
            tmp_path / f"raw/{name}.hdf5", flat_files.columns("jetnet30", toy_jets, seed=seed)
        )
    convert("jetnet30")
    with h5py.File(tmp_path / "jetnet30/train/jetnet30_train_000.h5") as file:
        assert file["pid"].shape[1] == 5
        label, source = file["pid"][:].argmax(axis=1), file["source"][:, 0]
        np.testing.assert_array_equal(label, source)
        assert set(label) == set(range(5))
        assert np.count_nonzero(np.diff(label)) > len(label) // 2
        assert list(attributes(file)["sources"]) == [f"{name}.hdf5" for name in "gqtwz"]


def test_a_file_of_the_other_size_is_refused(columns, refused, tmp_path):
    flat_files.write(tmp_path / "raw/g150.hdf5", columns)
    assert "has shape (50, 30, 4)" in refused("jetnet150")
    assert "holds none of g.hdf5" in refused("jetnet30")


def test_a_class_whose_link_is_broken_is_not_left_out(columns, refused, tmp_path):
    flat_files.write(tmp_path / "raw/g.hdf5", columns)
    (tmp_path / "raw/q.hdf5").symlink_to(tmp_path / "gone.hdf5")
    assert "q.hdf5 is no file, or a link" in refused("jetnet30")


def test_a_file_name_without_a_class_is_refused(columns, tmp_path):
    path = flat_files.write(tmp_path / "b.hdf5", columns)
    with pytest.raises(UserError, match="name gives the class"):
        next(jetnet30.read(path))


@pytest.mark.parametrize(
    ("column", "value", "message"), [(3, 0.5, "a mask other than 0"), (2, -0.1, "a negative pt")]
)
def test_columns_of_another_meaning_are_refused(columns, refused, tmp_path, column, value, message):
    columns["particle_features"][[9, 12], 0, column] = value
    flat_files.write(tmp_path / "raw/w.hdf5", columns)
    text = refused("jetnet30")
    assert f"{message}" in text
    assert "jet 9" in text


def test_masked_slots_are_no_constituents_whatever_they_hold(columns):
    expected = jetnet.chunk(*columns.values(), 0, Path("g.hdf5"), 0)
    columns["particle_features"][columns["particle_features"][..., 3] == 0, :3] = 0.2
    changed = jetnet.chunk(*columns.values(), 0, Path("g.hdf5"), 0)
    np.testing.assert_array_equal(changed.constituents, expected.constituents)
    np.testing.assert_array_equal(changed.counts, expected.counts)
