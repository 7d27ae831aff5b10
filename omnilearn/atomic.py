"""Files appear whole or not at all: written under a temporary name, flushed, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omnilearn.leftovers import mark


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any error it goes.

    Raises OSError naming `path` when the folder cannot be made or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # the suffix stays last: writers choose their format by it
    temporary = path.with_name(f".{path.stem}.{mark()}.partial{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # of a write to an open file, as on a full disk
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
