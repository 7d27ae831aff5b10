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


def horovodrun(ranks: int) -> list[str]:
    """The words that start Python on that number of ranks of this machine."""
    launcher = str(Path(sys.executable).with_name("horovodrun"))
    return [launcher, "-np", str(ranks), "--gloo", sys.executable]


def environment(programs: int) -> dict[str, str]:
    """The environment of one of `programs` that run at the same time: each has its share of cores.

    TensorFlow prints errors only. A single program keeps the number of threads that is set.
    """
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    if programs > 1:
        threads = str(max(1, len(os.sched_getaffinity(0)) // programs))
        variables |= {"OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads}
    return variables


def exit_status(words: Sequence[str], log: Path | None = None, programs: int = 1) -> int:
    """Run a command in the folder of the suite, one of `programs` at the same time.

    The output is appended to the file `log`, without one it goes to the terminal.
    """
    with open(log, "ab") if log else nullcontext() as output:
        run = subprocess.run(
            words, cwd=ROOT, env=environment(programs), stdout=output, stderr=output, check=False
        )
    return run.returncode


def execute(words: Sequence[str]) -> None:
    """Run one script; raises UserError when it fails."""
    if exit_status(words):
        raise UserError(
            f"{' '.join(words)} failed; mend the error above and run this command again"
        )
