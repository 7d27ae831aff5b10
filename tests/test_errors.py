"""Whatever a user can mend, or has asked for, is one sentence on stderr and an exit code."""

import errno

import pytest

from omnilearn.errors import UserError, speak


def raising(error):
    def main():
        raise error

    return main


def test_a_command_that_works_says_nothing(capsys):
    assert speak(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("error", "code", "said"), [
    (UserError("jets.h5 holds 0 jets"), 2, "error: jets.h5 holds 0 jets\n"),
    (OSError(errno.ENOSPC, "No space left", "last.h5"), 2, "error: last.h5: the disk is full. "),
    (PermissionError(errno.EACCES, "denied", "runs"), 2, "error: runs: writing or reading is not"),
    (KeyboardInterrupt(), 130, "interrupted. Nothing half-written was left; "),
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_an_error_of_the_user_is_one_sentence(error, code, said, capsys):
    assert speak(raising(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(said)
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.EBADF, "a bug")])
def test_an_error_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error), match="a bug"):
        speak(raising(error))
