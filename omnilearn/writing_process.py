"""Whether the process that writes something still runs; a later one of its number is another."""

import os
from pathlib import Path


def started(process: int) -> str:
    """When a process of this host started (clock ticks after boot); empty where it is gone or
    cannot be asked."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def is_alive(process: int, begun: str) -> bool:
    """Whether the process of this host that started then still runs."""
    if Path("/proc/self/stat").exists():
        return bool(begun) and started(process) == begun
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
