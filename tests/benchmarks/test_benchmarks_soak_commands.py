"""Killed commands that end otherwise than uninterrupted ones are seen."""

import json

import h5py
import numpy as np
import pytest

from benchmarks.soak_commands import differing, of_session, started


@pytest.fixture
def folders(tmp_path):
    for name in ("through", "killed"):
        (tmp_path / name).mkdir()
        with h5py.File(tmp_path / name / "jets.h5", "w") as file:
            file["group/jet"] = np.arange(6.0)
        (tmp_path / name / "results.json").write_text(json.dumps({"auc": 0.9, "seconds": 1.0}))
    return tmp_path / "through", tmp_path / "killed"


def test_the_same_numbers_at_another_time_are_the_same(folders):
    (folders[1] / "results.json").write_text(json.dumps({"auc": 0.9, "seconds": 2.0}))
    assert differing(*folders) == []


def test_another_number_a_missing_file_and_a_leftover_are_named(folders):
    with h5py.File(folders[1] / "jets.h5", "r+") as file:
        file["group/jet"][3] += 1e-9
    (folders[1] / "results.json").unlink()
    (folders[1] / ".roc.host-1-2.partial.pdf").touch()
    expected = [".roc.host-1-2.partial.pdf", "jets.h5", "results.json"]
    assert differing(*folders) == expected


def test_processes_of_a_command_are_found_until_they_end(tmp_path):
    process = started("-m preprocessing list", tmp_path)
    assert process.pid in of_session(process.pid)
    process.kill()
    process.wait()
    assert of_session(process.pid) == []
