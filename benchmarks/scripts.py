"""The scripts of the suite as commands: their words, and a way to run them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from omnilearn.errors import UserError

ROOT = Path(__file__).parents[1]


def words_of(line: str, **values) -> list[str]:
    """The words of a command; `values` replace {names}, the running interpreter {python}."""
    values = {"python": sys.executable, **values}
    return [word.format(**values) for word in line.split()]


def exit_status(words: Sequence[str], log: Path | None = None) -> int:
    """Run a command in the folder of the suite; TensorFlow prints errors only.

    The output is written to the file `log`, without one to the terminal.
    """
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    with open(log, "wb") if log else nullcontext() as output:
        run = subprocess.run(words, cwd=ROOT, env=quiet, stdout=output, stderr=output, check=False)
    return run.returncode


def execute(words: Sequence[str]) -> None:
    """Run one script; raises UserError when it fails."""
    if exit_status(words):
        raise UserError(
            f"{' '.join(words)} failed; mend the error above and run this command again"
        )
