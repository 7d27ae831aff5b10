"""Converted files of an earlier run whose content has changed since."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from omnilearn.content import is_as_written
from omnilearn.parent_process import end_with_parent
from omnilearn.progress import progress

SINGLE_PROCESS_BYTES = 2**28  # reading up to this total takes less time than starting processes


def damaged_files(paths: list[Path], workers: int) -> set[Path]:
    """The files whose content does not match their digest; every byte is read."""
    sizes = [path.stat().st_size for path in paths]
    workers = min(workers, len(paths)) if sum(sizes) > SINGLE_PROCESS_BYTES else 1
    with progress(sum(sizes), "checking finished files", "B") as bar:
        if workers == 1:
            return {path for path in paths if not is_as_written(path, bar.update)}
        damaged = set()
        # spawned, not forked: HDF5 does not survive a fork
        with ProcessPoolExecutor(workers, get_context("spawn"), end_with_parent) as pool:
            for path, size, intact in zip(
                paths, sizes, pool.map(is_as_written, paths), strict=True
            ):
                bar.update(size)
                if not intact:
                    damaged.add(path)
        return damaged
