"""Whether a process still runs, distinguished by its start from a later one of the same number."""

import os
from pathlib import Path


def started(process: int) -> str:
    """Start of a process of this host, in clock ticks after boot; empty where it is not known."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def is_alive(process: int, start: str) -> bool:
    """Whether the process of this host with this number and this start still runs."""
    if Path("/proc/self/stat").exists():
        return bool(start) and started(process) == start
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
