"""Killed commands that end otherwise than uninterrupted ones are seen; kills hit where they aim."""

import json
import os
import random
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks import soak
from benchmarks.soak_kills import MOMENTS, Writing, end_while_writing, ended, family, started
from benchmarks.soak_outcome import damage, differing
from benchmarks.soak_stages import STAGES, Stage
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint
from omnilearn.model.pet import PETConfig

LIST = Stage("-m preprocessing list", is_training=False)


@pytest.fixture
def folders(tmp_path):
    for name in ("through", "killed"):
        (tmp_path / name).mkdir()
        with h5py.File(tmp_path / name / "jets.h5", "w") as file:
            file["group/jet"] = np.float32([1, 2])
        (tmp_path / name / "results.json").write_text(json.dumps({"auc": 0.9, "seconds": 1.0}))
        (tmp_path / name / "roc.png").write_bytes(b"ink")
    return tmp_path / "through", tmp_path / "killed"


def test_the_same_numbers_at_another_time_are_the_same(folders):
    later = {"auc": 0.9, "seconds": 2.0, "digest": "of all this"}
    (folders[1] / "results.json").write_text(json.dumps(later))
    assert differing(*folders) == []


def test_a_single_bit_a_missing_file_and_a_leftover_are_named(folders):
    with h5py.File(folders[1] / "jets.h5", "r+") as file:
        file["group/jet"][1] = np.nextafter(np.float32(2), np.float32(9))
    (folders[1] / "results.json").unlink()
    (folders[1] / "roc.png").write_bytes(b"inks")
    (folders[1] / ".roc.host-1-2.partial.pdf").touch()
    expected = [".roc.host-1-2.partial.pdf", "jets.h5: group/jet", "results.json", "roc.png: "]
    assert differing(*folders) == expected


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
    ("number", "moment", "left"),
    [
        (2, "half written", {"last.h5": 1}),
        (2, "after the rename", {"previous.h5": 1}),
        (3, "half written", {"previous.h5": 1}),
        (3, "before the rename", {"previous.h5": 1}),
        (3, "after the rename", {"last.h5": 2, "previous.h5": 1}),
    ],
)
def test_an_end_in_the_midst_of_a_checkpoint_leaves_a_whole_one(
    tmp_path, monkeypatch, number, moment, left
):
    monkeypatch.setattr(Path, "replace", Path.replace)  # what is changed is set back

    def end(process, signal_number):
        assert signal_number == signal.SIGKILL
        raise Ended

    monkeypatch.setattr(os, "kill", end)
    last, counted, sizes = tmp_path / "last.h5", [], []

    def save(number):
        weights = {"weight": np.full(3, float(number))}
        previous = tmp_path / "previous.h5"
        config = PETConfig(projection_dim=8, num_layers=1, num_heads=2)
        save_checkpoint(last, config, weights, {"number": number}, previous=previous)
        sizes.append(last.stat().st_size)

    truncate = os.truncate
    monkeypatch.setattr(
        os, "truncate", lambda path, size: (sizes.append(size), truncate(path, size))
    )
    assert moment in MOMENTS
    end_while_writing(Writing(number, moment, 0.5), counted.append)
    save(1)  # one rename; the next has two
    with pytest.raises(Ended):
        save(2)
    assert counted == [*range(1, number + 1)]
    found = {path.name: load_checkpoint(path).record["number"] for path in tmp_path.glob("*.h5")}
    assert found == left
    halves = [sizes[0] // 2] if (number, moment) == (3, "half written") else []
    assert sizes[1:] == halves


def test_a_command_runs_in_a_session_of_its_own_until_it_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.soak_stages.run", lambda words: time.sleep(600))
    process = started(LIST, tmp_path)
    assert family(process, tmp_path) == [process]
    os.kill(process, signal.SIGKILL)
    assert ended(process, 60) == -signal.SIGKILL
    assert family(process, tmp_path) == []


def a_writer(monkeypatch, tmp_path, stubborn=False):
    """A soak of one command that writes two files, and leaves a third where it was killed."""

    def run(words):
        begun = Path("begun")
        if begun.exists() and stubborn:
            Path("traces").touch()
        begun.touch()
        for name in ("a.json", "b.json"):
            Path(f".{name}.partial").write_text("[1]")
            Path(f".{name}.partial").replace(name)
        return 0

    monkeypatch.setattr("benchmarks.soak_stages.run", run)
    monkeypatch.setattr(soak, "KINDS", {"while_writing": 1.0})
    monkeypatch.setattr(soak, "write_jets", lambda folder: None)
    monkeypatch.setitem(STAGES, "pet", Stage("a writer"))
    return ["--only", "pet", "--kills", "3", "--folder", str(tmp_path / "soak")]


def test_kills_are_counted_and_the_same_command_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "LOADED", ())
    flags = a_writer(monkeypatch, tmp_path)
    out = tmp_path / "soak.json"
    for kills in (3, 5):
        soak.main([*flags, "--kills", str(kills), "--out", str(out)])
        found = json.loads(out.read_text())
        assert (found["kills"], found["differences"]) == (kills, 0)
        assert found["commands"]["pet"]["kinds"] == {"while_writing": kills}
    monkeypatch.setattr(soak, "revision", lambda: "another")
    with pytest.raises(soak.UserError, match="holds a soak of"):
        soak.main(flags)


def test_a_command_that_ends_otherwise_is_told_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "LOADED", ())
    flags = a_writer(monkeypatch, tmp_path, stubborn=True)
    out = tmp_path / "soak.json"
    with pytest.raises(soak.UserError, match=r"[1-9] differences"):
        soak.main([*flags, "--out", str(out)])
    (difference, *_) = json.loads(out.read_text())["commands"]["pet"]["differences"]
    assert "traces" in difference["what"]
    assert (tmp_path / "soak/pet" / difference["folder"] / "begun").exists()


def test_the_soak_on_record_found_no_difference():
    found = json.loads((soak.RESULTS / "soak.json").read_text())
    assert found["differences"] == 0
    assert set(found["commands"]) <= set(STAGES)
    assert found["kills"] == sum(row["kills"] for row in found["commands"].values())
