"""Damaged files of every kind: ours are refused or read as they were, none ends in a traceback."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.fuzz import OWN, PUBLIC, READERS, attacked, content_of, damaged, main
from benchmarks.fuzz_simulated import leave_out_sums
from omnilearn.hdf5 import new_file
from omnilearn.hdf5_sums import DIGEST

DAMAGES = 25
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize("name", OWN | PUBLIC)  # the simulated ones take too long
def test_a_damaged_file_is_refused_in_a_sentence_or_read_as_it_was(name, tmp_path):
    found = attacked(name, 1, range(DAMAGES), tmp_path)
    assert found["tried"] == DAMAGES
    assert found["refused"] > DAMAGES // 4
    assert found["tracebacks"] == 0, found["numbers"]
    if name in OWN:
        assert found["changed"] == 0, found["numbers"]


def test_a_damage_is_decided_by_its_number():
    content = bytes(range(256)) * 8
    first, again, other = (damaged(content, np.random.default_rng([0, k])) for k in (3, 3, 4))
    assert first == again
    assert first not in (content, other)


def test_any_other_number_makes_other_content():
    arrays = {"weight": np.ones(3), "about": {"seed": 0}}
    assert content_of(arrays) == content_of({"weight": np.ones(3), "about": {"seed": 0}})
    assert content_of(arrays) != content_of({**arrays, "weight": np.ones(3, "f4")})
    assert content_of(arrays) != content_of({**arrays, "about": {"seed": 1}})


def test_the_program_prints_and_keeps_what_it_counted(tmp_path, capsys):
    main(["--damages", "3", "--reader", "config.json", "--out", str(tmp_path / "fuzz.json")])
    assert "tracebacks" in capsys.readouterr().out
    found = json.loads((tmp_path / "fuzz.json").read_text())
    assert found["own_formats"]["tried"] == found["damages"] == 3


def test_no_damage_of_the_committed_run_went_unnoticed_in_our_own_formats():
    found = json.loads((RESULTS / "fuzz.json").read_text())
    assert set(found["readers"]) <= set(READERS)
    assert sum(row["tracebacks"] for row in found["readers"].values()) == 0
    assert found["own_formats"]["changed"] == 0
    assert found["damages"] >= 10_000


def test_a_public_file_has_no_sums_of_ours(tmp_path):
    path = tmp_path / "train.h5"
    with new_file(path) as file:
        file.create_dataset("jets", data=np.arange(6.0), chunks=(4,))
        file["table/title"] = "jets"
        file["table"].attrs["nrows"] = 6
    leave_out_sums(path)
    with h5py.File(path) as file:
        assert DIGEST not in file.attrs
        assert not file["jets"].fletcher32
        assert file["jets"][:].tolist() == [0, 1, 2, 3, 4, 5]
        assert (file["table/title"][()], file["table"].attrs["nrows"]) == (b"jets", 6)
