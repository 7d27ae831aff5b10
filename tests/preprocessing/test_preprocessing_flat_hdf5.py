"""Tests of every dataset of flat HDF5 columns: ATLAS, JetNet, Aspen Open Jets."""

from importlib import import_module

import flat_files
import h5py
import numpy as np
import pytest
from damaged_files import MUTATIONS, survives

from omnilearn.data.catalogue import dataset
from preprocessing.jet_chunk import CHUNK_ROWS, prepare

every_dataset = pytest.mark.parametrize("name", flat_files.FILES)
READ = {  # column -> the numbers of a jet or constituent that are read
    "atlas": {
        **{f"fjet_clus_{part}": [0] for part in ("pt", "eta", "phi", "E")},
        **{f"fjet_{part}": [0] for part in ("pt", "eta", "phi", "m")},
        "weights": [0],
    },
    "jetnet30": {"particle_features": [0, 1, 2, 3], "jet_features": [0, 1, 2]},
    "jetnet150": {"particle_features": [0, 1, 2, 3], "jet_features": [0, 1, 2]},
    "aspen": {"PFCands": [0, 1, 2, 3, 9, 10], "jet_kinematics": [0, 1, 2]},
}
PT_COLUMNS = {  # what is multiplied when momenta are in other units
    "jetnet30": [("jet_features", 0), ("jet_features", 2)],
    "jetnet150": [("jet_features", 0), ("jet_features", 2)],
    "aspen": [("PFCands", slice(0, 4)), ("jet_kinematics", 0)],
}


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


@pytest.fixture
def make(toy_jets, raw):
    """make(name, columns that replace the toy's or None to drop one, n=...) -> the file."""

    def write(name: str, replace: dict | None = None, n: int = 50, seed: int = 0):
        arrays = flat_files.columns(name, toy_jets, n, seed) | (replace or {})
        arrays = {key: values for key, values in arrays.items() if values is not None}
        return flat_files.write(raw / flat_files.FILES[name], arrays)

    return write


def read_prepared(name: str, path):
    """All rows of a file as they are stored."""
    spec, reader = dataset(name), import_module(f"preprocessing.{name}")
    return [prepare(chunk, spec, path) for chunk in reader.read(path)]


@every_dataset
def test_a_missing_column_is_named_with_those_that_are_there(name, make, refused, raw):
    for key in READ[name]:
        make(name, {key: None})
        message = refused(name)
        assert f"{raw / flat_files.FILES[name]} has no {key}" in message
        assert dataset(name).title in message


@every_dataset
def test_a_column_of_another_shape_is_refused(name, make, refused, toy_jets):
    arrays = flat_files.columns(name, toy_jets)
    for key in READ[name]:
        wrong = arrays[key][..., :-1] if arrays[key].ndim > 1 else arrays[key][:, None]
        make(name, {key: wrong})
        message = refused(name)
        assert f"{key} has shape {wrong.shape}" in message


@every_dataset
def test_columns_of_unequal_lengths_are_refused(name, make, refused, toy_jets):
    key = list(READ[name])[1]
    make(name, {key: flat_files.columns(name, toy_jets)[key][:-1]})
    assert f"{key} has 49 rows" in refused(name)


@every_dataset
def test_words_in_place_of_numbers_are_refused(name, make, refused):
    key = next(iter(READ[name]))
    path = make(name, {key: None})
    with h5py.File(path, "a") as file:
        file[key] = ["gluon"] * 50
    assert f"{key} holds no numbers" in refused(name)
    with h5py.File(path, "a") as file:
        del file[key]
        file.create_group(key)
    assert f"{key} holds no numbers but a group" in refused(name)
    with h5py.File(path, "a") as file:
        del file[key]
        file[key] = h5py.SoftLink("/elsewhere")
    assert f"{key} holds no numbers but a link to nothing" in refused(name)


