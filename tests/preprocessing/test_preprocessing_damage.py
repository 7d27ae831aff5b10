"""Damaged files, byte by byte: a sentence or a result, never a traceback, never half a file."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from omnilearn.errors import UserError
from preprocessing import top
from preprocessing.__main__ import plan
from preprocessing.convert import convert
from preprocessing.sources import Shard

# damaged counts and types make NumPy, uproot and h5py warn before they fail
pytestmark = pytest.mark.filterwarnings("ignore")
MUTATIONS = 120


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One to eight bytes replaced, or a tail cut off, or a stretch zeroed."""
    damaged = bytearray(content)
    kind = rng.integers(4)
    if kind == 0:
        return bytes(damaged[: rng.integers(1, len(damaged))])
    if kind == 1:
        first = rng.integers(len(damaged))
        stretch = damaged[first : first + 64]
        damaged[first : first + 64] = bytes(len(stretch))
        return bytes(damaged)
    # headers are a small part of a file and the most fragile: half of the blows go there
    reach = len(damaged) if kind == 2 else min(len(damaged), 2048)
    for place in rng.integers(reach, size=rng.integers(1, 9)):
        damaged[place] = rng.integers(256)
    return bytes(damaged)


def survives(dataset: str, path: Path, content: bytes, out: Path) -> int:
    """How many of the mutations are refused in a sentence; the others give a whole file."""
    rng = np.random.default_rng(11)
    refused = 0
    for number in range(MUTATIONS):
        path.write_bytes(mutated(content, rng))
        target = out / str(number)
        jobs = plan(dataset, [Shard("train", 0, (path,))], path.parent, target, 0)
        complaint = None
        try:
            convert(jobs, 1)
        except UserError as error:
            complaint = str(error)
        if complaint is None:
            with h5py.File(jobs[0].path) as file:
                assert np.isfinite(file["data"][:]).all()
        else:
            refused += 1
            assert str(path) in complaint
            assert "\n" not in complaint
            assert not [left for left in target.rglob("*") if left.is_file()]
    return refused


def test_damaged_jetclass_files_are_refused_in_a_sentence(write_jetclass, tmp_path):
    path = write_jetclass(tmp_path / "HToBB_000.root", "Hbb", n=20)
    assert survives("jetclass", path, path.read_bytes(), tmp_path / "out") > MUTATIONS // 4


@pytest.mark.parametrize("compression", ["zlib", "blosc"])
@pytest.mark.parametrize("layout", ["table", "fixed"])
def test_damaged_top_files_are_refused_in_a_sentence(top_table, tmp_path, layout, compression):
    path = tmp_path / "train.h5"
    frame = pd.DataFrame(top_table(20).astype("f4"), columns=top.COLUMNS)
    frame.to_hdf(path, key="table", format=layout, complib=compression, complevel=1)
    assert survives("top", path, path.read_bytes(), tmp_path / "out") > MUTATIONS // 12


def test_more_jets_than_bytes_are_not_believed(refused, tmp_path):
    (tmp_path / "raw").mkdir()
    with h5py.File(tmp_path / "raw/train.h5", "w") as file:
        kind = [("index", "i8"), ("values_block_0", "f4", 804), ("values_block_1", "i8", 2)]
        file.create_dataset("table/table", (10**12,), kind, chunks=(16,))
    assert "claims 1000000000000 jets" in refused("top", "--raw", tmp_path / "raw")
