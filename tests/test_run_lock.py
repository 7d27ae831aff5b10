"""A run directory has one writer; the lock of a dead process is removed."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import ROOT

from omnilearn import run_lock
from omnilearn.errors import UserError
from omnilearn.writing_process import started

HOLD = "import sys, time; from omnilearn.run_lock import hold; hold(sys.argv[1]); print('held'"
HOLD += ", flush=True); time.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def written_by(path: Path, **changes) -> dict:
    """A lock file as a process of another host leaves it."""
    holder = {"host": "elsewhere", "process": 7, "started": "1", "token": "a", "count": 3}
    holder |= changes
    (path / run_lock.TRAINING).write_text(json.dumps(holder))
    return holder


def test_a_second_writer_is_refused_with_the_process_of_the_first(tmp_path, holder):
    with pytest.raises(UserError, match=rf"{tmp_path} is written to by process {holder.pid} on"):
        run_lock.hold(tmp_path)
    run_lock.hold(tmp_path, run_lock.EVALUATION)  # an evaluation may run beside
    run_lock.release(tmp_path, run_lock.EVALUATION)


def test_the_lock_of_a_killed_process_is_removed(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / run_lock.TRAINING).exists()
    run_lock.hold(tmp_path)
    assert run_lock.read(tmp_path / run_lock.TRAINING)[0].process == os.getpid()
    run_lock.release(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{}", '{"host": "elsewhere", "pro'])
def test_a_lock_that_a_crash_left_without_a_holder_is_removed(tmp_path, monkeypatch, content):
    """Before, every command waited for its content without an end and without a word."""
    monkeypatch.setattr(run_lock, "PATIENCE", 0.3)
    (tmp_path / run_lock.TRAINING).write_text(content)
    run_lock.hold(tmp_path)
    assert run_lock.read(tmp_path / run_lock.TRAINING)[0].process == os.getpid()
    run_lock.release(tmp_path)


def test_a_lock_that_is_being_written_is_not_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "PATIENCE", 5.0)
    lock = tmp_path / run_lock.TRAINING
    lock.write_text("")
    holder = {"host": run_lock.socket.gethostname(), "process": 1, "started": started(1)}
    writer = threading.Timer(0.3, written_by, (tmp_path,), holder)
    writer.start()
    with pytest.raises(UserError, match="is written to by process 1 on"):
        run_lock.hold(tmp_path)
    writer.join()
    assert lock.exists()


def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(run_lock.Lock, "text", full)
    with pytest.raises(OSError, match=str(tmp_path / run_lock.TRAINING)):
        run_lock.hold(tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_process_of_the_same_number_is_not_the_holder(tmp_path):
    written_by(tmp_path, host=run_lock.socket.gethostname(), process=os.getpid(), started="5")
    run_lock.hold(tmp_path)
    run_lock.release(tmp_path)


def test_a_holder_on_another_host_is_dead_when_its_counter_does_not_change(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(run_lock, "PATIENCE", 0.5)
    written_by(tmp_path)
    run_lock.hold(tmp_path)
    assert "process 7 on elsewhere; watching it" in capsys.readouterr().out
    run_lock.release(tmp_path)


def test_a_holder_on_another_host_lives_while_its_counter_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "PATIENCE", 5.0)
    written_by(tmp_path)

    def count_up(seconds: float) -> None:
        written_by(tmp_path, count=4)

    monkeypatch.setattr(run_lock.time, "sleep", count_up)
    with pytest.raises(UserError, match="written to by process 7 on elsewhere"):
        run_lock.hold(tmp_path)


def test_the_holder_counts_up_and_does_not_remove_the_lock_of_another_holder(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "HEARTBEAT", 0.02)
    run_lock.hold(tmp_path)
    path, end = tmp_path / run_lock.TRAINING, time.monotonic() + 10
    while run_lock.read(path)[1] < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    lock = written_by(tmp_path)
    time.sleep(0.1)
    run_lock.release(tmp_path)
    assert json.loads(path.read_text()) == lock


def test_a_count_that_is_being_written_does_not_outlive_the_release(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "HEARTBEAT", 0.01)
    writing, atomic_path = threading.Event(), run_lock.atomic_path

    @contextmanager
    def slow(path):
        with atomic_path(path) as temporary:
            yield temporary
            writing.set()
            time.sleep(0.2)

    monkeypatch.setattr(run_lock, "atomic_path", slow)
    run_lock.hold(tmp_path)
    assert writing.wait(10)
    run_lock.release(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_second_evaluation_is_refused_without_the_advice_of_another_name(tmp_path, monkeypatch):
    written_by(tmp_path)
    (tmp_path / run_lock.TRAINING).rename(tmp_path / run_lock.EVALUATION)
    monkeypatch.setattr(run_lock.Lock, "counts", lambda *_: True)
    with pytest.raises(UserError, match=r"or stop it$"):
        run_lock.hold(tmp_path, run_lock.EVALUATION)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"count": 1}', '{"count": "x", "host": 1}'])
def test_an_unfinished_or_damaged_lock_file_names_no_holder(tmp_path, text):
    path = tmp_path / run_lock.TRAINING
    path.write_text(text)
    assert run_lock.read(path) is None
