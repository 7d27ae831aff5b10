"""Files of the suite and of the released code are read alike; faults are named with their place."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from toy_jets import TOP40, rewrite, write_toy_file

from omnilearn import hdf5
from omnilearn.data.catalogue import JETCLASS, TOP
from omnilearn.data.layout import find_files
from omnilearn.data.reader import OPEN_FILES, JetFiles
from omnilearn.errors import UserError
from omnilearn.hdf5 import refuse_external_links


def spoil(path: Path, key: str, index: tuple, value: float) -> None:
    with h5py.File(path, "r+") as file:
        file[key][index] = value


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("slots", [25, 40, 60])
def test_a_file_with_another_number_of_slots_gives_its_hardest_constituents(
    tmp_path, slots, released
):
    path = tmp_path / "top_train_000.h5"
    write_toy_file(path, replace(TOP40, max_constituents=slots), 50, seed=4, released=released)
    with h5py.File(path) as file, JetFiles([path], TOP40) as files:
        kept, data = min(slots, 40), files.read(0, 50)["data"]
        np.testing.assert_allclose(data[:, :kept], file["data"][:, :kept], rtol=1e-6)
        assert not data[:, kept:].any()
        filled = (file["data"][:, :kept] != 0).any(axis=-1).sum(axis=1)
        np.testing.assert_array_equal(files.multiplicity, filled)


def test_a_file_still_being_written_is_ignored(tmp_path):
    (tmp_path / "top/train").mkdir(parents=True)
    (tmp_path / "top/train/.top_train_000.42.partial.h5").touch()
    with pytest.raises(UserError, match="no train files of top"):
        find_files(tmp_path, TOP, "train")


def test_the_origin_is_simulated_if_any_file_is(tmp_path, path):
    simulated = tmp_path / "top_train_001.h5"
    write_toy_file(simulated, TOP40, 20, seed=2)
    with h5py.File(simulated, "r+") as file:
        file.attrs["origin"] = "simulated"
    with JetFiles([path], TOP40) as public, JetFiles([path, simulated], TOP40) as mixed:
        assert (public.origin, mixed.origin) == ("public", "simulated")


def test_several_files_are_one_sequence_of_jets(tmp_path):
    paths = [tmp_path / f"top_train_{part}.h5" for part in range(3)]
    for part, path in enumerate(paths):
        write_toy_file(path, TOP40, (5, 1, 30)[part], seed=part)
    stored = []
    for path in paths:
        with h5py.File(path) as file:
            stored.append(file["data"][()])
    with JetFiles(paths, TOP40) as files:
        jets = files.read(3, 20)
        np.testing.assert_array_equal(jets["data"], np.concatenate(stored)[3:20])
        rows = np.array([35, 5, 0, 6, 7, 8])
        np.testing.assert_array_equal(files.gather(rows)["data"], np.concatenate(stored)[rows])
        assert files.num_jets == 36
        assert files.multiplicity.dtype == np.uint8
        filled = (np.concatenate(stored) != 0).any(axis=2).sum(axis=1)
        np.testing.assert_array_equal(files.multiplicity, filled)


def test_blocks_never_cross_a_file(tmp_path):
    paths = [tmp_path / f"top_train_{part}.h5" for part in range(3)]
    for part, path in enumerate(paths):
        write_toy_file(path, TOP40, (200, 3, 117)[part], seed=part)
    with JetFiles(paths, TOP40) as files:
        assert {0, 200, 203, 320} <= set(files.edges.tolist())
        assert (np.diff(files.edges) > 0).all()


def test_a_limit_takes_the_first_jets_and_opens_no_more_files(tmp_path, path):
    with JetFiles([path, tmp_path / "does_not_exist.h5"], TOP40, limit=60) as files:
        assert files.num_jets == 60
    with JetFiles([path], TOP40, limit=7) as files:
        assert files.num_jets == len(files.multiplicity) == files.edges[-1] == 7


def test_few_files_are_open_at_a_time(tmp_path):
    paths = [tmp_path / f"top_train_{part:03d}.h5" for part in range(OPEN_FILES + 5)]
    for path in paths:
        write_toy_file(path, TOP40, 2, seed=0)
    with JetFiles(paths, TOP40) as files:
        assert len(files.read(0, files.num_jets)["weight"]) == 2 * len(paths)
        assert len(files._handles) == OPEN_FILES


def test_the_structure_of_a_file_is_checked_once_unless_it_is_replaced(tmp_path, monkeypatch):
    """With more files than handles, files are opened repeatedly."""
    paths = [tmp_path / f"top_train_{part:03d}.h5" for part in range(OPEN_FILES + 1)]
    for path in paths:
        write_toy_file(path, TOP40, 2, seed=0)
    checked = []

    def check(file, path):
        checked.append(path)
        refuse_external_links(file, path)

    monkeypatch.setattr(hdf5, "refuse_external_links", check)
    with JetFiles(paths, TOP40) as files:
        for _ in range(3):
            files.read(0, files.num_jets)
        assert sorted(checked) == paths
        files.close()
        write_toy_file(tmp_path / "other.h5", TOP40, 2, seed=1)
        (tmp_path / "other.h5").replace(paths[3])
        files.read(0, files.num_jets)
        assert checked[len(paths) :] == [paths[3]]


@pytest.mark.parametrize("spec", [TOP40, replace(JETCLASS, max_constituents=40)])
def test_a_released_file_reads_like_ours(tmp_path, spec):
    ours, released = tmp_path / "ours.h5", tmp_path / "released.h5"
    write_toy_file(ours, spec, 60, seed=4)
    write_toy_file(released, spec, 60, seed=4, released=True)
    with JetFiles([ours], spec) as left, JetFiles([released], spec) as right:
        np.testing.assert_array_equal(left.multiplicity, right.multiplicity)
        for key, array in left.read(0, 60).items():
            np.testing.assert_array_equal(array, right.read(0, 60)[key])
            assert array.dtype == np.float32


def test_gaps_between_filled_slots_are_closed_in_order(tmp_path):
    path = tmp_path / "gaps.h5"
    write_toy_file(path, TOP40, 10, seed=4, released=True)
    with JetFiles([path], TOP40) as files:
        before = files.read(0, 10)["data"]
    spoil(path, "data", (3, 1), 0.0)
    with JetFiles([path], TOP40) as files:
        after = files.read(0, 10)["data"]
        assert files.multiplicity[3] == (before[3] != 0).any(axis=1).sum() - 1
    np.testing.assert_array_equal(after[3, 0], before[3, 0])
    np.testing.assert_array_equal(after[3, 1:-1], before[3, 2:])
    np.testing.assert_array_equal(np.delete(after, 3, axis=0), np.delete(before, 3, axis=0))


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("form", ["number", "column", "one_hot"])
def test_labels_of_any_type_and_form_become_one_hot(path, dtype, form):
    label = np.arange(60) % 2
    column = {"number": label, "column": label[:, None], "one_hot": np.eye(2)[label]}[form]
    rewrite(path, "pid", column.astype(dtype))
    with JetFiles([path], TOP40) as files:
        np.testing.assert_array_equal(files.read(5, 60)["pid"], np.eye(2)[label][5:])


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_a_label_that_is_no_class_is_named(path, value):
    with h5py.File(path) as file:
        label = file["pid"][()].astype(np.float64)
    label[17] = value
    rewrite(path, "pid", label)
    with JetFiles([path], TOP40) as files, pytest.raises(UserError, match=r"'pid' is .* row 17"):
        files.read(10, 60)


def test_a_jet_of_two_classes_is_refused(path):
    rewrite(path, "pid", np.ones((60, 2)))
    with JetFiles([path], TOP40) as files, pytest.raises(UserError, match=r"'pid' is .* row 0"):
        files.read(0, 60)


@pytest.mark.parametrize(
    ("key", "index"), [("data", (33, 2, 4)), ("jet", (33, 1)), ("weight", (33,))]
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(path, key, index, value):
    spoil(path, key, index, value)
    with JetFiles([path], TOP40) as files:
        files.read(0, 33)
        with pytest.raises(UserError, match=rf"top_train_000.h5: '{key}' is -?(nan|inf) in row 33"):
            files.read(20, 60)


def test_weights_are_read_under_either_name(path):
    weight = np.linspace(-1, 2, 60)
    with h5py.File(path, "r+") as file:
        del file["weight"]
        file["weights"] = weight
    with JetFiles([path], TOP40) as files:
        np.testing.assert_allclose(files.read(0, 60)["weight"], weight, rtol=1e-6)
        assert files.mean_weight() == pytest.approx(0.5)


def test_weights_that_cancel_are_refused(path):
    with h5py.File(path, "r+") as file:
        file["weight"][...] = np.where(np.arange(60) % 2, 1.0, -1.0)
    with JetFiles([path], TOP40) as files, pytest.raises(UserError, match="weights of all 60 top"):
        files.mean_weight()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.h5: no readable HDF5 file.*python -m preprocess"):
        JetFiles([tmp_path / "gone.h5"], TOP40)


def test_a_truncated_file_is_named(path):
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"top_train_000\.h5: no readable HDF5 file"):
        JetFiles([path], TOP40)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>404</html>", "a web page; expected an HDF5 file; download the file itself"),
        (b"\x1f\x8b\x08", "compressed with gzip; expected an HDF5 file; unpack it with: gzip -dc"),
        (b"root" + bytes(99), "a ROOT file; expected an HDF5 file; make it again with: python -m"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_helps(path, content, words):
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"top_train_000\.h5 is {words}"):
        JetFiles([path], TOP40)


def test_damaged_jets_are_named(path):
    with h5py.File(path) as file:
        chunk = file["data"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with JetFiles([path], TOP40) as files, pytest.raises(UserError, match="'data', rows 0 to 60"):
        files.read(0, 60)


def test_a_negative_multiplicity_is_named(path):
    spoil(path, "multiplicity", (12,), -1)
    with pytest.raises(UserError, match="'multiplicity' is -1 in row 12"):
        JetFiles([path], TOP40)


def test_fillers_in_empty_slots_are_no_constituents(path):
    spoil(path, "data", (7, -1), -999)
    with h5py.File(path, "r+") as file:
        del file["multiplicity"]
    with pytest.raises(UserError, match="'data' has a delta_r of -999 in row 7, expected 0"):
        JetFiles([path], TOP40)


def test_labels_and_weights_may_be_flags(path):
    with JetFiles([path], TOP40) as files:
        label, _ = files.labels_and_weights()
    rewrite(path, "weight", np.arange(60) % 3 == 0)
    for pid in (label == 1, np.eye(2, dtype=bool)[label]):
        rewrite(path, "pid", pid)
        with JetFiles([path], TOP40) as files:
            np.testing.assert_array_equal(files.labels(), label)
            assert files.mean_weight() == pytest.approx(1 / 3)
    rewrite(path, "weight", np.full(60, b"1.0"))
    with pytest.raises(UserError, match=r"'weight' holds \|S3, top expects numbers"):
        JetFiles([path], TOP40)
