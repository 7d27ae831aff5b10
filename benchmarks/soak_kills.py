"""Processes that run a command of the soak, the kills of these processes, and damaged files.

A command is a fork of this process. This process imports TensorFlow but never computes with it,
since its threads do not exist in a fork. Several ranks are started by horovodrun.
"""

import contextlib
import os
import random
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
from benchmarks.scripts import ROOT, horovodrun
from omnilearn.errors import UserError
from omnilearn.run_lock import release_all

FOLDER_VARIABLE = "OMNILEARN_SOAK"  # environment variable of ranks: the folder of their command
MAX_SECONDS = 3600.0  # longer than any command takes
MAX_SECONDS_TO_END = 90.0  # for all processes of a killed command
MOMENTS = ("half written", "before the rename", "after the rename")


@dataclass(frozen=True)
class WriteKill:
    """When a process that writes files kills itself."""

    file_index: int  # counted from 1
    moment: str  # of MOMENTS
    written_share: float  # of the content, if the file is half written


def kill_while_writing(write_kill: WriteKill | None, on_file: Callable[[int], object]) -> None:
    """Make this process kill itself at that moment; calls on_file(index) for every file.

    A file is complete when it is renamed, so Path.replace is replaced.
    """
    rename = Path.replace
    file_index = 0

    def replace(path, target):
        nonlocal file_index
        file_index += 1
        on_file(file_index)
        moment = ""
        if write_kill and write_kill.file_index == file_index:
            moment = write_kill.moment
            if moment == "half written" and ".partial" in path.name:
                os.truncate(path, int(write_kill.written_share * path.stat().st_size))
        if moment in ("half written", "before the rename"):
            os.kill(os.getpid(), signal.SIGKILL)
        renamed = rename(path, target)
        if moment == "after the rename":
            os.kill(os.getpid(), signal.SIGKILL)
        return renamed

    Path.replace = replace  # type: ignore[method-assign]


def log_path(folder: Path) -> Path:
    """The file, beside a folder, with what the commands in it printed."""
    return folder.with_suffix(".log")


def file_count_path(folder: Path) -> Path:
    """The file, beside a folder, with the number of files that its last command completed."""
    return folder.with_suffix(".files")


def start_command(
    stage: soak_stages.Stage, folder: Path, write_kill: WriteKill | None = None
) -> int:
    """Run a command in `folder` in a new process; returns its id, which leads a new session."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        while os.getsid(process) != process:  # running_processes searches for the session
            time.sleep(0.001)
        return process
    code = 1
    try:
        os.setsid()
        log = os.open(log_path(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        words = stage.command.split()
        if stage.ranks > 1:
            command = [*horovodrun(stage.ranks), "-m", soak_stages.__name__, *words]
            variables = {"PYTHONPATH": str(ROOT), FOLDER_VARIABLE: str(folder)}
            os.execve(command[0], command, {**os.environ, **variables})
        # the default lock is shared by all forks, and a killed one would not release it
        tqdm.set_lock(threading.RLock())
        count_path = file_count_path(folder)
        kill_while_writing(write_kill, lambda index: count_path.write_text(str(index)))
        code = soak_stages.run(words)
    except BaseException:
        traceback.print_exc()
    finally:
        release_all()
        sys.stdout.flush()
        os._exit(code)


def exit_code(process: int, timeout: float = MAX_SECONDS) -> int | None:
    """Wait for a process: its exit code (negative: the signal), or None after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        ended_process, status = os.waitpid(process, os.WNOHANG)
        if ended_process:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.01)


def running_processes(process: int, folder: Path) -> list[int]:
    """Processes of a command: those of its session, and its ranks, which have other sessions."""
    variable = f"{FOLDER_VARIABLE}={folder}".encode()
    processes = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            is_rank = variable in (path / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile
            continue
        if state != "Z" and (int(session) == process or is_rank):
            processes.append(int(path.name))
    return processes


def training_ranks(processes: list[int]) -> list[int]:
    """Those of the processes that train; the launcher starts others."""
    ranks = []
    for process in processes:
        with contextlib.suppress(OSError):
            path = Path(f"/proc/{process}")
            has_rank = b"HOROVOD_RANK=" in (path / "environ").read_bytes()
            if has_rank and soak_stages.__name__.encode() in (path / "cmdline").read_bytes():
                ranks.append(process)
    return ranks


def send_signal(processes: list[int], signal_number: int) -> None:
    """Send a signal to processes, some of which may have ended."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal_number)


def wait_for_end(process: int, folder: Path) -> None:
    """Wait until all processes of a killed command have ended.

    After MAX_SECONDS_TO_END the others are killed, and UserError is raised.
    """
    end = time.monotonic() + MAX_SECONDS_TO_END
    while processes := running_processes(process, folder):
        if time.monotonic() > end:
            send_signal(processes, signal.SIGKILL)
            raise UserError(
                f"processes {processes} still run {MAX_SECONDS_TO_END:.0f} s after the kill"
            )
        time.sleep(0.05)


def damage_file(path: Path, rng: random.Random) -> None:
    """Cut a file short, or flip one of its bits."""
    content = bytearray(path.read_bytes())
    position = rng.randrange(len(content))
    if rng.random() < 0.5:
        del content[position:]
    else:
        content[position] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
