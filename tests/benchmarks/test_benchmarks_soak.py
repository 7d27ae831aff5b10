"""A killed and resumed training equals the uninterrupted one; what differs by a bit is seen."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import ROOT

from benchmarks.soak import ARCHITECTURE, RESULTS, damage, differing, end_while_writing
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint


def test_a_single_bit_makes_a_difference():
    one = {"weights/a": np.float32([1, 2]), "history": np.array("[]")}
    assert differing(one, {name: array.copy() for name, array in one.items()}) == []
    other = {**one, "weights/a": np.nextafter(one["weights/a"], np.float32(9))}
    assert differing(one, other) == ["weights/a"]
    assert differing(one, {"history": one["history"]}) == ["weights/a"]


def test_damage_cuts_short_or_flips_one_bit(tmp_path):
    path, rng = tmp_path / "last.h5", random.Random(0)
    lengths = set()
    for _ in range(8):
        path.write_bytes(bytes(100))
        damage(path, rng)
        found = path.read_bytes()
        lengths.add(len(found) == 100)
        if len(found) == 100:
            assert sum(byte.bit_count() for byte in found) == 1
    assert lengths == {True, False}


class Ended(Exception):
    """Stands for SIGKILL."""


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("half written", {"last.h5": 1}),
        ("before the renames", {"last.h5": 1}),
        ("between the renames", {"previous.h5": 1}),
        ("after the renames", {"last.h5": 2, "previous.h5": 1}),
    ],
)
def test_an_end_in_the_midst_of_a_checkpoint_leaves_a_whole_one(
    tmp_path, monkeypatch, moment, left
):
    for name in ("write_bytes", "replace"):
        monkeypatch.setattr(Path, name, getattr(Path, name))  # what is changed is set back
    halves = []

    def end(process, number):
        assert number == signal.SIGKILL
        halves.extend(path.stat().st_size for path in tmp_path.glob("*.partial*"))
        raise Ended

    monkeypatch.setattr(os, "kill", end)
    last = tmp_path / "last.h5"

    def save(number):
        weights = {"weight": np.full(3, float(number))}
        previous = tmp_path / "previous.h5"
        save_checkpoint(last, ARCHITECTURE, weights, {"number": number}, previous=previous)

    end_while_writing(2, moment, 0.5)
    save(1)
    size = last.stat().st_size
    with pytest.raises(Ended):
        save(2)
    found = {path.name: load_checkpoint(path).record["number"] for path in tmp_path.glob("*.h5")}
    assert found == left
    expected = {"half written": [size // 2], "after the renames": []}
    assert halves == expected.get(moment, [size])


def test_the_soak_ends_in_equal_weights(tmp_path):
    """In a process of its own, which forks before TensorFlow computes anything."""
    out = tmp_path / "soak.json"
    command = [sys.executable, "-m", "benchmarks", "soak", "--kills", "1", "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    assert "all equal to the uninterrupted one bit for bit" in done.stdout
    found = json.loads(out.read_text())
    assert found["kills"] == 1
    assert found["complete_trainings"] >= 1


def test_the_soak_on_record_is_as_long_as_its_command_says():
    found = json.loads((RESULTS / "soak.json").read_text())
    assert found["kills"] == int(found["command"].split("--kills ")[1].split()[0])
