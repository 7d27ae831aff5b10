"""Processes that run a command and are killed: at a moment, in the midst of writing, by request.

A command is a fork of this process, which has loaded TensorFlow but never computes with it, since
a fork would lose its threads; several ranks are started by horovodrun.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks import soak_stages
from omnilearn.errors import UserError
from omnilearn.run_lock import release_all

MARK = "OMNILEARN_SOAK"  # in the environment of ranks: whose they are
PATIENCE = 90.0  # seconds for all processes of a killed command to end
MOMENTS = ("half written", "before the rename", "after the rename")


@dataclass(frozen=True)
class Writing:
    """A moment of the `number`-th file, counted from 1, that a process puts in its place."""

    number: int
    moment: str  # of MOMENTS
    share: float  # of the content that is on the disk when it is half written


def end_while_writing(end: Writing | None, count: Callable[[int], object]) -> None:
    """Let this process kill itself at that moment; `count` is told the number of every file.

    A file is put in its place by a rename, whoever writes it.
    """
    rename = Path.replace
    number = 0

    def replace(path, target):
        nonlocal number
        number += 1
        count(number)
        now = end if end and end.number == number else None
        moment = now.moment if now else ""
        if now and moment == "half written" and ".partial" in path.name:
            os.truncate(path, int(now.share * path.stat().st_size))
        if moment in ("half written", "before the rename"):
            os.kill(os.getpid(), signal.SIGKILL)
        found = rename(path, target)
        if moment == "after the rename":
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    for name, method in {"replace": replace}.items():
        setattr(Path, name, method)


def log_of(folder: Path) -> Path:
    """The output of the commands in a folder, beside it."""
    return folder.with_suffix(".log")


def count_of(folder: Path) -> Path:
    """How many files the last command in a folder has put in their places, beside it."""
    return folder.with_suffix(".files")


def started(stage: soak_stages.Stage, folder: Path, end: Writing | None = None) -> int:
    """The id of a process that runs the command in `folder`, the first of a session of its own."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        while os.getsid(process) != process:  # before that, `family` would not find it
            time.sleep(0.001)
        return process
    code = 1
    try:
        os.setsid()
        log = os.open(log_of(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        if stage.ranks > 1:
            program = [sys.executable, "-m", soak_stages.__name__, *stage.words.split()]
            launcher = str(Path(sys.executable).with_name("horovodrun"))
            command = [launcher, "-np", str(stage.ranks), "--gloo", *program]
            place = {"PYTHONPATH": str(soak_stages.ROOT), MARK: str(folder)}
            os.execve(launcher, command, {**os.environ, **place})
        tqdm.set_lock(threading.RLock())  # not one of all forks, which dies with the first killed
        number = count_of(folder)
        end_while_writing(end, lambda count: number.write_text(str(count)))
        code = soak_stages.run(stage.words.split())
    except BaseException:
        traceback.print_exc()
    finally:
        release_all()
        sys.stdout.flush()
        os._exit(code)


def ended(process: int, limit: float) -> int | None:
    """Its exit code (negative: the signal) within `limit` seconds, or None."""
    until = time.monotonic() + limit
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.01)


def family(process: int, folder: Path) -> list[int]:
    """What still runs of a command: processes of its session, and ranks, which have their own."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            is_rank = f"{MARK}={folder}".encode() in (path / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile
            continue
        if state != "Z" and (int(session) == process or is_rank):
            found.append(int(path.name))
    return found


def ranks_of(processes: list[int]) -> list[int]:
    """Those that train: the launcher's own are left out."""
    found = []
    for process in processes:
        with contextlib.suppress(OSError):
            place = Path(f"/proc/{process}")
            has_rank = b"HOROVOD_RANK=" in (place / "environ").read_bytes()
            if has_rank and soak_stages.__name__.encode() in (place / "cmdline").read_bytes():
                found.append(process)
    return found


def send(processes: list[int], number: int) -> None:
    """Signal processes, some of which may be gone."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def wait_for_family(process: int, folder: Path) -> None:
    """Raise UserError where a process of an ended command lives on, after having killed it."""
    until = time.monotonic() + PATIENCE
    while left := family(process, folder):
        if time.monotonic() > until:
            send(left, signal.SIGKILL)
            raise UserError(f"processes {left} live on {PATIENCE:.0f} s after the kill")
        time.sleep(0.05)
