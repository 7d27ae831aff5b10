"""A worker process ends when the process that started it does, however that one ended."""

import multiprocessing
import os
import signal
import threading


def end_with_parent() -> None:
    """Watch the parent of this worker from now on; for the first lines of a worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent) -> None:
    parent.join()  # returns as soon as the system closes the pipe between the two
    os.kill(os.getpid(), signal.SIGKILL)