@every_dataset
def test_an_empty_folder_an_empty_file_and_a_file_of_no_jets_are_refused(
    name, make, refused, raw, toy_jets
):
    raw.mkdir()
    assert dataset(name).source in refused(name)
    (raw / flat_files.FILES[name]).touch()
    assert "0 bytes" in refused(name)
    make(name, {key: values[:0] for key, values in flat_files.columns(name, toy_jets).items()})
    assert "holds no jets" in refused(name)


@every_dataset
def test_nan_names_column_and_jet(name, make, refused, toy_jets):
    for key, parts in READ[name].items():
        for part in parts:
            values = flat_files.columns(name, toy_jets)[key]
            values.reshape(len(values), -1)[[17, 30], part] = np.nan
            make(name, {key: values})
            message = refused(name)
            assert key in message
            assert "is not a finite number in jet 17" in message


@pytest.mark.parametrize("name", PT_COLUMNS)
def test_momenta_in_mev_are_refused_with_the_hint(name, make, refused, toy_jets):
    arrays = flat_files.columns(name, toy_jets)
    for key, part in PT_COLUMNS[name]:
        arrays[key][..., part] *= 1000
    make(name, arrays)
    assert "looks like MeV" in refused(name)


@every_dataset
def test_features_give_back_the_constituents(name, make, toy_jets):
    momenta, counts, jets = toy_jets(50, 0, flat_files.JET_PT[name])
    (prepared,) = read_prepared(name, make(name))
    kept = np.minimum(counts, 30 if name == "jetnet30" else 40)
    slots = flat_files.padded(momenta, counts, 40)[np.arange(40) < kept[:, None]]
    np.testing.assert_array_equal(prepared.kept, kept)
    owner = np.repeat(np.arange(50), kept)
    np.testing.assert_allclose(prepared.features[:, 0], slots[:, 1] - jets[owner, 1], atol=2e-6)
    np.testing.assert_allclose(np.exp(prepared.features[:, 3]), slots[:, 0], rtol=2e-6)
    np.testing.assert_allclose(np.exp(prepared.features[:, 5]), slots[:, 3], rtol=3e-6)
    np.testing.assert_allclose(prepared.records["jet"][:, 0, 0], jets[:, 0], rtol=1e-6)
    assert (np.abs(prepared.features[:, 1]) < 1).all()


@every_dataset
def test_jets_of_no_constituent_are_counted_and_those_of_one_are_kept(
    name, make, toy_jets, convert, tmp_path
):
    arrays = flat_files.columns(name, toy_jets)
    for values in arrays.values():
        if values.ndim > 1 and values.shape[1] > 13:
            values[:10] = 0
            values[10:20, 1:] = 0
    make(name, arrays)
    printed = convert(name)
    dropped, single = 0, 0
    for path in (tmp_path / name).rglob("*.h5"):
        with h5py.File(path) as file:
            dropped += file.attrs["dropped_empty"]
            single += np.count_nonzero(file["multiplicity"][:] == 1)
            assert np.isfinite(file["data"][:]).all()
    assert (dropped, single) == (10, 10)
    assert "without constituents" in printed


@every_dataset
def test_every_jet_is_in_one_split(name, make, convert, tmp_path):
    make(name, n=400)
    convert(name)
    rows, sizes = [], {}
    for split, _ in dataset(name).splits:
        (path,) = (tmp_path / name / split).glob("*.h5")
        with h5py.File(path) as file:
            rows.append(file["source"][:, 1])
            sizes[split] = len(rows[-1])
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(400))
    for split, share in dataset(name).splits:
        assert abs(sizes[split] - 400 * share) < 3 * 20 * np.sqrt(share)


@every_dataset
def test_chunks_cover_a_file_longer_than_one(name, make, toy_jets):
    arrays = flat_files.columns(name, toy_jets)
    path = make(name, {key: np.concatenate([values] * 90) for key, values in arrays.items()})
    chunks = list(import_module(f"preprocessing.{name}").read(path))
    assert [chunk.rows[0] for chunk in chunks] == [0, CHUNK_ROWS]
    assert sum(len(chunk.label) for chunk in chunks) == 4500
    first, last = chunks[0].counts[:50], chunks[-1].counts[-50:]
    np.testing.assert_array_equal(first, last)


