"""Worker processes: as many as there are cores, and ended with their parent, even if killed."""

import multiprocessing
import os
import signal
import threading


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Kill this worker process when its parent ends; call it first in a worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent) -> None:
    parent.join()  # returns as soon as the system closes the pipe between the two
    os.kill(os.getpid(), signal.SIGKILL)
