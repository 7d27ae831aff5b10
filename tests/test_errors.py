"""Errors of the user and interruptions are one sentence on stderr and an exit code."""

import errno
import os
import subprocess
import sys

import pytest
from commands import ROOT, run_process

from omnilearn.errors import UserError, run_cli


def raising(error):
    def main():
        raise error

    return main


def test_a_command_without_errors_prints_nothing_more(capsys):
    assert run_cli(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("jets.h5 holds 0 jets"), 2, "error: jets.h5 holds 0 jets\n"),
        (
            OSError(errno.ENOSPC, "No space left", "last.h5"),
            2,
            "error: last.h5: the disk is full. ",
        ),
        (
            OSError(errno.EFBIG, "too large", "last.h5"),
            2,
            "error: last.h5: a file may not be so large there (see ulimit -f). ",
        ),
        (
            PermissionError(errno.EACCES, "denied", "runs"),
            2,
            "error: runs: writing or reading is not",
        ),
        (FileNotFoundError(errno.ENOENT, "none", "a.h5"), 2, "error: a.h5: there is no such file"),
        (NotADirectoryError(errno.ENOTDIR, "none", "a/b"), 2, "error: a/b: it is a file"),
        (KeyboardInterrupt(), 130, "interrupted. Nothing half-written was left; "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_the_user_is_one_sentence(error, code, message, capsys):
    assert run_cli(raising(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EBADF, "a bug")])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error), match="a bug"):
        run_cli(raising(error))


def test_a_quoted_message_of_several_lines_becomes_one_line():
    assert str(UserError("a.h5: read failed (time = Sunday\n, errno = 5)")).count("\n") == 0


def test_a_link_whose_target_is_missing_is_reported_as_one(tmp_path, capsys):
    (tmp_path / "link").symlink_to("nowhere.h5")
    assert run_cli((tmp_path / "link").read_bytes) == 2
    assert capsys.readouterr().err.endswith("(it is a link to nowhere.h5, which is gone)\n")


def command(line: str, **environment) -> subprocess.CompletedProcess:
    """`line` in a shell, with `python` for this interpreter."""
    line = line.replace("python", sys.executable)
    return run_process(["bash", "-c", line], cwd=ROOT, env=os.environ | environment)


def test_a_closed_output_ends_a_command_without_a_message(tmp_path):
    program = "for i in range(20000): print('a line of the list')"
    (tmp_path / "talk.py").write_text(
        f"import sys\nfrom omnilearn.errors import run_cli\ndef main():\n    {program}\n"
        "sys.exit(run_cli(main))"
    )
    for long in (f"python {tmp_path}/talk.py", "python -m preprocessing list"):
        process = command(f"{long} | head -1; exit ${{PIPESTATUS[0]}}", PYTHONPATH=str(ROOT))
        assert process.stdout.count("\n") == 1
        assert process.stderr == ""
        assert process.returncode in (0, 141)


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}],
)
def test_characters_that_a_terminal_cannot_show_are_replaced(environment):
    main = "print('0.98', chr(177), '0.01')"
    program = f"from omnilearn.errors import run_cli; run_cli(lambda: {main})"
    process = command(f'python -c "{program}"', **environment)
    assert (process.stdout, process.stderr) == ("0.98 ? 0.01\n", "")


def test_a_tilde_that_the_shell_left_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/her")
    words = ["finetune.py", "top", "--data=~/data", "~/runs", "a~b", "--name=x=~"]
    monkeypatch.setattr(sys, "argv", words)
    assert run_cli(lambda: None) == 0
    assert sys.argv[1:] == ["top", "--data=/home/her/data", "/home/her/runs", "a~b", "--name=x=~"]
