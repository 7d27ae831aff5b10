"""Files are found by their names; another layout, dataset or version is refused in a sentence."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from toy_jets import TOP40, rewrite

from omnilearn.data.catalogue import JETCLASS, TOP
from omnilearn.data.layout import find_files
from omnilearn.data.reader import JetFiles
from omnilearn.data.spec import FEATURES
from omnilearn.errors import UserError


def test_files_are_found_by_our_names_and_by_the_released_ones(tmp_path):
    for name in (
        "TOP/train_ttbar.h5",
        "TOP/val_ttbar.h5",
        "JetClass/train/JetClass_10.h5",
        "JetClass/train/JetClass_9.h5",
        "jetclass/test/jetclass_test_000.h5",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find_files(tmp_path, TOP, "train")] == ["train_ttbar.h5"]
    names = [path.name for path in find_files(tmp_path, JETCLASS, "train")]
    assert names == ["JetClass_9.h5", "JetClass_10.h5"]
    assert len(find_files(tmp_path, JETCLASS, "test")) == 1


def test_missing_files_are_reported_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(UserError, match=r"no test files of top.*python -m preprocessing top"):
        find_files(tmp_path, TOP, "test")
    for name in ("TOP/test.hdf5", "top/test/.a.h5.partial", "top/test/a.h5.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = f"found {tmp_path / 'top/test/a.h5.gz'}, {tmp_path / 'TOP/test.hdf5'}\\); make"
    with pytest.raises(UserError, match=found):
        find_files(tmp_path, TOP, "test")


@pytest.mark.parametrize("key", ["data", "jet", "pid"])
def test_a_missing_key_is_named(path, key):
    with h5py.File(path, "r+") as file:
        del file[key]
    with pytest.raises(UserError, match=rf"top_train_000\.h5: no numeric '{key}' among its keys"):
        JetFiles([path], TOP40)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("data", (60, 40, 9)),
        ("data", (60, 0, 7)),
        ("jet", (60, 5)),
        ("jet", (59, 4)),
        ("pid", (60, 3)),
        ("weight", (60, 2)),
        ("multiplicity", (61,)),
    ],
)
def test_a_wrong_shape_is_named(path, key, shape):
    rewrite(path, key, np.zeros(shape, np.float32))
    with pytest.raises(UserError, match=rf"'{key}' has shape .*, top expects"):
        JetFiles([path], TOP40)


def test_a_file_without_jets_is_refused(tmp_path):
    path = tmp_path / "empty.h5"
    with h5py.File(path, "w") as file:
        for key, shape in (("data", (0, 40, 7)), ("jet", (0, 4)), ("pid", (0,))):
            file[key] = np.zeros(shape)
    with pytest.raises(UserError, match=r"empty\.h5: 'data' holds 0 jets"):
        JetFiles([path], TOP40)


@pytest.mark.parametrize("attribute", ["classes", "features", "jet_features"])
def test_a_file_with_other_columns_or_classes_is_refused(path, attribute):
    with h5py.File(path, "r+") as file:
        file.attrs[attribute] = ["top", "QCD"]
    with pytest.raises(UserError, match=f"its {attribute} are top, QCD, top expects"):
        JetFiles([path], TOP40)


def test_a_file_of_another_dataset_with_the_same_classes_is_refused(path):
    with h5py.File(path, "r+") as file:
        file.attrs["dataset"] = "atlas"
    with pytest.raises(UserError, match="jets of the dataset atlas, expected top; move it"):
        JetFiles([path], TOP40)
    JetFiles([path], replace(TOP40, name="both_tops"))


def test_a_file_of_a_newer_suite_is_refused(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(UserError, match="format_version 2, this suite reads up to 1"):
        JetFiles([path], TOP40)


def test_attributes_of_bytes_are_read_as_text(path):
    with h5py.File(path, "r+") as file:
        file.attrs["classes"] = np.array([b"QCD", b"top"])
        file.attrs["features"] = np.array([name.encode() for name in FEATURES[:7]])
        file.attrs["origin"] = np.bytes_("simulated")
    with JetFiles([path], TOP40) as files:
        assert files.origin == "simulated"
    with h5py.File(path, "r+") as file:
        file.attrs["classes"] = np.array([b"QCD", b"W"])
    with pytest.raises(UserError, match="its classes are QCD, W, top expects QCD, top"):
        JetFiles([path], TOP40)
