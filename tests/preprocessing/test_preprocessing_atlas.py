"""ATLAS jets: calibrated four-momenta, MeV, weights, two releases; the released outputs."""

import errno
import gzip
import shutil
import tarfile
import tempfile
from pathlib import Path

import flat_files
import h5py
import numpy as np
import pytest
from golden import assert_log_of_one_minus, released_arrays, stored_arrays

from omnilearn.data.catalogue import ATLAS
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import LOG_FLOOR
from preprocessing import atlas, public_hdf5
from preprocessing.jet_chunk import prepare


@pytest.fixture(scope="module")
def golden():
    """(released outputs and inputs, our arrays) of 40 jets."""
    released = released_arrays("atlas")
    columns = {name: released[f"in.{name}"] for name in atlas.LAYOUT}
    return released, stored_arrays(atlas.chunk(columns, Path("atlas"), 0), ATLAS, Path("atlas"))


def test_atlas_columns_labels_and_weights_equal_the_released_ones(golden):
    released, ours = golden
    for column in (0, 1, 3, 5, 6):
        theirs = released["out.data"][..., column]
        np.testing.assert_allclose(ours["data"][..., column], theirs, atol=2e-6)
    np.testing.assert_array_equal(ours["pid"], released["out.pid"])
    np.testing.assert_allclose(ours["weight"], released["out.weights"], rtol=1e-6)
    np.testing.assert_allclose(ours["jet"][:, :3], released["out.jet"][:, :3], rtol=1e-6, atol=1e-4)


def test_atlas_multiplicity_counts_beyond_the_slots_where_the_released_one_stops(golden):
    released, ours = golden
    np.testing.assert_array_equal(np.minimum(ours["multiplicity"], 120), released["out.jet"][:, 3])
    np.testing.assert_array_equal(ours["multiplicity"], (released["in.fjet_clus_pt"] > 0).sum(1))
    assert (ours["multiplicity"] > 120).sum() == 2


def test_atlas_log_one_minus_pt_rel_equals_the_released_one_above_the_floor(golden):
    released, ours = golden
    theirs, mine = released["out.data"][..., 2], ours["data"][..., 2]
    above = theirs > np.log(1e-5)
    # a constituent harder than the calibrated jet is 0 there, and the mask loses it
    lost = above & (mine < np.log(1e-5))
    assert np.argwhere(lost).tolist() == [[5, 0], [7, 0], [18, 0]]
    assert mine[5, 0] == pytest.approx(np.log(LOG_FLOOR))
    np.testing.assert_allclose(mine[above & ~lost], theirs[above & ~lost], atol=1e-5)


def test_atlas_jet_energy_is_the_calibrated_one_where_the_released_sums_the_clusters(golden):
    released, ours = golden
    real = ours["data"][..., 3] != 0
    energy = np.exp(ours["data"][..., 5].astype(np.float64))
    pt, eta, mass = (
        released[f"in.fjet_{name}"].astype(np.float64)[:, None] for name in ("pt", "eta", "m")
    )
    calibrated = np.hypot(pt * np.cosh(eta), mass) / 1000
    summed = released["in.fjet_clus_E"].astype(np.float64).sum(1, keepdims=True) / 1000
    assert_log_of_one_minus(ours["data"][..., 4], energy / calibrated, real)
    assert_log_of_one_minus(released["out.data"][..., 4], energy / summed, real)
    assert np.abs(calibrated / summed - 1).max() > 0.03


@pytest.fixture
def raw(toy_jets, tmp_path):
    """write(file name, columns that replace the toy's) in a folder; the folder."""

    def write(name: str = "train.h5", replace: dict | None = None, n: int = 50, seed: int = 0):
        columns = flat_files.columns("atlas", toy_jets, n, seed) | (replace or {})
        columns = {key: values for key, values in columns.items() if values is not None}
        flat_files.write(tmp_path / "raw" / name, columns)
        return tmp_path / "raw"

    return write


def test_training_files_are_split_into_train_and_val(raw, convert, tmp_path):
    raw("train.h5", n=200)
    raw("test.h5", seed=1)
    convert("atlas")
    sizes = {}
    for split in ("train", "val", "test"):
        with h5py.File(tmp_path / f"atlas/{split}/atlas_{split}_000.h5") as file:
            sizes[split] = len(file["pid"])
            assert list(attributes(file)["sources"]) == [
                "test.h5" if split == "test" else "train.h5"
            ]
    assert sizes["test"] == 50
    assert sizes["train"] + sizes["val"] == 200
    assert 20 < sizes["val"] < 60


def test_both_releases_are_read_with_their_key_of_the_weights(raw, toy_jets, convert, tmp_path):
    weights = flat_files.columns("atlas", toy_jets)["weights"]
    raw("train_nominal_000.h5", {"weights": None, "training_weights": weights})
    folder = raw("test-public.h5", seed=1)
    assert [shard.index for shard in atlas.shards(folder)] == [0, 0]
    convert("atlas")
    stored_weights = []
    for split in ("train", "val"):
        with h5py.File(tmp_path / f"atlas/{split}/atlas_{split}_000.h5") as file:
            stored_weights.append(file["weight"][:])
    np.testing.assert_allclose(np.sort(np.concatenate(stored_weights)), np.sort(weights), rtol=1e-6)


