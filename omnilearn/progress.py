"""What long work shows: one bar with jets/s and time left, and no greetings of libraries.

The bar is that of rank 0 and quiet without a terminal.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


def progress(total: int | None, title: str, unit: str = "jets", rank: int = 0) -> tqdm:
    """A bar over `total` units; silent on other ranks and when stderr is not a terminal."""
    return tqdm(
        total=total,
        desc=title,
        unit=f" {unit}",
        unit_scale=True,
        dynamic_ncols=True,
        disable=None if rank == 0 else True,
    )


@contextmanager
def stdout_nowhere() -> Iterator[None]:
    """Nothing that Python or a compiled library prints within the block is seen."""
    sys.stdout.flush()
    stdout, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # what C and C++ still hold back
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(nowhere)
