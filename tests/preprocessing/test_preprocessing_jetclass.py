"""JetClass from its public layout: every jet once, classes mixed, momenta unchanged."""

import shutil
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from golden import DATA

from omnilearn.data.catalogue import JETCLASS
from preprocessing import jetclass, jetclass_files
from preprocessing.jet_chunk import JetChunk, prepare

TRAIN = ("--splits", "train")  # alone
PUBLIC = {name: file for file, name in jetclass_files.CLASS_OF_FILE.items()}


def jet_pts(*paths: Path) -> np.ndarray:
    """Sorted pt of all jets of converted or public files, which identifies toy jets."""
    pts = []
    for path in paths:
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                pts.append(file["jet"][:, 0])
        else:
            with uproot.open(path) as file:
                pts.append(file["tree/jet_pt"].array(library="np"))
    return np.sort(np.concatenate(pts))


def test_each_output_takes_one_file_of_every_class_and_mixes_them(
    write_jetclass, convert, tmp_path
):
    raw = [
        write_jetclass(tmp_path / f"raw/train_100M/{file}_00{k}.root", name, seed=10 * i + k)
        for i, (name, file) in enumerate(PUBLIC.items())
        for k in range(2)
    ]
    printed = convert("jetclass", *TRAIN)
    assert "train: 20 public files" in printed
    assert "val: no public files found" in printed
    paths = sorted((tmp_path / "jetclass/train").iterdir())
    assert [path.name for path in paths] == ["jetclass_train_000.h5", "jetclass_train_001.h5"]
    np.testing.assert_array_equal(jet_pts(*paths), jet_pts(*raw))
    for path in paths:
        with h5py.File(path) as file:
            labels = file["pid"][:].argmax(axis=1)
            np.testing.assert_array_equal(file.attrs["jets_per_class"], [50] * 10)
            np.testing.assert_array_equal(np.bincount(labels), [50] * 10)
        assert len(np.unique(labels[:50])) >= 8
        assert len(np.unique(labels[-50:])) >= 8


def test_unequal_numbers_of_files_lose_no_jet(write_jetclass, convert, tmp_path):
    numbers = {"QCD": 5, "Tbqq": 2, "Hbb": 1}
    raw = [
        write_jetclass(tmp_path / f"raw/val/{PUBLIC[name]}_00{i}.root", name, 20 + i, 7 * i + k)
        for k, (name, number) in enumerate(numbers.items())
        for i in range(number)
    ]
    convert("jetclass", "--splits", "val")
    paths = sorted((tmp_path / "jetclass/val").iterdir())
    assert len(paths) == 5
    np.testing.assert_array_equal(jet_pts(*paths), jet_pts(*raw))


def test_the_jets_do_not_depend_on_the_number_of_processes(write_jetclass, convert, tmp_path):
    for number in range(3):
        write_jetclass(tmp_path / f"raw/train/HToBB_{number:03d}.root", "Hbb", seed=number)
    for workers in (1, 2):
        convert("jetclass", *TRAIN, "--out", tmp_path / str(workers), "--workers", workers)
    for path in (tmp_path / "1").rglob("*.h5"):
        assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes()


def test_file_numbers_decide_the_split_of_a_flat_folder(write_jetclass, convert, tmp_path):
    for number in (0, 99, 100, 119, 120, 124):
        write_jetclass(tmp_path / f"raw/TTBarLep_{number:03d}.root", "Tbl", n=10, seed=number)
    convert("jetclass")
    for split in ("train", "val", "test"):
        assert len(list((tmp_path / "jetclass" / split).iterdir())) == 2


def test_a_file_of_mixed_classes_is_labelled_by_its_branches(write_jetclass, convert, tmp_path):
    names = np.array(JETCLASS.class_names)[np.arange(50) % 10]
    write_jetclass(tmp_path / "raw/train/mixed.root", names)
    convert("jetclass", *TRAIN)
    with h5py.File(tmp_path / "jetclass/train/jetclass_train_000.h5") as file:
        np.testing.assert_array_equal(file["pid"][:].sum(axis=0), [5] * 10)


