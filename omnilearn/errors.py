"""What goes wrong for a user, said in one sentence and never as a traceback."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend: what was found, where, what was expected, what to run."""

    def __str__(self) -> str:
        """One line, also where a library that is quoted speaks in several."""
        return " ".join(super().__str__().splitlines())


class Stopped(Exception):
    """The system asked the run to stop, and it did: the same command goes on from here."""


STOPPED = 75  # the exit code for "try again later", sysexits.h
NO_READER = 141  # what a shell reports of a command whose output nobody reads any more, 128 + 13
# errors of files, each with what helps
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing or reading is not permitted",
}
PATH_ERRORS: dict[int | None, str] = {
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.EEXIST: "something else stands there already",
    errno.ELOOP: "a link leads round to itself",
    errno.EIO: "the disk cannot be read or written there",
    errno.ESTALE: "the network disk has lost it",
}


def run_cli(main: Callable[[], None]) -> int:
    """Run `main`; return 0, or say in one sentence what ended it.

    The user's error is 2, an interruption by the keyboard 130, a stop asked for by the system 75,
    and 141 says that the output was closed, as `| head` does. A "~" that the shell left in an
    argument is expanded; characters that the output cannot show are replaced.
    """
    sys.argv[1:] = map(expanded, sys.argv[1:])
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
        # what is left in the buffers would be tried again when Python ends
        with contextlib.suppress(OSError, ValueError):
            silence = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(silence, stream.fileno())
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
            print(f"error: {said_of_path(error)}", file=sys.stderr)
            return 2
        if error.errno not in DISK_ERRORS:
            raise
        where = error.filename or "the output folder"
        print(
            f"error: {where}: {DISK_ERRORS[error.errno]}. Nothing half-written was left; "
            "make room or choose another folder and run the same command again.",
            file=sys.stderr,
        )
        return 2
    return 0


def expanded(argument: str) -> str:
    """`~/data` or `--data=~/data` with the home folder in place of the tilde."""
    name, sign, value = argument.partition("=")
    if argument.startswith("-") and sign and value.startswith("~"):
        return name + sign + os.path.expanduser(value)
    return os.path.expanduser(argument)


def said_of_path(error: OSError) -> str:
    """What is wrong with the path of an error, and where a link that is gone leads."""
    path = os.fspath(error.filename)
    said = f"{path}: {PATH_ERRORS[error.errno]}"
    if os.path.islink(path) and not os.path.exists(path):
        said += f" (it is a link to {os.readlink(path)}, which is gone)"
    return said
