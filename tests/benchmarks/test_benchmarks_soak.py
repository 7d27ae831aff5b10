"""A killed and resumed training equals the uninterrupted one; what differs by a bit is seen."""

import json
import random
import subprocess
import sys

import numpy as np
from commands import ROOT

from benchmarks.soak import damage, differing


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
