"""One writer for a run directory: a lock file that says who holds it, and outlives nobody.

The holder rewrites a counter in its file every few seconds. On the same host a holder is dead when
its process is gone; on another host when the counter stands still, whatever the clocks say.
"""

import atexit
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.writing_process import is_alive, started

TRAINING, EVALUATION = ".training.lock", ".evaluation.lock"
HEARTBEAT = 5.0  # seconds between two rewritings
PATIENCE = 30.0  # seconds without one after which a holder on another host is dead

_held: dict[Path, "Lock"] = {}


@dataclass(frozen=True)
class Holder:
    """Who writes: host, process, when that process started (clock ticks after boot), a secret."""

    host: str
    process: int
    started: str
    token: str


class Lock:
    """The lock file of a directory, held from `take` to `release` or the end of the process."""

    def __init__(self, path: Path):
        self.path, self.count = path, 0
        process = os.getpid()
        token = secrets.token_hex(8)
        self.holder = Holder(socket.gethostname(), process, started(process), token)
        self.over = threading.Event()

    def take(self) -> None:
        """Hold the directory, after a dead holder too; UserError while another one writes."""
        while True:
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                self.refuse_living()
                continue
            with os.fdopen(descriptor, "w") as file:
                file.write(self.text())
            break
        threading.Thread(target=self.beat, daemon=True).start()

    def refuse_living(self) -> None:
        """Remove the file of a dead holder; raises UserError when it lives."""
        found = read(self.path)
        if found is None:  # removed meanwhile, or being written
            time.sleep(0.1)
            return
        holder, count = found
        is_here = holder.host == self.holder.host
        lives = is_alive(holder.process, holder.started) if is_here else self.moves(holder, count)
        if lives:
            raise UserError(
                f"{self.path.parent} is written to by process {holder.process} on {holder.host}; "
                "wait for its end or stop it, or choose another --name"
            )
        found = read(self.path)
        if found is not None and found[0] == holder:
            self.path.unlink(missing_ok=True)

    def moves(self, holder: Holder, count: int) -> bool:
        """Whether the counter of a holder on another host changes while we look."""
        log.info(
            f"{self.path.parent} was written to by process {holder.process} on {holder.host}; "
            f"looking for {PATIENCE:.0f} s whether it still is"
        )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            time.sleep(min(1.0, PATIENCE / 10))
            found = read(self.path)
            if found is None:
                return False
            if found != (holder, count):
                return True
        return False

    def text(self) -> str:
        return json.dumps({**asdict(self.holder), "count": self.count})

    def beat(self) -> None:
        """Count up until the release; a lock that was lost to another holder is left alone."""
        while not self.over.wait(HEARTBEAT):
            found = read(self.path)
            if found is None or found[0] != self.holder:
                return
            self.count += 1
            with suppress(OSError), atomic_path(self.path) as temporary:  # a full disk: the next
                temporary.write_text(self.text())  # beat may succeed

    def release(self) -> None:
        self.over.set()
        found = read(self.path)
        if found is not None and found[0] == self.holder:
            self.path.unlink(missing_ok=True)


def read(path: Path) -> tuple[Holder, int] | None:
    """Holder and counter of a lock file; None where there is none, or an unfinished one."""
    try:
        stored = json.loads(path.read_text())
        count = int(stored.pop("count"))
        return Holder(**stored), count
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def hold(run: Path, name: str = TRAINING) -> None:
    """Be the one writer of this kind in a directory until `let_go` or the end of the process.

    Raises UserError while another process is.
    """
    path = Path(run).resolve() / name
    if path in _held:
        return
    lock = Lock(path)
    lock.take()
    _held[path] = lock


def let_go(run: Path, name: str = TRAINING) -> None:
    """Give a directory back that `hold` took."""
    lock = _held.pop(Path(run).resolve() / name, None)
    if lock is not None:
        lock.release()


@contextmanager
def released() -> Iterator[None]:
    """Give back, at the end of a command, whatever it held; also a decorator."""
    try:
        yield
    finally:
        let_all_go()


@atexit.register
def let_all_go() -> None:
    """Give back whatever is held; a process that is killed leaves it to the next one to notice."""
    while _held:
        _held.popitem()[1].release()
