"""OmniLearned's HDF5: jets recovered from relative constituents, labels of the mix, identities."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from flat_files import padded

from omnilearn.data.catalogue import ASPEN, H1, JETCLASS, TOP
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import delta_phi, invariant_mass, sum_constituents
from preprocessing import omnilearned
from preprocessing.jet_chunk import JetChunk, prepare

SLOTS = 40
MASS = {211: 0.13957, 11: 0.000511, 13: 0.105658, 130: 0.0, 22: 0.0, 0: 0.0}


@pytest.fixture
def jets(toy_jets):
    """make(n, seed, jet_pt): momenta (constituents, 4), counts, jets (n, 4), PDG ids; massive."""

    def make(n: int = 60, seed: int = 0, jet_pt: float = 600.0):
        momenta, counts, _ = toy_jets(n, seed, jet_pt)
        ids = np.random.default_rng(seed).choice(omnilearned.IDENTITIES, len(momenta))
        mass = np.vectorize(MASS.get)(np.abs(ids))
        momenta = momenta.copy()
        momenta[:, 3] = np.hypot(momenta[:, 0] * np.cosh(momenta[:, 1]), mass)
        return momenta, counts, sum_constituents(padded(momenta, counts, SLOTS)), ids

    return make


@pytest.fixture
def write(jets, tmp_path):
    """write(name, columns, first label, classes, replace): a file of toy jets; its path."""

    def write(name="train/a.h5", columns=5, first=0, classes=10, replace=None, **toys) -> Path:
        momenta, counts, jet, ids = jets(**toys)
        owner = np.repeat(np.arange(len(counts)), counts)
        flat = np.zeros((len(momenta), 7))
        flat[:, 0] = momenta[:, 1] - jet[owner, 1]
        flat[:, 1] = delta_phi(momenta[:, 2], jet[owner, 2])
        flat[:, 2], flat[:, 3] = np.log(momenta[:, 0]), np.log(momenta[:, 3])
        flat[:, 4] = np.searchsorted(omnilearned.IDENTITIES, ids)
        flat[:, 5:] = 0.7  # impact parameters: not read
        data = padded(flat[:, :columns], counts, SLOTS).astype(np.float32)
        label = np.arange(len(counts)) % classes + first
        arrays = {"data": data, "pid": label, "global": np.column_stack([counts, counts])}
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for key, values in (arrays | (replace or {})).items():
                if values is not None:
                    file[key] = values
        return path

    return write


def test_pt_eta_and_mass_come_back_from_the_constituents(write, jets):
    _, counts, jet, _ = jets(300)
    (chunk,) = omnilearned.Reader(JETCLASS).read(write(n=300))
    np.testing.assert_array_equal(chunk.rows, np.arange(300))
    np.testing.assert_array_equal(chunk.counts, counts)
    np.testing.assert_allclose(chunk.jet[:, 0], jet[:, 0], rtol=1e-6)
    np.testing.assert_allclose(chunk.jet[:, 1], jet[:, 1], atol=2e-3)
    assert np.median(np.abs(chunk.jet[:, 1] - jet[:, 1])) < 1e-4
    np.testing.assert_allclose(invariant_mass(chunk.jet), invariant_mass(jet), rtol=2e-3)


def test_the_features_are_those_of_the_jets_themselves(write, jets):
    momenta, counts, jet, ids = jets()
    (chunk,) = omnilearned.Reader(JETCLASS).read(write())
    expected = JetChunk(momenta, counts, jet, chunk.label, chunk.rows, chunk.identity)
    ours, theirs = (prepare(jets, JETCLASS, Path("a")) for jets in (chunk, expected))
    # log(1 - rel) loses digits near rel = 1
    plain = np.exp(theirs.features[:, [2, 4]]).min(axis=1) > 0.05
    np.testing.assert_allclose(ours.features[plain], theirs.features[plain], atol=2e-3)
    np.testing.assert_array_equal(ours.features[:, 7:], theirs.features[:, 7:])
    charged = np.isin(np.abs(ids), (211, 11, 13))
    np.testing.assert_array_equal(chunk.identity[:, 0] != 0, charged)
    assert (chunk.identity[ids == 11, 0] == -1).all()  # PDG 11 is an electron


def test_all_splits_become_files_with_their_sources(write, convert, tmp_path):
    for seed, split in enumerate(("train", "val", "test")):
        write(f"{split}/{split}_0.h5", first=2, seed=seed)
    convert("jetclass", "--workers", 2)
    for split in ("train", "val", "test"):
        with h5py.File(tmp_path / f"jetclass/{split}/jetclass_{split}_000.h5") as file:
            assert list(attributes(file)["sources"]) == [f"{split}/{split}_0.h5"]
            np.testing.assert_array_equal(file["pid"][:].sum(axis=0), [6] * 10)
            np.testing.assert_array_equal(file["pid"][:].argmax(axis=1), file["source"][:, 1] % 10)


def test_files_of_another_layout_beside_them_are_refused(write, write_jetclass, refused, tmp_path):
    write("train/a.h5")
    path = write_jetclass(tmp_path / "raw/train/ZToQQ_000.root", "Zqq")
    message = refused("jetclass", "--splits", "train")
    assert f"{path} and {tmp_path / 'raw/train/a.h5'} are of two layouts" in message


def test_a_damaged_file_before_a_good_one_is_named(write, refused):
    path = write("train/a.h5")
    path.write_bytes(path.read_bytes()[:1000])
    write("val/a.h5")
    message = refused("jetclass")
    assert f"{path} cannot be read" in message
    assert "truncated or damaged" in message


def test_a_file_that_is_compressed_as_a_whole_is_read(write):
    path = write()
    (expected,) = omnilearned.Reader(JETCLASS).read(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert omnilearned.files_of(path.parents[1]) == {"train": [path]}
    (chunk,) = omnilearned.Reader(JETCLASS).read(path)
    np.testing.assert_array_equal(chunk.constituents, expected.constituents)


def test_stored_jet_features_are_read_if_consistent_with_the_constituents(write, jets):
    _, counts, jet, _ = jets()
    calibrated = np.column_stack([1.1 * jet[:, 0], jet[:, 1], np.full(60, 77.0), counts])
    (chunk,) = omnilearned.Reader(JETCLASS).read(write(replace={"global": calibrated}))
    np.testing.assert_allclose(chunk.jet[:, 0], 1.1 * jet[:, 0], rtol=1e-6)
    np.testing.assert_allclose(chunk.jet[:, 1], jet[:, 1], rtol=1e-6)
    np.testing.assert_allclose(invariant_mass(chunk.jet), 77, rtol=1e-6)
    for other in (calibrated[:, [1, 0, 2, 3]], calibrated * [1e-3, 1, 1, 1]):
        (chunk,) = omnilearned.Reader(JETCLASS).read(write(replace={"global": other}))
        np.testing.assert_allclose(chunk.jet[:, 0], jet[:, 0], rtol=1e-6)


def test_datasets_without_identity_or_with_charge_alone_are_read(write, jets):
    *_, ids = jets()
    (chunk,) = omnilearned.Reader(TOP).read(write(columns=4, classes=2))
    assert chunk.identity is None
    (chunk,) = omnilearned.Reader(H1).read(write(columns=5, classes=2))
    assert chunk.identity.shape == (len(ids), 1)
    charged = np.isin(np.abs(ids), (211, 11, 13))
    np.testing.assert_array_equal(chunk.identity[:, 0] != 0, charged)


@pytest.mark.parametrize("label", [0, 200])
def test_data_have_one_class_whatever_its_number_in_the_mix(write, label):
    (chunk,) = omnilearned.Reader(ASPEN).read(write(classes=1, first=label))
    assert not chunk.label.any()


def test_jets_whose_eta_has_no_sign_are_counted_and_left_out(write, convert):
    path = write()
    with h5py.File(path, "a") as file:
        data = file["data"][:]
        data[:5, 1:] = 0  # one constituent, on the axis
        data[:5, 0, 0] = 0
        file["data"][...] = data
    (chunk,) = omnilearned.Reader(JETCLASS).read(path)
    lost = 60 - len(chunk.label)
    assert 3 <= lost <= 5  # central jets are kept
    assert chunk.rejected == {omnilearned.LOST: lost}
    assert set(range(5, 60)) <= set(chunk.rows.tolist())
    printed = convert("jetclass", "--splits", "train")
    assert f"{lost} {omnilearned.LOST}: left out" in printed


def test_the_jets_do_not_depend_on_the_chunks(write):
    path = write()
    (single,) = omnilearned.Reader(JETCLASS).read(path)
    chunks = list(omnilearned.Reader(JETCLASS).read(path, chunk_rows=7))
    for name in ("constituents", "jet", "label", "rows", "identity"):
        values = np.concatenate([getattr(chunk, name) for chunk in chunks])
        np.testing.assert_allclose(values, getattr(single, name), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"columns": 4}, "needs (jets, slots, 5 or more): eta_rel, phi_rel, log pt, log E"),
        ({"first": 1}, "pid runs from 1 to 10, which is not the 10 classes of JetClass"),
        ({"first": 2, "classes": 3}, "which does not identify the 10 classes"),
        ({"replace": {"pid": np.arange(7)}}, "which do not belong together"),
        ({"replace": {"pid": np.full(60, np.nan)}}, "pid runs from nan"),
        ({"replace": {"pid": np.arange(60) % 10 * 0.5}}, "pid is no whole number in jet 1 "),
        ({"replace": {"pid": np.full(60, b"QCD")}}, "pid holds |S3, expected numbers"),
    ],
)
def test_wrong_arrays_are_named(write, refused, change, words):
    path = write(**change)
    message = refused("jetclass", "--splits", "train")
    assert str(path) in message
    assert words in message


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (4, 9, "the identity 9 of a constituent of jet 3"),
        (2, np.nan, "data is not a finite number in jet 3"),
        (3, 900, "data has a momentum above 1e+08 GeV in jet 3"),
    ],
)
def test_an_impossible_number_names_its_jet(write, refused, column, value, words):
    path = write()
    with h5py.File(path, "a") as file:
        file["data"][3, 0, column] = value
    assert words in refused("jetclass", "--splits", "train")


def test_columns_that_are_not_read_may_be_missing_numbers(write):
    path = write(columns=7, replace={"global": np.full((60, 2), np.nan)})
    (expected,) = omnilearned.Reader(JETCLASS).read(write("train/b.h5"))
    with h5py.File(path, "r+") as file:
        file["data"][:, :, 5:] = np.nan  # impact parameters
    (chunk,) = omnilearned.Reader(JETCLASS).read(path)
    np.testing.assert_array_equal(chunk.jet, expected.jet)


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 1, 3, 2]], ids=["eta, phi", "pt, energy"])
def test_a_file_of_exchanged_columns_is_refused_although_central_jets_are_left(
    write, refused, order
):
    path = write("train/a.h5", columns=4, classes=2)
    with h5py.File(path, "r+") as file:
        file["data"][...] = file["data"][:][..., order]
    message = refused("top", "--splits", "train")
    assert f"{path}: data has " in message
    assert "of 60 jets whose eta cannot be recovered from their energies; its columns" in message