def test_constituents_are_ordered_cut_to_the_slots_and_all_counted(convert, tmp_path):
    (tmp_path / "raw/train").mkdir(parents=True)
    shutil.copy(DATA / "jetclass_50.root", tmp_path / "raw/train")
    printed = convert("jetclass", *TRAIN)
    assert "5 values of log(1 - rel) clipped" in printed
    with h5py.File(tmp_path / "jetclass/train/jetclass_train_000.h5") as file:
        data, multiplicity = file["data"][:], file["multiplicity"][:]
        np.testing.assert_array_equal(file["jet"][:, 3], multiplicity)
        assert file.attrs["clipped"] == 5
    assert data.shape == (50, 150, 13)
    assert multiplicity.max() == 170
    filled = np.arange(150) < multiplicity[:, None]
    assert ((data != 0).any(axis=2) == filled).all()
    log_pt = np.where(filled, data[..., 3], -np.inf)
    assert (log_pt[:, 1:] <= log_pt[:, :-1]).all()


def test_unordered_constituents_keep_their_identity(write_jetclass, toy_jets, tmp_path):
    path = write_jetclass(tmp_path / "HToBB_000.root", "Hbb")
    chunk = next(jetclass.read(path))
    momenta, counts, _ = toy_jets(50, 0)
    np.testing.assert_array_equal(chunk.counts, counts)
    np.testing.assert_allclose(chunk.constituents, momenta, rtol=1e-5, atol=1e-5)
    order = np.random.default_rng(1).permuted(np.arange(chunk.counts[0]))
    shuffled = JetChunk(**vars(chunk))
    shuffled.constituents, shuffled.identity = chunk.constituents.copy(), chunk.identity.copy()
    shuffled.constituents[: counts[0]] = chunk.constituents[order]
    shuffled.identity[: counts[0]] = chunk.identity[order]
    expected = prepare(chunk, JETCLASS, path).features
    np.testing.assert_array_equal(prepare(shuffled, JETCLASS, path).features, expected)


def test_constituents_without_pt_are_none_and_jets_without_constituents_are_dropped(
    write_jetclass, toy_jets, convert, tmp_path
):
    _, counts, _ = toy_jets(50)
    path = write_jetclass(tmp_path / "first.root")
    with uproot.open(path) as file:
        px, py = (file[f"tree/part_{name}"].array() for name in ("px", "py"))
    owner = np.repeat(np.arange(50), counts)
    keep = owner >= 3  # the first three jets lose all constituents
    soft = ak.flatten(abs(px)) < 1.0
    px, py = (np.where(keep & ~soft, ak.flatten(values), 0.0) for values in (px, py))
    write_jetclass(
        tmp_path / "raw/train/HToGG_000.root",
        "Hgg",
        part_px=ak.unflatten(np.float32(px), counts),
        part_py=ak.unflatten(np.float32(py), counts),
    )
    printed = convert("jetclass", *TRAIN)
    assert "3 without constituents: left out" in printed
    with h5py.File(tmp_path / "jetclass/train/jetclass_train_000.h5") as file:
        assert file["data"].shape[0] == 47
        assert file.attrs["dropped_empty"] == 3
        multiplicity = np.bincount(owner[keep & ~np.asarray(soft)], minlength=50)[3:]
        np.testing.assert_array_equal(np.sort(file["multiplicity"]), np.sort(multiplicity))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_Hbb": np.ones(50, bool)}, ("do not name exactly one class in jet 0",)),
        ({"label_Tbl": None}, ("lacks the branch label_Tbl",)),
        ({"jet_energy": np.full(50, np.nan, np.float32)}, ("jet_energy", "jet 0", "not a finite")),
        ({"jet_pt": np.full(50, 6e5, np.float32)}, ("median jet pt", "MeV")),
        ({"jet_pt": np.zeros(50, np.float32)}, ("impossible jet pt",)),
        ({"jet_eta": np.full(50, 1e30, np.float32)}, ("jet 0", "impossible")),
    ],
)
def test_a_wrong_branch_is_named(write_jetclass, refused, tmp_path, changes, words):
    path = write_jetclass(tmp_path / "raw/train/mine.root", **changes)
    message = refused("jetclass", *TRAIN)
    for word in (str(path), *words):
        assert word in message


