"""Reading and writing history.jsonl: one line per epoch with its losses."""

from dataclasses import dataclass
from pathlib import Path

from omnilearn.errors import UserError
from omnilearn.stored_json import read_lines, write_lines
from omnilearn.typed import typed

FILE = "history.jsonl"
MEND = "copy it from the run again, or run the command of the training again, which writes it"


@dataclass
class Epoch:
    """Types of the keys of a line; a line may lack some and have others."""

    epoch: int | None = None
    steps: int | None = None
    jets: int | None = None
    seconds: float | None = None
    training: dict[str, float] | None = None
    validation: dict[str, float] | None = None


def require_epochs(lines: list[dict]) -> None:
    """Raise ValueError naming the line, counted from 1, and the key of another type."""
    for index, line in enumerate(lines, start=1):
        known = {name: line[name] for name in vars(Epoch()) if name in line}
        typed(Epoch, known, f"line {index}")


def best_epoch(history: list[dict]) -> dict:
    """The line with the smallest validation loss, the first of equal ones."""
    return min(history, key=lambda line: line["validation"]["loss"])


def write_history(run: Path, lines: list[dict]) -> None:
    """Write one line per epoch, all of them or none."""
    write_lines(run / FILE, lines)


def read_history(run: Path) -> list[dict]:
    """history.jsonl of a run, one dictionary per epoch.

    Raises UserError when it is missing, damaged, or holds anything but losses by epoch.
    """
    path = run / FILE
    if not path.is_file():
        raise UserError(
            f"{path} not found: the run has not finished an epoch, or its unfolding the last step; "
            "give its command again"
        )
    lines = read_lines(path, "history of a training", MEND)
    try:
        require_epochs(lines)
    except ValueError as error:
        raise UserError(f"{path}: {error}; {MEND}") from error
    return lines
