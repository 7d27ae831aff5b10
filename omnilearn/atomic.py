"""Files appear whole or not at all: written under a temporary name, flushed, then renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omnilearn.leftovers import mark


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to `path` on success, deleted on any error.

    The temporary file is new and empty; its name cannot be guessed, and no link is followed.
    Raises OSError naming `path` when the folder cannot be made or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # writers choose their format by the suffix, so it stays last
    name = f".{path.stem}.{mark()}.{secrets.token_hex(8)}.partial{path.suffix}"
    temporary = path.with_name(name)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # of a write to an open file, as on a full disk, or of the renaming, which names both
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
