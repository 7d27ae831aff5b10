"""history.jsonl: one line per epoch with its losses, in and out."""

from dataclasses import dataclass
from pathlib import Path

from omnilearn.errors import UserError
from omnilearn.stored_json import read_lines, write_lines
from omnilearn.typed import typed

FILE = "history.jsonl"
MEND = "copy it from the run again, or give the command of the training again, which writes it"


@dataclass
class Epoch:
    """What the readers of a line look for in it, by type; a line may lack some and have more."""

    epoch: int | None = None
    steps: int | None = None
    jets: int | None = None
    seconds: float | None = None
    training: dict[str, float] | None = None
    validation: dict[str, float] | None = None


def insist_on_epochs(lines: list[dict]) -> None:
    """Raise ValueError naming what is no part of a history, counted from line 1."""
    for number, line in enumerate(lines, start=1):
        typed(Epoch, {name: line[name] for name in vars(Epoch()) if name in line}, f"line {number}")


def write_history(run: Path, lines: list[dict]) -> None:
    """One line per epoch, all of them at once, whole or not at all."""
    write_lines(run / FILE, lines)


def read_history(run: Path) -> list[dict]:
    """history.jsonl of a run, one dictionary per epoch.

    Raises UserError when it is not there, damaged, or of something else than losses by epoch.
    """
    path = run / FILE
    if not path.is_file():
        raise UserError(f"{path} not found: the run has not finished an epoch")
    lines = read_lines(path, "history of a training", MEND)
    try:
        insist_on_epochs(lines)
    except ValueError as error:
        raise UserError(f"{path}: {error}; {MEND}") from error
    return lines
