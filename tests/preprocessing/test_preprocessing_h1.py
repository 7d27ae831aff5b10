"""The H1 minitrees: counts of each cut, the leading jet, momenta from fractions."""

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from damaged_files import MUTATIONS, survives
from golden import stored_arrays
from public_order import in_public_order
from root_trees import write_tree

from omnilearn.data.catalogue import H1
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import delta_phi, invariant_mass
from preprocessing import h1
from preprocessing.jet_chunk import CHUNK_ROWS

RAPGAP, DJANGO = "Rapgap_Eplus0607_0.root", "Django_Eplus0607_0.root"


@pytest.fixture
def branches(toy_jets):
    """make(n, seed): the branches of n events that pass all cuts, each with two jets."""

    def make(n: int = 50, seed: int = 0) -> dict[str, np.ndarray | ak.Array]:
        momenta, counts, jets = toy_jets(2 * n, seed, jet_pt=20.0)
        rng = np.random.default_rng(seed)
        owner = np.repeat(np.arange(2 * n), counts)
        axis = jets[owner]
        part = {
            "pt": momenta[:, 0] / axis[:, 0],
            "eta": momenta[:, 1] - axis[:, 1],
            "phi": delta_phi(momenta[:, 2], axis[:, 2]),
            "e": momenta[:, 3] / axis[:, 3],
            "charge": rng.integers(-1, 2, len(momenta)),
            "idx": owner % 2,
        }
        arrays = {
            "Q2": rng.uniform(160, 1000, n),
            "y": rng.uniform(0.1, 0.6, n),
            "ptmiss": rng.uniform(0, 9, n),
            "Empz": rng.uniform(46, 64, n),
        }
        columns = dict(zip(("pt", "eta", "phi", "e"), jets.T, strict=True))
        columns["mass"] = invariant_mass(jets)
        for name, values in columns.items():
            arrays[f"jet_{name}"] = ak.unflatten(values.astype("f4"), np.full(n, 2))
        per_event = counts.reshape(n, 2).sum(axis=1)
        for name, values in part.items():
            kind = "i4" if name == "idx" else "f4"
            arrays[f"jet_part_{name}"] = ak.unflatten(values.astype(kind), per_event)
        return arrays

    return make


@pytest.fixture
def write(branches, tmp_path):
    """write(name, tree, n, seed, **branches that replace the toy's): a file in tmp_path / raw."""

    def write(
        name: str = RAPGAP, tree: str | None = None, n: int = 50, seed: int = 0, **replaced
    ) -> Path:
        tree = tree or f"{Path(name).name.partition('_')[0]}/minitree"
        return write_tree(tmp_path / "raw" / name, tree, branches(n, seed) | replaced)

    return write


def test_constituents_of_the_leading_jet_have_their_absolute_momenta(branches, toy_jets, write):
    path = write()
    chunk = next(h1.read(path))
    momenta, counts, jets = toy_jets(100, 0, jet_pt=20.0)
    leading = np.repeat(np.arange(100), counts) % 2 == 0
    np.testing.assert_array_equal(chunk.counts, counts[::2])
    np.testing.assert_allclose(chunk.jet, jets[::2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(chunk.constituents[:, 0], momenta[leading][:, 0], rtol=1e-5)
    np.testing.assert_allclose(chunk.constituents[:, 3], momenta[leading][:, 3], rtol=1e-5)
    np.testing.assert_allclose(chunk.constituents[:, 1], momenta[leading][:, 1], atol=1e-5)
    turned = delta_phi(chunk.constituents[:, 2], momenta[leading][:, 2])
    np.testing.assert_allclose(turned, 0, atol=1e-5)
    charge = ak.to_numpy(ak.flatten(branches()["jet_part_charge"]))
    np.testing.assert_array_equal(chunk.identity[:, 0], charge[leading])


def test_the_eighth_stored_feature_is_the_charge(write, convert, tmp_path):
    write(f"out_ep0607/{RAPGAP}")
    write(f"out_ep0607/{DJANGO}", seed=1)
    convert("h1")
    jets = in_public_order(tmp_path / "h1")
    assert jets["data"].shape == (100, 30, 8)
    assert set(np.unique(jets["data"][..., 7])) == {-1, 0, 1}
    # source 0 is Djangoh, 1 Rapgap, in the order of the classes
    np.testing.assert_array_equal(jets["pid"], jets["source"][:, 0])
    assert len(np.unique(jets["source"], axis=0)) == 100
    with h5py.File(tmp_path / "h1/train/h1_train_000.h5") as file:
        assert attributes(file)["features"][7] == "charge"


CUTS = [
    ("Q2", 150.0, "with Q2 not above 150 GeV^2"),
    ("y", 0.08, "with y outside 0.08-0.7"),
    ("y", 0.71, "with y outside 0.08-0.7"),
    ("ptmiss", 10.0, "with ptmiss not below 10 GeV"),
    ("Empz", 44.0, "with E - pz outside 45-65 GeV"),
    ("Empz", 65.0, "with E - pz outside 45-65 GeV"),
]


@pytest.mark.parametrize(("name", "value", "reason"), CUTS)
def test_an_event_outside_a_cut_is_left_out_and_counted(branches, write, name, value, reason):
    values = branches()[name]
    values[[3, 9]] = value
    chunk = next(h1.read(write(**{name: values})))
    assert chunk.rejected == {reason: 2}
    np.testing.assert_array_equal(chunk.rows, np.delete(np.arange(50), [3, 9]))
    assert len(chunk.counts) == len(chunk.jet) == len(chunk.label) == 48
    assert chunk.counts.sum() == len(chunk.constituents)


def changed(values: ak.Array, event: int, value: float) -> ak.Array:
    """The branch with another value for the leading jet of one event."""
    flat = ak.to_numpy(ak.flatten(values)).copy()
    flat[2 * event] = value
    return ak.unflatten(flat, ak.num(values))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("jet_pt", 9.9, "with a leading jet not above 10 GeV"),
        ("jet_eta", -1.6, "with a leading jet outside -1.5 < eta < 2.75"),
        ("jet_eta", 2.8, "with a leading jet outside -1.5 < eta < 2.75"),
    ],
)
def test_cuts_apply_to_the_leading_jet(branches, write, name, value, reason):
    path = write(**{name: changed(branches()[name], 4, value)})
    assert next(h1.read(path)).rejected == {reason: 1}


