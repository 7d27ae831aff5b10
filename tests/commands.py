"""Commands run in this process: python train.py ..., python -m preprocessing ..."""

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# a smaller small preset
TINY = {
    "projection_dim": 8,
    "num_heads": 2,
    "num_layers": 1,
    "classifier_layers": 1,
    "generator_layers": 1,
}


def run_process(words, **options) -> subprocess.CompletedProcess:
    """Another process, whatever its exit status, with its output as text."""
    return subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, **options
    )


def run_program(program: str, *arguments, **environment) -> subprocess.CompletedProcess:
    """`python -c program` in another process, in the folder of the checkout."""
    words = [sys.executable, "-c", program, *arguments]
    return run_process(words, cwd=ROOT, env=os.environ | environment)


def python(line: str, *more) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `python <line>`."""
    words = [*line.split(), *map(str, more)]
    is_module = words[0] == "-m"
    script, *arguments = words[is_module:]
    run, target = (runpy.run_module, script) if is_module else (runpy.run_path, str(ROOT / script))
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, f"{script}.__main__", raising=False)  # a program, not a module
        patch.setattr(sys, "argv", [script, *arguments])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                run(target, run_name="__main__")
            except SystemExit as stop:
                return stop.code, out.getvalue(), err.getvalue()
    raise AssertionError(f"{line} ended without an exit status")


def output_of(result: tuple[int, str, str]) -> str:
    """The stdout of a command that succeeded with an empty stderr; `result` is that of `python`."""
    code, out, err = result
    assert (code, err) == (0, "")
    return out


def refusal_of(result: tuple[int, str, str]) -> str:
    """The stderr of a command that was refused."""
    code, _, err = result
    assert code == 2
    return err
