"""Top tagging and quark/gluon jets with branches of JetClass style, in ROOT and in Parquet."""

import sys
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from root_trees import write_tree

from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import to_cartesian
from preprocessing import converted, qg, top

READERS = {"top": top, "qg": qg}


@pytest.fixture
def columns(toy_jets):
    """make(n, seed, jet_pt): the branches of n jets, label i % 2."""

    def make(n: int = 60, seed: int = 0, jet_pt: float = 600.0) -> dict:
        momenta, counts, jets = toy_jets(n, seed, jet_pt)
        kind = np.random.default_rng(seed).integers(0, 5, len(momenta))
        flat = dict(zip(converted.MOMENTUM, to_cartesian(momenta).T, strict=True))
        flat["part_charge"] = np.where(kind == 0, -1.0, 0.0)
        flat |= {name: kind == i for i, name in enumerate(converted.IDENTITY[1:])}
        branches = {name: ak.unflatten(np.float32(v), counts) for name, v in flat.items()}
        branches |= dict(zip(converted.JET, jets.astype(np.float32).T.copy(), strict=True))
        return branches | {"label": np.arange(n) % 2, "jet_nparticles": counts}

    return make


def write(path: Path, branches: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == converted.PARQUET:
        pytest.importorskip("pyarrow")
        ak.to_parquet(ak.Array(branches), path)
        return path
    return write_tree(path, "tree", branches)


@pytest.mark.parametrize("ending", [".root", ".parquet"])
@pytest.mark.parametrize(("name", "jet_pt"), [("top", 600.0), ("qg", 520.0)])
def test_jets_labels_and_identities_are_those_of_the_branches(
    columns, toy_jets, tmp_path, name, jet_pt, ending
):
    path = write(tmp_path / f"train_file{ending}", columns(jet_pt=jet_pt))
    chunks = list(READERS[name].read(path, chunk_rows=25))
    assert [len(chunk.label) for chunk in chunks] == [25, 25, 10]
    assert READERS[name].count(path) == 60
    momenta, counts, jets = toy_jets(60, 0, jet_pt)
    for field, expected in (
        ("constituents", momenta),
        ("counts", counts),
        ("jet", jets),
        ("label", np.arange(60) % 2),
        ("rows", np.arange(60)),
    ):
        values = np.concatenate([getattr(chunk, field) for chunk in chunks])
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    if name == "top":
        assert chunks[0].identity is None
    else:
        identity = np.concatenate([chunk.identity for chunk in chunks])
        np.testing.assert_array_equal(identity[:, 1:].sum(axis=1), 1)
        np.testing.assert_array_equal(identity[:, 0], -identity[:, 1])


def test_top_has_a_file_per_split(columns, convert, tmp_path):
    for seed, split in enumerate(("train", "val", "test")):
        write(tmp_path / f"raw/{split}_file.root", columns(seed=seed))
    convert("top")
    for split in ("train", "val", "test"):
        with h5py.File(tmp_path / f"top/{split}/top_{split}_000.h5") as file:
            assert list(attributes(file)["sources"]) == [f"{split}_file.root"]
            assert len(file["pid"]) == 60


def test_quark_gluon_training_files_give_validation_jets(columns, convert, tmp_path):
    for seed, name in enumerate(("train_file_0", "train_file_1", "test_file_0")):
        write(tmp_path / f"raw/{name}.root", columns(180, seed, 520.0))
    convert("qg")
    sizes = {}
    for split in ("train", "val", "test"):
        for path in (tmp_path / f"qg/{split}").glob("*.h5"):
            with h5py.File(path) as file:
                sizes[split] = sizes.get(split, 0) + len(file["pid"])
    assert sizes["test"] == 180
    assert sizes["train"] + sizes["val"] == 360
    assert 20 < sizes["val"] < 60


def test_both_kinds_a_strange_name_and_a_wrong_branch_are_refused(
    columns, write_top, refused, tmp_path
):
    raw = tmp_path / "raw"
    write(raw / "jets.root", columns())
    assert "must begin with train, val or test" in refused("top")
    (raw / "jets.root").rename(raw / "train_file.root")
    write_top(raw / "train.h5")
    assert "two versions of the same jets" in refused("top")
    (raw / "train.h5").unlink()
    branches = columns()
    branches["label"] = np.full(60, 2)
    write(raw / "train_file.root", branches)
    assert "label is 2 in jet 0" in refused("top")
    del branches["label"]
    write(raw / "train_file.root", branches)
    assert "lacks the branch label" in refused("top")


def test_text_in_place_of_numbers_is_refused(columns, refused, tmp_path):
    branches = columns() | {"label": ["QCD", "top"] * 30}
    (tmp_path / "raw").mkdir()
    with uproot.recreate(tmp_path / "raw/train_file.root") as file:
        file.mkrntuple("tree", branches)
    assert "label holds <U3, but numbers are expected" in refused("top")


def test_without_pyarrow_the_message_names_it(refused, tmp_path, monkeypatch):
    path = tmp_path / "raw/train_file.parquet"
    path.parent.mkdir()
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    message = refused("qg")
    assert "is a Parquet file, which pyarrow reads; install it with: pip install pyarrow" in message


def test_a_damaged_parquet_file_or_one_with_holes_is_refused(columns, refused, tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "raw/train_file.parquet"
    branches = columns(jet_pt=520.0)
    branches["jet_pt"] = ak.mask(branches["jet_pt"], np.arange(60) != 7)
    write(path, branches)
    assert "jet_pt is not a finite number in jet 7" in refused("qg")
    for name in converted.MOMENTUM:
        branches[name] = ak.mask(branches[name], np.arange(60) != 5)
    write(path, branches)
    assert "part_px is missing in jet 5" in refused("qg")
    del branches["part_charge"]
    write(path, branches)
    assert "lacks the column part_charge" in refused("qg")
    path.write_bytes(path.read_bytes()[:-200])
    assert f"{path} cannot be read" in refused("qg")
