"""The scripts of the suite as commands: their words, and a way to run them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from omnilearn.errors import UserError

ROOT = Path(__file__).parents[1]


def words_of(line: str, **values) -> list[str]:
    """The words of a command; `values` replace {names}, the running interpreter {python}."""
    values = {"python": sys.executable, **values}
    return [word.format(**values) for word in line.split()]


def exit_status(words: Sequence[str]) -> int:
    """Run a command in the folder of the suite; TensorFlow prints warnings and errors only."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.run(words, cwd=ROOT, env=quiet, check=False).returncode


def execute(words: Sequence[str]) -> None:
    """Run one script; raises UserError when it fails."""
    if exit_status(words):
        raise UserError(
            f"{' '.join(words)} failed; mend the error above and run this command again"
        )
