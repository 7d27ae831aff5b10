"""A progress bar for long work, and silence of libraries that print on start-up."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


def progress(total: int | None, title: str, unit: str = "jets", rank: int = 0) -> tqdm:
    """A bar over `total` units; hidden on ranks above 0 and when stderr is not a terminal."""
    return tqdm(
        total=total,
        desc=title,
        unit=f" {unit}",
        unit_scale=True,
        dynamic_ncols=True,
        disable=None if rank == 0 else True,
    )


@contextmanager
def suppress_stdout() -> Iterator[None]:
    """Discard what Python and compiled libraries print to stdout within the block."""
    sys.stdout.flush()
    stdout, devnull = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # the buffers of C and C++
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(devnull)
