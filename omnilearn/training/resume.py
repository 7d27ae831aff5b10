"""Resuming a run: its position, the latest intact checkpoint, when one is due, signals to stop.

A run keeps its last two checkpoints, last.h5 and previous.h5. A damaged one is recognised by its
checksum, and the one before it is used.
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
from omnilearn.history import require_epochs
from omnilearn.leftovers import remove_leftovers
from omnilearn.log import log
from omnilearn.model.checkpoint import Checkpoint, load_checkpoint
from omnilearn.model.pet import PETConfig
from omnilearn.training import distributed
from omnilearn.typed import typed

LAST, PREVIOUS, BEST, DAMAGED = "last.h5", "previous.h5", "best.h5", "damaged.h5"
INTERVAL = 600.0  # seconds between checkpoints where no number of steps is given
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # sent at the end of an allocation


@dataclass
class Position:
    """The progress of a run; plain JSON in every checkpoint."""

    epoch: int = 0
    step: int = 0  # steps of the optimiser done in this epoch
    best_loss: float = math.inf
    best_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)  # training terms so far in this epoch
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)
    finished: bool = False

    def as_json(self) -> dict:
        """The position with null for infinity, which is not in JSON."""
        return {**vars(self), "best_loss": None if math.isinf(self.best_loss) else self.best_loss}

    @classmethod
    def from_json(cls, stored: Any, path: Path | str = "a checkpoint") -> "Position":
        """The position of `as_json` in the file `path`; raises UserError for anything else."""
        try:
            position = typed(cls, {**stored, "best_loss": stored["best_loss"] or 0.0}, "position")
            require_epochs(position.history)
            if min(position.epoch, position.step, position.best_epoch, position.seconds) < 0:
                raise ValueError("'position' counts below zero")
            epochs = len(position.history)
            if epochs != position.epoch:
                raise ValueError(f"'position.epoch' is {position.epoch}, its history has {epochs}")
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path} holds no position of a training ({error}); remove it, or train "
                "again in another folder"
            ) from error
        if stored["best_loss"] is None:
            position.best_loss = math.inf
        return position

    def is_over(self, epochs: int, patience: int) -> bool:
        """Whether the last epoch is done, or `patience` of them without a better loss."""
        return self.epoch >= epochs or self.epoch - self.best_epoch >= patience

    def log_state(self, run: Path, steps_per_epoch: int) -> None:
        """Log where the run is resumed, or that it has finished."""
        if self.finished:
            log.info(f"{run} has finished: {self.epoch} epochs")
            return
        stage = f"step {self.step + 1}" if self.step < steps_per_epoch else "validation"
        log.info(f"resuming {run} at epoch {self.epoch + 1}, {stage}")

    def restart_epoch(self) -> None:
        """Discard the steps of an unfinished epoch."""
        self.step, self.sums, self.seconds = 0, {}, 0.0


def position_of(checkpoint: Checkpoint) -> Position:
    """The position in a checkpoint of a training; raises UserError when it has none."""
    return Position.from_json(checkpoint.record.get("position"), checkpoint.path)


def latest_intact_checkpoint(run: Path, architecture: type = PETConfig) -> Path | None:
    """The newest undamaged checkpoint of a run, the same on all ranks; None where there is none.

    A damaged one is named and renamed to damaged.h5, so that it does not become the previous one
    when the next is written. Raises UserError when all are damaged.
    """
    selected, damage = -1, []
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
            selected = index
            break
        else:
            selected = -2 if damage else -1
        if selected == 1:
            reason = damage[0] if damage else f"{run / LAST} is missing"
            log.warning(f"{reason}; going on from the checkpoint before it, {run / PREVIOUS}")
            if damage:
                (run / LAST).replace(run / DAMAGED)
    selected = int(distributed.broadcast(selected))
    if selected == -2:
        raise UserError(
            f"{'; '.join(damage) or f'the checkpoints in {run} are damaged'}: no intact checkpoint "
            f"is left; move {run} away, and the same command trains anew"
        )
    return None if selected == -1 else run / names[selected]


def require_best(run: Path, architecture: type) -> None:
    """Raise UserError where the weights of the best epoch of a finished run cannot be read."""
    try:
        load_checkpoint(run / BEST, architecture)
    except UserError as error:
        raise UserError(
            f"{error}; the training in {run} has finished and does not make it again: bring the "
            "file back, or train again with train.py or finetune.py, and --overwrite or another "
            "--name"
        ) from error


def remove_unfinished(run: Path) -> None:
    """Delete temporary files of killed processes in a run directory.

    Those of a training are deleted even if written on another host, since a run has one training;
    an evaluation may be writing at the same time.
    """
    for name in (LAST, PREVIOUS, BEST, "history.jsonl"):
        stem, suffix = Path(name).stem, Path(name).suffix
        for path in run.glob(f".{stem}.*.partial{suffix}"):
            path.unlink(missing_ok=True)
    remove_leftovers(run)


class Clock:
    """When a checkpoint is due: every `steps` steps, or every ten minutes where that is 0."""

    def __init__(self, steps: int):
        self.steps, self.written = steps, time.monotonic()

    def is_due(self, step: int) -> bool:
        """Whether one is due after `step` steps of an epoch; by time, ranks may differ."""
        if self.steps:
            return step % self.steps == 0
        return time.monotonic() - self.written >= INTERVAL

    def restart(self) -> None:
        self.written = time.monotonic()


class StopRequest:
    """The first signal to stop this process, by name, else empty; a second one ends it at once."""

    def __init__(self):
        self.name = ""

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Catch signals within the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self._on_signal) for each in STOP_SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_stop(self, position: Position, stage: str) -> None:
        """Raise Stopped with the place at which the run is resumed."""
        source = self.name or "another rank was"
        raise Stopped(f"asked to stop ({source}) at epoch {position.epoch + 1}, {stage}")

    def _on_signal(self, code: int, _) -> None:
        self.name = signal.Signals(code).name
        signal.signal(code, signal.SIG_DFL)


def dump_bad_batch(
    run: Path, position: Position, stage: str, batch: dict, index: np.ndarray
) -> None:
    """Write a batch of this rank whose loss is not finite, with its draws, as plain arrays.

    index: rows of the jets in the split.
    """
    rank = distributed.rank()
    path = run / f"not_a_number.epoch{position.epoch + 1}.{stage}.rank{rank}.npz"
    arrays = {name: np.asarray(value) for name, value in batch.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, index=index)
