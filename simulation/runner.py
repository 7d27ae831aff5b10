"""Simulation over all cores: every task has random streams of its own.

A task's streams depend on seed, dataset, process, split and chunk alone, so that the files do not
depend on the number of workers.
"""

import os
import signal
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import awkward as ak
import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.parent_process import end_with_parent
from omnilearn.progress import progress
from simulation.generator import LARGEST_PYTHIA_SEED
from simulation.generator_card import GeneratorCard
from simulation.plan import SPLITS, OutputFile, Task, tasks
from simulation.sample import simulate
from simulation.unfinished import Unfinished

MOST_CHUNKS = 2_000_000  # per stream and split; more would run into the next one's seeds


def streams(task: Task, stream: int) -> tuple[int, np.random.Generator]:
    """Pythia's seed and the detector's random numbers for one (process, variant) of a task.

    Pythia's generator never overlaps between different seeds; within one seed and dataset these
    are counted through rather than drawn, so that no two tasks share one.
    """
    assert task.chunk < MOST_CHUNKS
    dataset = zlib.crc32(task.recipe.name.encode())
    split = SPLITS.index(task.split)
    offset = np.random.SeedSequence((task.seed, dataset)).generate_state(1, np.uint64)[0]
    place = (stream * len(SPLITS) + split) * MOST_CHUNKS + task.chunk
    pythia_seed = 1 + (int(offset) + place) % LARGEST_PYTHIA_SEED
    detector = np.random.SeedSequence((task.seed, dataset, stream, split, task.chunk))
    return pythia_seed, np.random.default_rng(detector)


def run(task: Task) -> Any:
    """The jets of a task in random order, in the layout of the public file."""
    recipe, parts = task.recipe, []
    numbered = recipe.streams()
    for stream, (process, variant) in enumerate(numbered):
        variants = len(recipe.processes[process].variants)
        # what cannot be divided goes to the variants in turn
        count = (task.jets[process] + (variant + task.chunk) % variants) // variants
        if count:
            pythia_seed, rng = streams(task, stream)
            jets = simulate(recipe, recipe.processes[process], variant, count, pythia_seed, rng)
            parts.append(ak.with_field(jets, np.full(count, process), "process"))
    jets = ak.concatenate(parts)
    _, order = streams(task, len(numbered))
    return recipe.columns(jets[order.permutation(len(jets))], task.split)


def seconds(recipe: GeneratorCard, file: OutputFile) -> float:
    """CPU time that a file will take, roughly."""
    rates = [process.jets_per_second for process in recipe.processes]
    return sum(jets / rate for jets, rate in zip(file.jets, rates, strict=True))


@contextmanager
def over(workers: int) -> Iterator[Callable]:
    """An ordered parallel `map`; the plain one for a single worker.

    Raises UserError when the system ends a worker.
    """
    if workers == 1:
        yield map
        return
    # spawned, as threads of the parent must not be forked
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin) as pool:
        try:
            yield pool.map
        except BrokenProcessPool as broken:
            raise UserError(
                "a worker was ended by the system, probably for want of memory; "
                f"run again with fewer --workers than {workers}"
            ) from broken
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    """First of all in a worker: Ctrl-C ends it without a word, and so does its parent's end."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()


def produce(
    recipe: GeneratorCard,
    files: list[OutputFile],
    seed: int,
    workers: int,
    unfinished: Unfinished | None = None,
) -> None:
    """Write `files`, the longest first, each appearing when it is complete.

    Those that `unfinished` has from an earlier run are kept, the new ones are added to it. No more
    than the tasks in flight is held in memory. Raises UserError when a worker dies.
    """
    work = list(zip(files, tasks(recipe, files, seed), strict=True))
    if unfinished:  # the others keep their numbers, and with them their random streams
        work = [(file, parts) for file, parts in work if file.path not in unfinished.kept]
    work.sort(key=lambda item: -seconds(recipe, item[0]))
    queue = [task for _, parts in work for task in parts]
    if not queue:
        return
    total = sum(sum(task.jets) for task in queue)
    with over(min(workers, len(queue))) as parallel_map, progress(total, recipe.name) as bar:
        made = iter(parallel_map(run, queue))
        for file, parts in work:
            with atomic_path(file.path) as path, recipe.writer(path) as writer:
                for task in parts:
                    writer.append(next(made))
                    bar.update(sum(task.jets))
            if unfinished:
                unfinished.add(file.path)


def available_cores() -> int:
    """Cores this process may use, where the system tells; else all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
