"""How a run goes on: where it stood, which checkpoint is intact, when one is due, who asks to stop.

A run keeps its last two checkpoints, last.h5 and previous.h5. One that is damaged is told apart by
its checksum, and the one before it is used.
"""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.errors import Stopped, UserError
from omnilearn.history import require_epochs, write_history
from omnilearn.leftovers import remove_leftovers
from omnilearn.log import log
from omnilearn.model.checkpoint import Checkpoint, load_checkpoint
from omnilearn.model.pet import PETConfig
from omnilearn.training import distributed
from omnilearn.typed import typed

LAST, PREVIOUS, DAMAGED = "last.h5", "previous.h5", "damaged.h5"
INTERVAL = 600.0  # seconds between checkpoints where no number of steps is given
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # an allocation that ends sends one of them


@dataclass
class Position:
    """Where a run stands; plain JSON in every checkpoint."""

    epoch: int = 0
    step: int = 0  # steps of the optimiser done in this epoch
    best_loss: float = math.inf
    best_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)  # training terms so far in this epoch
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)
    finished: bool = False

    def as_json(self) -> dict:
        """The position without an infinity, which JSON does not know."""
        return {**vars(self), "best_loss": None if math.isinf(self.best_loss) else self.best_loss}

    @classmethod
    def from_json(cls, stored: Any, path: Path | str = "a checkpoint") -> "Position":
        """What `as_json` gave, of `path`; raises UserError for what is no position."""
        try:
            found = typed(cls, {**stored, "best_loss": stored["best_loss"] or 0.0}, "position")
            require_epochs(found.history)
            if min(found.epoch, found.step, found.best_epoch, found.seconds) < 0:
                raise ValueError("'position' counts below zero")
            if len(found.history) != found.epoch:
                raise ValueError(
                    f"'position.epoch' is {found.epoch}, its history has {len(found.history)}"
                )
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path} holds no position of a training ({error}); remove it, or start again "
                "with --overwrite"
            ) from error
        if stored["best_loss"] is None:
            found.best_loss = math.inf
        return found

    def write_history(self, run: Path) -> None:
        """history.jsonl, one line per epoch, atomically."""
        write_history(run, self.history)

    def tell(self, run: Path, steps_per_epoch: int) -> None:
        """Say where the run goes on, or that it has finished."""
        if self.finished:
            log.info(f"{run} has finished: {self.epoch} epochs")
            return
        where = f"step {self.step + 1}" if self.step < steps_per_epoch else "validation"
        log.info(f"resuming {run} at epoch {self.epoch + 1}, {where}")

    def restart_epoch(self) -> None:
        """Forget the steps of the epoch that has begun."""
        self.step, self.sums, self.seconds = 0, {}, 0.0


def position_of(checkpoint: Checkpoint) -> Position:
    """Where the training stood that wrote a checkpoint; raises UserError when it does not say."""
    return Position.from_json(checkpoint.record.get("position"), checkpoint.path)


def latest_intact_checkpoint(run: Path, architecture: type = PETConfig) -> Path | None:
    """The newest undamaged checkpoint of a run, the same on all ranks; None where there is none.

    A damaged one is named, set aside as damaged.h5, so that it does not become the previous one
    when the next is written, and passed over. Raises UserError when there are only such.
    """
    chosen, damage = -1, []
    names = (LAST, PREVIOUS)
    if distributed.rank() == 0:
        for index, name in enumerate(names):
            if not (run / name).is_file():
                continue
            try:
                position_of(load_checkpoint(run / name, architecture))
            except UserError as error:
                damage.append(str(error))
                continue
            chosen = index
            break
        else:
            chosen = -2 if damage else -1
        if chosen == 1:
            said = damage[0] if damage else f"{run / LAST} is missing"
            log.warning(f"{said}; going on from the checkpoint before it, {run / PREVIOUS}")
            if damage:
                (run / LAST).replace(run / DAMAGED)
    chosen = int(distributed.agreed(chosen))
    if chosen == -2:
        raise UserError(
            f"{'; '.join(damage) or f'the checkpoints in {run} are damaged'}: no intact checkpoint "
            "is left; start again with --overwrite, or use another --name"
        )
    return None if chosen == -1 else run / names[chosen]


def remove_unfinished(run: Path) -> None:
    """Delete what a killed process had half written in a run directory.

    What a training writes is left of one that died, on whatever host, since it alone trains there;
    an evaluation may be writing beside it.
    """
    for name in (LAST, PREVIOUS, "best.h5", "history.jsonl"):
        stem, suffix = Path(name).stem, Path(name).suffix
        for path in run.glob(f".{stem}.*.partial{suffix}"):
            path.unlink(missing_ok=True)
    remove_leftovers(run)


class Clock:
    """Says when a checkpoint is due: every so many steps, or every ten minutes where that is 0."""

    def __init__(self, steps: int):
        self.steps, self.written = steps, time.monotonic()

    def is_due(self, step: int) -> bool:
        """After `step` steps of an epoch; without a number of steps, ranks may differ."""
        if self.steps:
            return step % self.steps == 0
        return time.monotonic() - self.written >= INTERVAL

    def restart(self) -> None:
        self.written = time.monotonic()


class StopRequest:
    """Remembers that the system asked this process to stop; the second time it is obeyed at once.

    name: the signal, empty as long as nobody asked.
    """

    def __init__(self):
        self.name = ""

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Listen as long as this lasts; signals reach the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_stop(self, position: Position, where: str) -> None:
        """Raise Stopped, saying where the run goes on."""
        asked = self.name or "another rank was"
        raise Stopped(f"asked to stop ({asked}) at epoch {position.epoch + 1}, {where}")

    def _hear(self, number: int, _) -> None:
        self.name = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)


def dump_bad_batch(
    run: Path, position: Position, where: str, batch: dict, index: np.ndarray
) -> None:
    """Write a batch of this rank whose loss is not a number, with its draws, as plain arrays.

    index: the jets' rows in the split.
    """
    rank = distributed.rank()
    path = run / f"not_a_number.epoch{position.epoch + 1}.{where}.rank{rank}.npz"
    arrays = {name: np.asarray(value) for name, value in batch.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, index=index)