@pytest.fixture
def second_release(raw, toy_jets):
    """write(released): compressed files of record 80030 as `raw` writes them; the folder."""

    def write(*names: str) -> Path:
        for seed, name in enumerate(names):
            weights = flat_files.columns("atlas", toy_jets, seed=seed)["weights"]
            folder = raw(name, {"weights": None, "training_weights": weights}, seed=seed)
            plain = folder / name
            (folder / f"{name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
            plain.rename(folder.parent / name)
        return folder

    return write


def test_compressed_files_are_read(second_release, convert, tmp_path):
    folder = second_release("train_nominal_000.h5", "train_nominal_001.h5", "test_nominal_000.h5")
    plain, compressed = tmp_path / "train_nominal_001.h5", folder / "train_nominal_001.h5.gz"
    assert atlas.count(compressed) == atlas.count(plain) == 50
    for ours, theirs in zip(atlas.read(compressed), atlas.read(plain), strict=True):
        for name, values in vars(theirs).items():
            np.testing.assert_array_equal(getattr(ours, name), values)
    convert("atlas")
    with h5py.File(tmp_path / "atlas/test/atlas_test_000.h5") as file:
        assert list(attributes(file)["sources"]) == ["test_nominal_000.h5.gz"]
        assert len(file["pid"]) == 50
    assert sorted(path.suffix for path in folder.iterdir()) == [".gz"] * 3


def test_the_content_and_not_the_name_says_whether_a_file_is_compressed(second_release, tmp_path):
    compressed = second_release("train_nominal_000.h5") / "train_nominal_000.h5.gz"
    plain = tmp_path / "train_nominal_000.h5"
    (expected,) = atlas.read(plain)
    plain.rename(tmp_path / "kept")
    compressed.rename(plain)
    (tmp_path / "kept").rename(compressed)
    for path in (plain, compressed):
        (jets,) = atlas.read(path)
        np.testing.assert_array_equal(jets.constituents, expected.constituents)


def test_one_file_at_a_time_is_decompressed_to_a_nameless_file(
    second_release, tmp_path, monkeypatch
):
    folder = second_release("train_nominal_000.h5", "train_nominal_001.h5")
    (tmp_path / "room").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "room"))
    contents = [public_hdf5.uncompressed(folder / f"train_nominal_00{i}.h5.gz") for i in (0, 0, 1)]
    assert contents[0] is contents[1]
    assert [content.closed for content in contents] == [True, True, False]
    assert not list((tmp_path / "room").iterdir())


def test_a_truncated_or_invalid_compressed_file_is_refused(second_release, refused):
    folder = second_release("train_nominal_000.h5")
    path = folder / "train_nominal_000.h5.gz"
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"no gzip" + content):
        path.write_bytes(damaged)
        message = refused("atlas")
        assert f"{path} cannot be read" in message
        assert "truncated or damaged" in message


def test_a_compressed_file_of_another_kind_is_named(second_release, refused, tmp_path):
    path = second_release("train_nominal_000.h5") / "train_nominal_000.h5.gz"
    with tarfile.open(tmp_path / "jets.tar", "w") as archive:
        archive.add(tmp_path / "train_nominal_000.h5", "train_nominal_000.h5")
    for content, words in (
        (path.read_bytes(), "compressed with gzip"),
        (b"<html>404</html>", "a web page"),
        ((tmp_path / "jets.tar").read_bytes(), "a tar archive"),
    ):
        path.write_bytes(gzip.compress(content))
        assert f"{path} is compressed with gzip and holds, unpacked, {words}" in refused("atlas")


def test_a_full_disk_names_the_folder_of_temporary_files(second_release, refused, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    second_release("train_nominal_000.h5")
    monkeypatch.setattr(shutil, "copyfileobj", full)
    message = refused("atlas")
    assert "the disk is full; make room or set TMPDIR to a larger folder" in message


def test_a_compressed_file_beside_its_decompressed_copy_is_refused(
    second_release, refused, tmp_path
):
    folder = second_release("train_nominal_000.h5")
    (tmp_path / "train_nominal_000.h5").rename(folder / "train_nominal_000.h5")
    assert "hold the same jets" in refused("atlas")


def test_the_files_of_both_records_are_offered():
    assert [file.name for file in atlas.REMOTE] == ["train.h5", "test.h5"]
    names = {file.name for file in atlas.OTHER_SOURCES["80030"]}
    assert len(names) == 929 + 104
    assert {"train_nominal_928.h5.gz", "test_nominal_103.h5.gz"} < names
    assert "record/15013" in ATLAS.source
    assert "record/80030" in ATLAS.source


def test_files_of_two_releases_are_not_mixed(raw, refused):
    raw("train.h5")
    assert "two releases" in refused("atlas", "--raw", raw("train_nominal_000.h5"))


def test_a_file_in_gev_is_refused(raw, toy_jets, refused):
    columns = flat_files.columns("atlas", toy_jets)
    for name in ("fjet_clus_pt", "fjet_clus_E", "fjet_pt", "fjet_m"):
        columns[name] /= 1000
    assert "looks like GeV" in refused("atlas", "--raw", raw("train.h5", columns))


def test_a_label_that_is_no_class_is_refused(raw, refused):
    raw(replace={"labels": np.where(np.arange(50) == 7, 2, 1)})
    assert "labels is 2 in jet 7" in refused("atlas")


def test_a_jet_mass_below_zero_counts_as_zero(toy_jets):
    columns = flat_files.columns("atlas", toy_jets)
    columns["fjet_m"][3] = -5.0
    prepared = prepare(atlas.chunk(columns, Path("a"), 0), ATLAS, Path("a"))
    assert prepared.records["jet"][3, 0, 2] == pytest.approx(0, abs=1e-3)
