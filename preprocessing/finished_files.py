"""Which of our files, made by an earlier run, still hold what was written then."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from omnilearn.content import is_as_written
from omnilearn.parent_process import end_with_parent
from omnilearn.progress import progress

ALONE_BYTES = 2**28  # files up to this size together are read sooner than processes start


def damaged(paths: list[Path], workers: int) -> set[Path]:
    """Those whose content is not that of their digest; every byte is read."""
    sizes = [path.stat().st_size for path in paths]
    workers = min(workers, len(paths)) if sum(sizes) > ALONE_BYTES else 1
    with progress(sum(sizes), "checking finished files", "B") as bar:
        if workers == 1:
            return {path for path in paths if not is_as_written(path, bar.update)}
        found = set()
        # spawned, not forked: HDF5 does not survive a fork
        with ProcessPoolExecutor(workers, get_context("spawn"), end_with_parent) as pool:
            for path, size, whole in zip(paths, sizes, pool.map(is_as_written, paths), strict=True):
                bar.update(size)
                found |= set() if whole else {path}
        return found
