"""Damaged files end in one sentence or a complete result."""

import h5py
import pandas as pd
import pytest
from damaged_files import MUTATIONS, survives

from preprocessing import top

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
