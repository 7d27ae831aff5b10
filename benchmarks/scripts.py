"""The scripts of the suite as commands: how they are written down, and how they are run."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from omnilearn.errors import UserError

ROOT = Path(__file__).parents[1]


def words_of(line: str, **places) -> list[str]:
    """The words of a command, {names} replaced by `places`, python by the present one."""
    places = {"python": sys.executable, **places}
    return [word.format(**places) for word in line.split()]


def exit_status(words: Sequence[str]) -> int:
    """Run a command in the folder of the suite; TensorFlow says only what is wrong."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}  # the launcher too imports TensorFlow
    return subprocess.run(words, cwd=ROOT, env=quiet, check=False).returncode


def execute(words: Sequence[str]) -> None:
    """Run one script; raises UserError when it fails."""
    if exit_status(words):
        raise UserError(
            f"{' '.join(words)} failed; mend what it says above and run this command again"
        )
