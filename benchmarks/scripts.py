"""The scripts of the suite as commands: how they are written down, and how they are run."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from omnilearn.errors import UserError

ROOT = Path(__file__).parents[1]


def words_of(line: str, **places) -> list[str]:
    """The words of a command, {names} replaced by `places`, python by the present one."""
    places = {"python": sys.executable, **places}
    return [word.format(**places) for word in line.split()]


def exit_status(words: Sequence[str], log: Path | None = None) -> int:
    """Run a command in the folder of the suite; TensorFlow prints errors alone.

    Its output goes to the file `log`, to the terminal without one.
    """
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}  # the launcher too imports TensorFlow
    with open(log, "wb") if log else nullcontext() as output:
        run = subprocess.run(words, cwd=ROOT, env=quiet, stdout=output, stderr=output, check=False)
    return run.returncode


def execute(words: Sequence[str]) -> None:
    """Run one script; raises UserError when it fails."""
    if exit_status(words):
        raise UserError(
            f"{' '.join(words)} failed; mend what it says above and run this command again"
        )
