"""Temporary files of killed processes, recognised by their names, and their removal.

A temporary file is `.<name>.<host>-<process>-<start>.partial<suffix>`; words may follow the start.
"""

import os
import re
import socket
import time
from functools import cache
from pathlib import Path

from omnilearn.writing_process import is_alive, started

MARK = re.compile(r"\.(\w+)-(\d+)-(\d*)(?:[-.]\w+)*\.partial")
ABANDONED = 86400.0  # seconds without a change, for a file of another host


@cache
def host() -> str:
    """The name of this host, in letters, digits and _."""
    return re.sub(r"\W", "_", socket.gethostname())


def mark() -> str:
    """The part of a temporary file's name that identifies the process writing it."""
    process = os.getpid()
    return f"{host()}-{process}-{started(process)}"


def is_abandoned(path: Path) -> bool:
    """Whether the process that wrote this temporary file has ended.

    A file of another host counts as abandoned after a day without a change. Files with other
    names, such as a download that is resumed later, never do.
    """
    match = MARK.search(path.name)
    if not match:
        return False
    writing_host, process, start = match.groups()
    if writing_host == host():
        return not is_alive(int(process), start)
    try:
        return time.time() - path.stat().st_mtime > ABANDONED
    except OSError:  # deleted meanwhile
        return False


def remove_leftovers(*folders: Path) -> None:
    """Delete temporary files of ended processes in these folders, not below them."""
    for folder in folders:
        for path in folder.glob(".*.partial*"):
            if not path.is_dir() and is_abandoned(path):
                path.unlink(missing_ok=True)