def test_an_event_without_a_jet_is_left_out_and_counted(branches, write):
    arrays = branches()
    for name, values in arrays.items():
        if name.startswith("jet_"):
            arrays[name] = ak.concatenate([values[:5], values[:1][:, :0], values[6:]])
    chunk = next(h1.read(write(**arrays)))
    assert chunk.rejected == {"without a jet": 1}
    np.testing.assert_array_equal(chunk.rows, np.delete(np.arange(50), 5))


def test_a_jet_without_constituents_is_left_out_and_counted(branches, write, convert):
    index = branches()["jet_part_idx"]
    write(jet_part_idx=ak.where(ak.local_index(index, axis=0) == 5, index * 0 + 1, index))
    write(DJANGO, seed=1)
    printed = convert("h1")
    assert printed.count("1 without constituents: left out") == 1


def test_thirty_constituents_are_stored_and_all_are_counted(write):
    path = write()
    arrays = stored_arrays(next(h1.read(path)), H1, path)
    assert arrays["multiplicity"].max() > 30
    long = arrays["multiplicity"] > 30
    assert (arrays["data"][long][:, 29, 3] != 0).all()
    assert (np.diff(arrays["data"][long][..., 3], axis=1) <= 0).all()


def test_chunks_cover_a_file_longer_than_one(write):
    path = write(n=CHUNK_ROWS + 5)
    assert [chunk.rows[0] for chunk in h1.read(path)] == [0, CHUNK_ROWS]
    assert h1.count(path) == CHUNK_ROWS + 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ptmiss": None}, "the tree lacks the branch ptmiss"),
        ({"jet_e": None}, "the tree lacks the branch jet_e"),
        ({"y": np.full(50, np.nan)}, "y is not a finite number in event 0"),
        ({"jet_pt": np.full(50, 20.0)}, "jet_pt has not several numbers per row"),
        ({"Q2": ak.Array([[200.0]] * 50)}, "Q2 has not one number per row"),
        ({"Q2": np.full(50, 100.0)}, "100 with Q2 not above 150 GeV^2: left out; nothing"),
    ],
)
def test_wrong_branches_are_named(write, refused, change, words):
    path = write(**change)
    write(DJANGO, **change)
    message = refused("h1")
    assert words in message
    assert str(path.parent) in message


def test_branches_of_unequal_lengths_are_refused(branches, write, refused):
    write(jet_part_charge=branches()["jet_part_charge"][:, 1:])
    write(DJANGO)
    assert "jet_part_charge and jet_part_pt have unequal lengths in event 0" in refused("h1")


def test_a_negative_fraction_is_refused(branches, write, refused):
    values = branches()["jet_part_pt"]
    write(jet_part_pt=ak.where(ak.local_index(values, axis=0) == 7, -values, values))
    write(DJANGO)
    assert "jet_part_pt is negative in event 7" in refused("h1")


def test_other_units_are_refused_before_the_cuts(branches, write, refused):
    for name, scale, unit in ((RAPGAP, 1000, "MeV"), (DJANGO, 1e-3, "TeV")):
        write(RAPGAP)
        write(DJANGO)
        values = branches()["jet_pt"]
        write(name, jet_pt=ak.values_astype(scale * values, "f4"))
        assert f"looks like {unit}" in refused("h1")


def test_another_tree_or_the_other_generator_is_refused(write, refused):
    write(DJANGO)
    write(RAPGAP, tree="Events")
    assert "has no tree 'Django/minitree' or 'Rapgap/minitree'" in refused("h1")
    path = write(RAPGAP, tree="Django/minitree")
    assert "its name is one of Rapgap" in refused("h1")
    with uproot.update(path) as file:
        file.mktree("Rapgap/minitree", {"Q2": "f4"})
    assert "has more than one tree 'Django/minitree' or 'Rapgap/minitree'" in refused("h1")


def test_missing_and_truncated_files_are_refused(write, refused):
    path = write()
    assert "holds no *Django_Eplus0607_*.root" in refused("h1")
    write(DJANGO)
    path.write_bytes(path.read_bytes()[:-3000])
    assert "truncated or damaged" in refused("h1")


# damaged counts and types make NumPy and uproot warn before they fail
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_in_a_sentence(write, tmp_path):
    path = write(n=20)
    assert survives("h1", path, tmp_path / "out") > MUTATIONS // 8