@pytest.mark.slow
@every_dataset
@pytest.mark.filterwarnings("ignore")  # damaged counts and types make NumPy warn before it fails
def test_damaged_files_are_refused_in_a_sentence(name, make, tmp_path):
    assert survives(name, make(name, n=20), tmp_path / "out") > MUTATIONS // 4


def test_the_downloads_are_the_files_that_are_read():
    for name in flat_files.FILES:
        reader = import_module(f"preprocessing.{name}")
        assert flat_files.FILES[name] in [file.name for file in reader.REMOTE]
        assert isinstance(reader.REMOTE, tuple)
        assert all(file.url.startswith("https://") for file in reader.REMOTE)


# what is changed alone, while the rest of the file stays -> words of the refusal
INCONSISTENT = {
    "constituents in GeV": (
        "atlas",
        {"fjet_clus_pt": lambda v: v / 1000, "fjet_clus_E": lambda v: v / 1000},
        "has 0.001 times the pt of their jet",
    ),
    "energies in GeV": (
        "atlas",
        {"fjet_clus_E": lambda v: v / 1000},
        "has 0.001 times the energy of their jet",
    ),
    "jet masses in GeV": (
        "atlas",
        {"fjet_m": lambda v: v / 1000},
        "has 1e+03 times the mass of their jet",
    ),
    "degrees": ("atlas", {"fjet_clus_phi": np.degrees}, "has a constituent of impossible"),
    "jets in another order": (
        "atlas",
        {f"fjet_{name}": lambda v: v[::-1] for name in ("pt", "eta", "phi", "m")},
        "jets in the order of their constituents",
    ),
    "energies below the momenta": (
        "atlas",
        {"fjet_clus_E": lambda v: v / 2},
        "the energy of a constituent is 0.5 times its momentum",
    ),
    "pt that is not relative": (
        "jetnet30",
        {"particle_features": lambda v: v * [1, 1, 1000, 1]},
        "has 1e+03 times the pt of their jet",
    ),
    "eta and phi exchanged": (
        "aspen",
        {"jet_kinematics": lambda v: v[:, [0, 2, 1, 3]]},
        "away from their jet",
    ),
}


@pytest.mark.parametrize("mistake", INCONSISTENT)
def test_constituents_that_do_not_fit_their_jets_are_refused(toy_jets, make, refused, raw, mistake):
    name, changes, words = INCONSISTENT[mistake]
    arrays = flat_files.columns(name, toy_jets)
    make(name, {key: change(arrays[key]) for key, change in changes.items()})
    message = refused(name)
    assert f"{raw / flat_files.FILES[name]}: " in message
    assert words in message


def test_calibrated_jets_of_some_of_their_constituents_are_read(toy_jets, make, convert):
    arrays = flat_files.columns("atlas", toy_jets)
    soft = {key: values * (np.arange(200) < 8) for key, values in arrays.items() if "clus" in key}
    make("atlas", {"fjet_pt": arrays["fjet_pt"] * 1.2, "fjet_m": arrays["fjet_m"] * 1.4} | soft)
    assert "jets (QCD" in convert("atlas")


@pytest.mark.parametrize(
    ("key", "filler", "words"),
    [
        ("fjet_clus_eta", -999, "jet 7 (counted from 0) has a constituent of impossible pt, eta"),
        ("fjet_clus_phi", 400, "jet 7 (counted from 0) has a constituent of impossible pt, eta"),
        ("fjet_clus_pt", -999, "fjet_clus_pt is below 0 in jet 7"),
    ],
)
def test_an_impossible_constituent_is_refused_with_its_jet(
    toy_jets, make, refused, key, filler, words
):
    values = flat_files.columns("atlas", toy_jets)[key].copy()
    values[7, 1] = filler
    make("atlas", {key: values})
    assert words in refused("atlas")
