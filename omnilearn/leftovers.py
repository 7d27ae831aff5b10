"""What a killed process left half written: told by its name, which says who was writing.

A temporary file is `.<name>.<host>-<process>-<start>.partial<suffix>`; words may follow the mark.
"""

import os
import re
import socket
import time
from functools import cache
from pathlib import Path

from omnilearn.writing_process import is_alive, started

MARK = re.compile(r"\.(\w+)-(\d+)-(\d*)(?:[-.]\w+)*\.partial")
ABANDONED = 86400.0  # seconds without a change after which a file of another host is


@cache
def host() -> str:
    """The name of this host, in letters, digits and _."""
    return re.sub(r"\W", "_", socket.gethostname())


def mark() -> str:
    """Says in the name of a temporary file which process writes it."""
    process = os.getpid()
    return f"{host()}-{process}-{started(process)}"


def is_left(path: Path) -> bool:
    """Whether whoever wrote this temporary file is gone.

    On this host its process is asked for; elsewhere a file that did not change for a day is left.
    Other names, as of a download that goes on later, are never taken for left.
    """
    found = MARK.search(path.name)
    if not found:
        return False
    where, process, begun = found.groups()
    if where == host():
        return not is_alive(int(process), begun)
    try:
        return time.time() - path.stat().st_mtime > ABANDONED
    except OSError:  # gone meanwhile
        return False


def remove_leftovers(*folders: Path) -> None:
    """Delete what dead processes left half written in these folders, not below them."""
    for folder in folders:
        for path in folder.glob(".*.partial*"):
            if not path.is_dir() and is_left(path):
                path.unlink(missing_ok=True)