def test_nan_in_a_constituent_names_branch_and_jet(write_jetclass, toy_jets, refused, tmp_path):
    momenta, counts, _ = toy_jets(50)
    values = np.ones(len(momenta), np.float32)
    values[counts[:31].sum()] = np.inf  # the first constituent of jet 31
    path = write_jetclass(tmp_path / "raw/train/QCD.root", part_energy=ak.unflatten(values, counts))
    message = refused("jetclass", *TRAIN)
    assert f"{path}: part_energy is not a finite number in jet 31" in message


def test_ragged_branches_of_unequal_length_are_refused(write_jetclass, toy_jets, refused, tmp_path):
    momenta, counts, _ = toy_jets(50)
    counts = counts.copy()
    counts[[4, 5]] += (1, -1)
    charge = ak.unflatten(np.zeros(len(momenta), np.float32), counts)
    write_jetclass(tmp_path / "raw/train/QCD.root", part_charge=charge)
    message = refused("jetclass", *TRAIN)
    assert "part_charge and part_px have unequal lengths in jet 4" in message


def test_a_file_named_after_another_class_is_refused(write_jetclass, refused, tmp_path):
    write_jetclass(tmp_path / "raw/train/HToCC_000.root", "Hbb")
    message = refused("jetclass", *TRAIN)
    assert "labelled Hbb, but the file name is that of Hcc" in message


def test_a_file_of_no_split_is_refused(write_jetclass, refused, tmp_path):
    write_jetclass(tmp_path / "raw/HToCC_500.root", "Hcc")
    assert "belongs to no split" in refused("jetclass", *TRAIN)


def test_an_empty_folder_and_an_empty_file_are_refused(refused, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    assert "holds no .root file" in refused("jetclass", *TRAIN)
    (raw / "HToBB_000.root").touch()
    assert "is empty (0 bytes)" in refused("jetclass", *TRAIN)


def test_a_tree_of_another_name_or_without_jets_is_refused(refused, tmp_path):
    (tmp_path / "raw").mkdir()
    with uproot.recreate(tmp_path / "raw/HToBB_000.root") as file:
        file.mktree("Events", {"x": "f4"})
        file["Events"].extend({"x": np.ones(3, np.float32)})
    assert "has no tree 'tree' but Events" in refused("jetclass", *TRAIN)
    with uproot.recreate(tmp_path / "raw/HToBB_000.root") as file:
        file["tree"] = np.histogram(np.ones(3))
    assert "HToBB_000.root: tree is a TH1D and no tree" in refused("jetclass", *TRAIN)


@pytest.mark.parametrize(
    ("branch", "value"), [("part_charge", -99), ("part_isPhoton", 7), ("part_isMuon", -1)]
)
def test_a_filler_in_place_of_an_identity_is_refused(
    write_jetclass, toy_jets, refused, tmp_path, branch, value
):
    _, counts, _ = toy_jets(50, 0)
    values = np.zeros(counts.sum(), np.float32)
    values[counts[:3].sum()] = value
    path = tmp_path / "raw/HToBB_000.root"
    write_jetclass(path, "Hbb", **{branch: ak.unflatten(values, counts)})
    message = refused("jetclass", *TRAIN)
    assert f"{path}: jet 3 (counted from 0) has a constituent of a charge above 2 or a" in message
