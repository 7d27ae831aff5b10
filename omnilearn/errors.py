"""What goes wrong for a user, said in one sentence and never as a traceback."""

import errno
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend: what was found, where, what was expected, what to run."""


class Stopped(Exception):
    """The system asked the run to stop, and it did: the same command goes on from here."""


STOPPED = 75  # the exit code for "try again later", sysexits.h
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing or reading is not permitted",
}


def speak(main: Callable[[], None]) -> int:
    """Run `main`; return 0, or say in one sentence what ended it.

    The user's error is 2, an interruption by the keyboard 130, a stop asked for by the system 75.
    """
    try:
        main()
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
