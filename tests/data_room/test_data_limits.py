"""A limit takes the first jets of files that were mixed, a share of files and classes of others."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from toy_jets import write_toy_file

from omnilearn.data.catalogue import JETCLASS, TOP
from omnilearn.data.selection import selected_jets
from omnilearn.errors import UserError

SPEC = replace(TOP, max_constituents=40)
TEN = replace(JETCLASS, max_constituents=20)


def counts(paths, spec, *arguments) -> np.ndarray:
    """Jets of each class that a selection takes."""
    files, rows = selected_jets(paths, spec, *arguments)
    with files:
        label, _ = files.labels_and_weights()
    return np.bincount(label if rows is None else label[rows], minlength=spec.num_classes)


@pytest.fixture
def sorted_file(tmp_path):
    """400 jets in the layout of the released code, sorted by class."""
    path = tmp_path / "train_ttbar.h5"
    write_toy_file(path, SPEC, 400, seed=1, released=True)
    with h5py.File(path, "r+") as file:
        order = np.argsort(file["pid"][:], kind="stable")
        for key in ("data", "jet", "pid"):
            file[key][...] = file[key][:][order]
    return path


@pytest.fixture
def one_class_files(tmp_path):
    """A file of 30 jets of each of ten classes, in the layout of the released code."""
    paths = []
    for number in range(10):
        path = tmp_path / f"JetClass_{number}.h5"
        write_toy_file(path, TEN, 30, seed=number, released=True)
        with h5py.File(path, "r+") as file:
            file["pid"][...] = np.eye(10)[np.full(30, number)]
        paths.append(path)
    return paths


def test_a_file_sorted_by_class_gives_its_share_of_each(sorted_file):
    with h5py.File(sorted_file) as file:
        shares = np.bincount(file["pid"][:].astype(int), minlength=2) / 400
    for limit in (40, 100):
        np.testing.assert_allclose(counts([sorted_file], SPEC, limit), limit * shares, atol=1)
    assert counts([sorted_file], SPEC, 400).sum() == counts([sorted_file], SPEC, 0).sum() == 400


def test_files_of_one_class_each_all_give_some_and_the_rest_is_not_looked_through(one_class_files):
    files, rows = selected_jets(one_class_files, TEN, 60)
    with files:
        assert rows is None
        assert files.jets_per_file() == [(path, 6) for path in one_class_files]
    np.testing.assert_array_equal(counts(one_class_files, TEN, 60), [6] * 10)
    np.testing.assert_array_equal(counts(one_class_files, TEN, 45).sum(), 45)


def test_fewer_jets_than_classes_are_refused_with_the_class_that_is_missing(one_class_files):
    with pytest.raises(UserError, match=r"4 jets.*hold no jet of the class QCD"):
        selected_jets(one_class_files, TEN, 4)


def test_a_limit_of_some_classes_is_spread_too(one_class_files, sorted_file):
    found = counts(one_class_files, TEN, 12, "Hbb,Tbl")
    assert found[[1, 9]].tolist() == [6, 6]
    assert found.sum() == 12
    assert counts([sorted_file], SPEC, 20, "top").tolist() == [0, 20]


def test_files_of_the_suite_give_their_first_jets(tmp_path):
    paths = [tmp_path / f"top_train_00{number}.h5" for number in range(2)]
    for number, path in enumerate(paths):
        write_toy_file(path, SPEC, 60, seed=number)
    files, rows = selected_jets([*paths, tmp_path / "gone.h5"], SPEC, 70)
    with files:
        assert rows is None
        assert files.jets_per_file() == [(paths[0], 60), (paths[1], 10)]
