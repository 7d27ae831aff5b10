"""Damaged files: those of the suite are refused or read unchanged, none ends in a traceback."""

import json

import h5py
import numpy as np
import pytest

from benchmarks.fuzz import OWN, PUBLIC, READERS, content_of, count_outcomes, damaged, main
from benchmarks.fuzz_simulated import remove_checksums
from benchmarks.programs import RESULTS
from omnilearn.hdf5 import new_file
from omnilearn.hdf5_sums import DIGEST

DAMAGES = 25


@pytest.mark.parametrize("name", OWN | PUBLIC)  # the simulated ones take too long
def test_a_damaged_file_is_refused_with_a_message_or_read_unchanged(name, tmp_path):
    counts = count_outcomes(name, 1, range(DAMAGES), tmp_path)
    assert counts["tried"] == DAMAGES
    assert counts["refused"] > DAMAGES // 4
    assert counts["tracebacks"] == 0, counts["numbers"]
    if name in OWN:
        assert counts["changed"] == 0, counts["numbers"]


def test_the_number_of_a_damage_determines_it():
    content = bytes(range(256)) * 8
    third, repeated, fourth = (damaged(content, np.random.default_rng([0, k])) for k in (3, 3, 4))
    assert third == repeated
    assert third not in (content, fourth)


def test_content_differs_if_a_value_or_a_type_differs():
    arrays = {"weight": np.ones(3), "about": {"seed": 0}}
    assert content_of(arrays) == content_of({"weight": np.ones(3), "about": {"seed": 0}})
    assert content_of(arrays) != content_of({**arrays, "weight": np.ones(3, "f4")})
    assert content_of(arrays) != content_of({**arrays, "about": {"seed": 1}})


def test_the_program_prints_and_writes_its_counts(tmp_path, capsys):
    main(["--damages", "3", "--reader", "config.json", "--out", str(tmp_path / "fuzz.json")])
    assert "tracebacks" in capsys.readouterr().out
    stored = json.loads((tmp_path / "fuzz.json").read_text())
    assert stored["own_formats"]["tried"] == stored["damages"] == 3


def test_every_damage_of_the_committed_run_was_noticed_in_the_formats_of_the_suite():
    stored = json.loads((RESULTS / "fuzz.json").read_text())
    assert set(stored["readers"]) <= set(READERS)
    assert sum(row["tracebacks"] for row in stored["readers"].values()) == 0
    assert stored["own_formats"]["changed"] == 0
    assert stored["damages"] >= 10_000


def test_checksums_are_removed_and_the_content_stays(tmp_path):
    path = tmp_path / "train.h5"
    with new_file(path) as file:
        file.create_dataset("jets", data=np.arange(6.0), chunks=(4,))
        file["table/title"] = "jets"
        file["table"].attrs["nrows"] = 6
    remove_checksums(path)
    with h5py.File(path) as file:
        assert DIGEST not in file.attrs
        assert not file["jets"].fletcher32
        assert file["jets"][:].tolist() == [0, 1, 2, 3, 4, 5]
        assert (file["table/title"][()], file["table"].attrs["nrows"]) == (b"jets", 6)
