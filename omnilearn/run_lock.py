"""A lock file that gives a run directory one writer and names it.

The holder raises a counter in the file every few seconds. On the same host a holder is dead when
its process has ended; on another host when the counter does not change, so clocks do not matter.
"""

import atexit
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.writing_process import is_alive, started

TRAINING, EVALUATION = ".training.lock", ".evaluation.lock"
HEARTBEAT = 5.0  # seconds between two counts
PATIENCE = 30.0  # seconds without a count after which a holder on another host is dead

_held: dict[Path, "Lock"] = {}


@dataclass(frozen=True)
class Holder:
    """The writer: host, process, its start (clock ticks after boot), a random token."""

    host: str
    process: int
    started: str
    token: str


class Lock:
    """The lock file of a directory, held from `take` to `release`."""

    def __init__(self, path: Path):
        self.path, self.count = path, 0
        process, token = os.getpid(), secrets.token_hex(8)
        self.holder = Holder(socket.gethostname(), process, started(process), token)
        self.released = threading.Event()
        self.heartbeat = threading.Thread(target=self.beat, daemon=True)

    def take(self) -> None:
        """Create the lock file, in place of a dead holder's; UserError while a holder lives."""
        while True:
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                self.remove_dead()
                continue
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(self.text())
            except OSError as error:  # on a full disk
                self.path.unlink(missing_ok=True)
                error.filename = str(self.path)
                raise
            break
        self.heartbeat.start()

    def remove_dead(self) -> None:
        """Remove the lock file of a dead holder; raises UserError while the holder lives."""
        stored = read(self.path)
        if stored is None:  # removed meanwhile, being written, or left by a crash
            self.remove_unreadable()
            return
        holder, count = stored
        is_here = holder.host == self.holder.host
        lives = is_alive(holder.process, holder.started) if is_here else self.counts(holder, count)
        if lives:
            raise UserError(
                f"{self.path.parent} is written to by process {holder.process} on {holder.host}; "
                "wait for its end or stop it"
                + (", or choose another --name" if self.path.name == TRAINING else "")
            )
        self.remove_file(holder)

    def remove_unreadable(self) -> None:
        """Remove a lock file without a holder, as a crash leaves it, if it stays so for PATIENCE.

        Returns at once where the file is gone, and as soon as it changes.
        """
        before = stamp(self.path)
        if not before:
            return
        log.info(f"{self.path} names no process; it is removed if it stays so for {PATIENCE:.0f} s")
        if watched(lambda: stamp(self.path), before, 0.1) == before:
            self.path.unlink(missing_ok=True)

    def counts(self, holder: Holder, count: int) -> bool:
        """Whether the counter of a holder on another host changes within PATIENCE."""
        log.info(
            f"{self.path.parent} was written to by process {holder.process} on {holder.host}; "
            f"watching it for {PATIENCE:.0f} s"
        )
        before = holder, count
        return watched(lambda: read(self.path), before, PATIENCE / 10) not in (None, before)

    def text(self) -> str:
        return json.dumps({**asdict(self.holder), "count": self.count})

    def beat(self) -> None:
        """Raise the counter until the release, or until another holder has the lock file."""
        while not self.released.wait(HEARTBEAT):
            stored = read(self.path)
            if stored is None or stored[0] != self.holder:
                return
            self.count += 1
            # on a full disk the next count may succeed
            with suppress(OSError), atomic_path(self.path) as temporary:
                temporary.write_text(self.text())

    def release(self) -> None:
        self.released.set()
        self.heartbeat.join()  # a count that is being written would create the file again
        self.remove_file(self.holder)

    def remove_file(self, holder: Holder) -> None:
        """Remove the lock file if it is still that of this holder."""
        stored = read(self.path)
        if stored is not None and stored[0] == holder:
            self.path.unlink(missing_ok=True)


def watched(look: Callable, before: Any, pause: float) -> Any:
    """What `look` returns once that is no longer `before`, or still after PATIENCE.

    pause: seconds between two looks, one at most.
    """
    end = time.monotonic() + PATIENCE
    while (now := look()) == before and time.monotonic() < end:
        time.sleep(min(1.0, pause))
    return now


def stamp(path: Path) -> tuple[int, ...]:
    """Inode and time of the last change of a lock file; empty where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_mtime_ns


def read(path: Path) -> tuple[Holder, int] | None:
    """Holder and counter of a lock file; None where there is none, or an unfinished one."""
    try:
        stored = json.loads(path.read_text())
        count = int(stored.pop("count"))
        return Holder(**stored), count
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def hold(run: Path, name: str = TRAINING) -> None:
    """Lock a directory for this kind of writing until `release` or the end of the process.

    Raises UserError while another process holds it.
    """
    path = Path(run).resolve() / name
    if path not in _held:
        lock = Lock(path)
        lock.take()
        _held[path] = lock


def release(run: Path, name: str = TRAINING) -> None:
    """Release a directory that `hold` locked."""
    lock = _held.pop(Path(run).resolve() / name, None)
    if lock is not None:
        lock.release()


@contextmanager
def released() -> Iterator[None]:
    """Release all locks at the end of the block."""
    try:
        yield
    finally:
        release_all()


@atexit.register
def release_all() -> None:
    """Release all locks; those of a killed process are removed by the next one."""
    while _held:
        _held.popitem()[1].release()
