"""Errors of the user end a command with one sentence and without a traceback."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend: what was found, where, what was expected, what to run."""

    def __str__(self) -> str:
        """The message in one line, also where it quotes a library's message of several lines."""
        return " ".join(super().__str__().splitlines())


class Stopped(Exception):
    """The run stopped at a signal of the system; the same command resumes it."""


STOPPED = 75  # the exit code for "try again later", sysexits.h
NO_READER = 141  # 128 + SIGPIPE, the exit code of a command whose output was closed
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing or reading is not permitted",
    errno.EFBIG: "a file may not be so large there (see ulimit -f)",
}
PATH_ERRORS: dict[int | None, str] = {
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "it is a file where a folder is needed",
    errno.EISDIR: "it is a folder where a file is needed",
    errno.EEXIST: "something else has this name already",
    errno.ELOOP: "a link leads round to itself",
    errno.EIO: "the disk cannot be read or written there",
    errno.ESTALE: "the network disk has lost it",
}


def run_cli(main: Callable[[], None]) -> int:
    """Run `main` and return the exit code; print one sentence on what ended it early.

    0: success, 2: an error of the user, 75: stopped by the system, 130: interrupted from the
    keyboard, 141: the output was closed, as by `| head`. A "~" that the shell left in an argument
    is expanded; characters that the output cannot show are replaced.
    """
    sys.argv[1:] = map(with_home_folder, sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the terminal or a file
            with contextlib.suppress(ValueError):  # closed
                stream.reconfigure(errors="replace")
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would write what is left in the buffers again when it ends
        with contextlib.suppress(OSError, ValueError):
            devnull = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(devnull, stream.fileno())
        return NO_READER
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"{stop}; the same command goes on from there.", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print(
            "interrupted. Nothing half-written was left; the same command goes on from what is "
            "complete, or starts again where nothing is.",
            file=sys.stderr,
        )
        return 130
    except OSError as error:
        if error.errno in PATH_ERRORS and error.filename:
            print(f"error: {path_message(error)}", file=sys.stderr)
            return 2
        if error.errno not in DISK_ERRORS:
            raise
        path = error.filename or "the output folder"
        print(
            f"error: {path}: {DISK_ERRORS[error.errno]}. Nothing half-written was left; "
            "make room or choose another folder and run the same command again.",
            file=sys.stderr,
        )
        return 2
    return 0


def with_home_folder(argument: str) -> str:
    """`~/data` or `--data=~/data` with the home folder in place of the tilde."""
    name, sign, value = argument.partition("=")
    if argument.startswith("-") and sign and value.startswith("~"):
        return name + sign + os.path.expanduser(value)
    return os.path.expanduser(argument)


def broken_link(path: str | os.PathLike[str]) -> str:
    """The words "a link to TARGET, which is gone" where a path is one, else an empty text."""
    if os.path.islink(path) and not os.path.exists(path):
        return f"a link to {os.readlink(path)}, which is gone"
    return ""


def path_message(error: OSError) -> str:
    """The path of an error, what is wrong with it, and the missing target if it is a link."""
    path = os.fspath(error.filename)
    message = f"{path}: {PATH_ERRORS[error.errno]}"
    if link := broken_link(path):
        message += f" (it is {link})"
    return message
