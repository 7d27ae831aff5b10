"""The soak: kills happen when they should, and differing outcomes are reported and kept."""

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
from benchmarks.soak_kills import (
    MOMENTS,
    WriteKill,
    damage_file,
    exit_code,
    kill_while_writing,
    running_processes,
    start_command,
)
from benchmarks.soak_outcome import differences
from benchmarks.soak_stages import STAGES, Stage
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint
from omnilearn.model.pet import PETConfig


@pytest.fixture
def folders(tmp_path):
    for name in ("reference", "killed"):
        (tmp_path / name).mkdir()
        with h5py.File(tmp_path / name / "jets.h5", "w") as file:
            file["group/jet"] = np.float32([1, 2])
        (tmp_path / name / "results.json").write_text(json.dumps({"auc": 0.9, "seconds": 1.0}))
        (tmp_path / name / "roc.png").write_bytes(b"figure")
    return tmp_path / "reference", tmp_path / "killed"


def test_times_and_digests_are_not_compared(folders):
    later = {"auc": 0.9, "seconds": 2.0, "digest": "another"}
    (folders[1] / "results.json").write_text(json.dumps(later))
    assert differences(*folders) == []


def test_a_changed_bit_a_missing_file_and_a_temporary_file_are_named(folders):
    with h5py.File(folders[1] / "jets.h5", "r+") as file:
        file["group/jet"][1] = np.nextafter(np.float32(2), np.float32(9))
    (folders[1] / "results.json").unlink()
    (folders[1] / "roc.png").write_bytes(b"another")
    (folders[1] / ".roc.host-1-2.partial.pdf").touch()
    expected = [".roc.host-1-2.partial.pdf", "jets.h5: group/jet", "results.json", "roc.png: "]
    assert differences(*folders) == expected


def test_damage_cuts_short_or_flips_one_bit(tmp_path):
    path, rng = tmp_path / "last.h5", random.Random(0)
    has_full_length = set()
    for _ in range(8):
        path.write_bytes(bytes(100))
        damage_file(path, rng)
        content = path.read_bytes()
        has_full_length.add(len(content) == 100)
        if len(content) == 100:
            assert sum(byte.bit_count() for byte in content) == 1
    assert has_full_length == {True, False}


class Killed(Exception):
    """In place of SIGKILL."""


@pytest.mark.parametrize(
    ("file_index", "moment", "expected"),
    [
        (2, "half written", {"last.h5": 1}),
        (2, "after the rename", {"previous.h5": 1}),
        (3, "half written", {"previous.h5": 1}),
        (3, "before the rename", {"previous.h5": 1}),
        (3, "after the rename", {"last.h5": 2, "previous.h5": 1}),
    ],
)
def test_a_kill_while_a_checkpoint_is_written_leaves_an_intact_one(
    tmp_path, monkeypatch, file_index, moment, expected
):
    monkeypatch.setattr(Path, "replace", Path.replace)  # so that it is restored after the test

    def kill(process, signal_number):
        assert signal_number == signal.SIGKILL
        raise Killed

    monkeypatch.setattr(os, "kill", kill)
    last, indices, sizes = tmp_path / "last.h5", [], []

    def save(step):
        weights = {"weight": np.full(3, float(step))}
        previous = tmp_path / "previous.h5"
        config = PETConfig(projection_dim=8, num_layers=1, num_heads=2)
        save_checkpoint(last, config, weights, {"step": step}, previous=previous)
        sizes.append(last.stat().st_size)

    truncate = os.truncate
    monkeypatch.setattr(
        os, "truncate", lambda path, size: (sizes.append(size), truncate(path, size))
    )
    assert moment in MOMENTS
    kill_while_writing(WriteKill(file_index, moment, 0.5), indices.append)
    save(1)  # one rename; the next has two
    with pytest.raises(Killed):
        save(2)
    assert indices == [*range(1, file_index + 1)]
    steps = {path.name: load_checkpoint(path).record["step"] for path in tmp_path.glob("*.h5")}
    assert steps == expected
    halves = [sizes[0] // 2] if (file_index, moment) == (3, "half written") else []
    assert sizes[1:] == halves


def test_the_processes_of_a_command_are_listed_until_it_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.soak_stages.run", lambda words: time.sleep(600))
    process = start_command(Stage("-m preprocessing list", is_training=False), tmp_path)
    assert running_processes(process, tmp_path) == [process]
    os.kill(process, signal.SIGKILL)
    assert exit_code(process, 60) == -signal.SIGKILL
    assert running_processes(process, tmp_path) == []


def soak_of_writer(monkeypatch, tmp_path, leaves_file=False):
    """Flags of a soak of a command that writes two files.

    leaves_file: it writes a third one if it was killed before.
    """

    def run(words):
        started = Path("started")
        if started.exists() and leaves_file:
            Path("leftover").touch()
        started.touch()
        for name in ("a.json", "b.json"):
            Path(f".{name}.partial").write_text("[1]")
            Path(f".{name}.partial").replace(name)
        return 0

    monkeypatch.setattr("benchmarks.soak_stages.run", run)
    monkeypatch.setattr(soak, "PRELOADED_MODULES", ())
    monkeypatch.setattr(soak, "KILL_SHARES", {"while_writing": 1.0})
    monkeypatch.setattr(soak, "write_jets", lambda folder: None)
    monkeypatch.setitem(STAGES, "pet", Stage("writer"))
    return ["--only", "pet", "--kills", "3", "--folder", str(tmp_path / "soak")]


def test_kills_are_counted_and_the_same_command_continues(tmp_path, monkeypatch):
    flags = soak_of_writer(monkeypatch, tmp_path)
    out = tmp_path / "soak.json"
    for kills in (3, 5):
        soak.main([*flags, "--kills", str(kills), "--out", str(out)])
        results = json.loads(out.read_text())
        assert (results["kills"], results["differences"]) == (kills, 0)
        assert results["commands"]["pet"]["kinds"] == {"while_writing": kills}
    monkeypatch.setattr(soak, "revision", lambda: "another")
    with pytest.raises(soak.UserError, match="holds a soak of"):
        soak.main(flags)


def test_a_differing_outcome_is_reported_and_its_folder_kept(tmp_path, monkeypatch):
    flags = soak_of_writer(monkeypatch, tmp_path, leaves_file=True)
    out = tmp_path / "soak.json"
    with pytest.raises(soak.UserError, match=r"[1-9] differences"):
        soak.main([*flags, "--out", str(out)])
    (difference, *_) = json.loads(out.read_text())["commands"]["pet"]["differences"]
    assert "leftover" in difference["what"]
    assert (tmp_path / "soak/pet" / difference["folder"] / "started").exists()


def test_the_committed_results_have_no_difference():
    results = json.loads((soak.RESULTS / "soak.json").read_text())
    assert results["differences"] == 0
    assert set(results["commands"]) <= set(STAGES)
    assert results["kills"] == sum(row["kills"] for row in results["commands"].values())
