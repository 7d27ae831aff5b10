"""A file whose momenta change their unit, or whose constituents change, after its first jets."""

import awkward as ak
import flat_files
import numpy as np
import pfnano_files
import pytest
import raw_dijets
from root_trees import write_tree

from omnilearn.data.catalogue import TOP
from omnilearn.errors import UserError
from preprocessing import h1
from preprocessing.jet_chunk import CHUNK_ROWS, require_one_unit

FACTORS = pytest.mark.parametrize("factor", [1000, 1e-3])
HERE = "some file"


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "raw"


def scaled(branch: ak.Array, first: int, factor: float) -> ak.Array:
    """A jagged branch multiplied by `factor` from row `first` on."""
    return ak.concatenate([branch[:first], branch[first:] * factor])


@FACTORS
@pytest.mark.parametrize("first", [30, 20])
def test_jets_in_two_units_are_refused_with_the_first_of_the_rarer_one(
    top_table, write_top, refused, raw, factor, first
):
    table = top_table()
    table[first:, :800] *= factor
    write_top(raw / "train.h5", table)
    write_top(raw / "val.h5", seed=1)
    message = refused("top")
    assert f"{raw / 'train.h5'}: the file mixes units" in message
    assert f"jet {first if first > 25 else 0} (counted from 0)" in message


@FACTORS
def test_a_change_of_unit_after_the_first_chunk_is_noticed(toy_jets, raw, refused, factor):
    arrays = flat_files.columns("jetnet30", toy_jets, CHUNK_ROWS + 50)
    arrays["jet_features"][CHUNK_ROWS + 10 :, [0, 2]] *= factor
    flat_files.write(raw / "t.hdf5", arrays)
    message = refused("jetnet30")
    assert f"mixes units: the pt of jet {CHUNK_ROWS + 10} (counted from 0)" in message


def test_constituents_that_change_after_the_first_chunk_are_noticed(toy_jets, raw, refused):
    arrays = flat_files.columns("jetnet30", toy_jets, CHUNK_ROWS + 200)
    arrays["particle_features"][CHUNK_ROWS:, :, 2] *= 100  # percent of the jet's pt
    flat_files.write(raw / "t.hdf5", arrays)
    assert "has 100 times the pt of their jet" in refused("jetnet30")


@FACTORS
def test_events_in_two_units_are_refused_before_the_trigger_leaves_them_out(raw, refused, factor):
    table = raw_dijets.raw_events()
    table[25:, 0:2100:3] *= factor
    raw_dijets.write(raw / "events_anomalydetection_v2.h5", table)
    assert "mixes units: the pt of event 25 (counted from 0)" in refused("lhco")


@FACTORS
def test_events_of_cms_in_two_units_are_refused_before_the_cuts(toy_jets, raw, refused, factor):
    branches = pfnano_files.branches(flat_files.columns("aspen", toy_jets))
    first = len(branches["run"]) * 2 // 3
    for name in ("PFCands_pt", "PFCands_mass", "FatJet_pt"):
        branches[name] = scaled(branches[name], first, factor)
    pfnano_files.write(raw / "nano.root", branches)
    assert f"mixes units: the pt of event {first} (counted from 0)" in refused("aspen")


@FACTORS
def test_events_of_h1_in_two_units_are_refused_before_the_cuts(toy_jets, raw, factor):
    momenta, counts, jets = toy_jets(60, jet_pt=20.0)
    axis = np.repeat(jets, counts, axis=0)
    relative = [momenta[:, 0] / axis[:, 0], *(momenta - axis)[:, 1:3].T, momenta[:, 3] / axis[:, 3]]
    branches = {"Q2": 200.0, "y": 0.3, "ptmiss": 1.0, "Empz": 50.0}
    branches = {name: np.full(60, value) for name, value in branches.items()}
    for names, columns, entries in (
        (("jet_pt", "jet_eta", "jet_phi", "jet_e"), jets.T, np.ones(60, int)),
        (
            ("pt", "eta", "phi", "e", "charge", "idx"),
            [*relative, *np.zeros((2, len(axis)))],
            counts,
        ),
    ):
        for name, values in zip(names, columns, strict=True):
            key = name if name.startswith("jet") else f"jet_part_{name}"
            branches[key] = ak.unflatten(values.astype("f4"), entries)
    for name in ("jet_pt", "jet_e"):
        branches[name] = scaled(branches[name], 40, factor)
    path = write_tree(raw / "Django_Eplus0607_0.root", "Django/minitree", branches)
    with pytest.raises(UserError, match=r"mixes units: the pt of event 40 \(counted from 0\)"):
        list(h1.read(path))


def test_single_soft_jets_and_jets_without_momentum_are_no_other_unit():
    jet_pt = np.full(300, 600.0)
    jet_pt[[3, 7, 9]], jet_pt[20:40] = 2.0, 0.0
    require_one_unit(jet_pt, np.arange(300), TOP, HERE, is_first=False)
    jet_pt[11] = 2.0
    with pytest.raises(UserError, match="jet 3 "):
        require_one_unit(jet_pt, np.arange(300), TOP, HERE, is_first=False)


def test_a_file_in_one_other_unit_is_left_to_the_range_of_the_dataset():
    require_one_unit(np.full(50, 6e5), np.arange(50), TOP, HERE, is_first=True)
    with pytest.raises(UserError, match="jet 4096 "):
        require_one_unit(np.full(50, 6e5), 4096 + np.arange(50), TOP, HERE, is_first=False)
