"""Damaged files end in one sentence or a complete result."""

import bz2
import io
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from damaged_files import MUTATIONS, survives

from omnilearn.errors import UserError
from preprocessing import top
from preprocessing.sources import reading

# damaged counts and types make NumPy, uproot and h5py warn before they fail
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
def test_damaged_jetclass_files_are_refused_in_a_sentence(write_jetclass, tmp_path):
    path = write_jetclass(tmp_path / "HToBB_000.root", "Hbb", n=20)
    assert survives("jetclass", path, tmp_path / "out") > MUTATIONS // 4


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["zlib", pytest.param("blosc", marks=pytest.mark.slow)])
@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_damaged_top_files_are_refused_in_a_sentence(top_table, tmp_path, layout, compression):
    path = tmp_path / "train.h5"
    frame = pd.DataFrame(top_table(20).astype("f4"), columns=top.COLUMNS)
    frame.to_hdf(path, key="table", format=layout, complib=compression, complevel=1)
    assert survives("top", path, tmp_path / "out") > MUTATIONS // 12


def test_more_jets_than_bytes_are_refused(refused, tmp_path):
    (tmp_path / "raw").mkdir()
    with h5py.File(tmp_path / "raw/train.h5", "w") as file:
        kind = [("index", "i8"), ("values_block_0", "f4", 804), ("values_block_1", "i8", 2)]
        file.create_dataset("table/table", (10**12,), kind, chunks=(16,))
    message = refused("top", "--splits", "train")
    assert "'table/table' claims the shape (1000000000000,), which the file cannot hold" in message


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "jets")
    return buffer.getvalue()


PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PAGE, "is a web page; expected an HDF5 file; download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1", "get the file itself with: git lfs pull"),
        (
            bz2.compress(b"jets"),
            "is compressed with bzip2; expected an HDF5 file; unpack it with: ",
        ),
        (zipped("train.h5"), "is a zip file; expected an HDF5 file; unpack it with: unzip "),
        (b"root\x00\x00", "is a ROOT file; expected an HDF5 file; download it again"),
        (b"jets", "cannot be read (OSError: "),
    ],
)
def test_a_file_of_another_kind_under_a_public_name_is_named(refused, tmp_path, content, words):
    path = tmp_path / "raw/train.h5"
    path.parent.mkdir()
    path.write_bytes(content)
    message = refused("top", "--splits", "train")
    assert f"{path} " in message
    assert words in message


@pytest.mark.parametrize("name", ["HToBB_000.root", "QG_jets.npz", "JetClass_Pythia_val_5M.tar"])
def test_a_page_in_place_of_any_public_file_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(PAGE)
    with pytest.raises(UserError, match=f"{name} is a web page; expected a"), reading(path):
        raise ValueError("what a library says about it")


def test_the_check_names_what_is_no_file_of_jets(preprocess, tmp_path):
    assert f"{tmp_path} is a folder and no file; expected" in preprocess("check", tmp_path)[2]
    (tmp_path / "link.h5").symlink_to(tmp_path / "gone.h5")
    assert "link.h5 is a link to " in preprocess("check", tmp_path / "link.h5")[2]
    np.savez(tmp_path / "QG_jets.npz", X=np.zeros(3))
    message = preprocess("check", tmp_path / "QG_jets.npz")[2]
    assert "QG_jets.npz is an npz file; expected an HDF5 file; make it again with what" in message
