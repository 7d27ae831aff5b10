"""Simulation on all cores: the random streams of a task depend on seed, dataset, process, split and
chunk only, so that the files do not depend on the number of workers.
"""

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

MOST_CHUNKS = 2_000_000  # per stream and split; more would reuse the seeds of the next one


def streams(task: Task, stream: int) -> tuple[int, np.random.Generator]:
    """Pythia's seed and the detector's random numbers for one (process, variant) of a task.

    Pythia's random numbers do not overlap between seeds. Within one seed and dataset, the seeds of
    all tasks are consecutive numbers, so that no two tasks share one.
    """
    assert task.chunk < MOST_CHUNKS
    dataset = zlib.crc32(task.card.name.encode())
    split = SPLITS.index(task.split)
    offset = np.random.SeedSequence((task.seed, dataset)).generate_state(1, np.uint64)[0]
    index = (stream * len(SPLITS) + split) * MOST_CHUNKS + task.chunk
    pythia_seed = 1 + (int(offset) + index) % LARGEST_PYTHIA_SEED
    detector = np.random.SeedSequence((task.seed, dataset, stream, split, task.chunk))
    return pythia_seed, np.random.default_rng(detector)


def run(task: Task) -> Any:
    """The jets of a task in random order, in the layout of the public file."""
    card, jets_of_streams = task.card, []
    all_streams = card.streams()
    for stream, (process, variant) in enumerate(all_streams):
        variants = len(card.processes[process].variants)
        # the remainder of the division goes to the variants in turn
        count = (task.jets[process] + (variant + task.chunk) % variants) // variants
        if count:
            pythia_seed, rng = streams(task, stream)
            jets = simulate(card, card.processes[process], variant, count, pythia_seed, rng)
            jets_of_streams.append(ak.with_field(jets, np.full(count, process), "process"))
    jets = ak.concatenate(jets_of_streams)
    _, rng = streams(task, len(all_streams))
    return card.columns(jets[rng.permutation(len(jets))], task.split)


def expected_seconds(card: GeneratorCard, file: OutputFile) -> float:
    """Approximate CPU time of a file."""
    rates = [process.jets_per_second for process in card.processes]
    return sum(jets / rate for jets, rate in zip(file.jets, rates, strict=True))


@contextmanager
def ordered_map(workers: int) -> Iterator[Callable]:
    """A parallel `map`, or the built-in one for a single worker.

    Raises UserError when the system ends a worker.
    """
    if workers == 1:
        yield map
        return
    # spawned, as threads of the parent must not be forked
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        try:
            yield pool.map
        except BrokenProcessPool as broken:
            raise UserError(
                "a worker was ended by the system, probably for want of memory; "
                f"run again with fewer --workers than {workers}"
            ) from broken
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    """Make the worker end silently after Ctrl-C or with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()


def produce(
    card: GeneratorCard,
    files: list[OutputFile],
    seed: int,
    workers: int,
    unfinished: Unfinished | None = None,
) -> None:
    """Write `files`, the longest first, each atomically.

    Files that `unfinished` has from an earlier run are kept, new ones are added to it. Memory holds
    the chunks in flight only. Raises UserError when a worker dies.
    """
    work = list(zip(files, tasks(card, files, seed), strict=True))
    if unfinished:  # after numbering the chunks, so that their random streams do not change
        work = [(file, chunks) for file, chunks in work if file.path not in unfinished.kept]
    work.sort(key=lambda item: -expected_seconds(card, item[0]))
    queue = [task for _, chunks in work for task in chunks]
    if not queue:
        return
    total = sum(sum(task.jets) for task in queue)
    with ordered_map(min(workers, len(queue))) as parallel_map, progress(total, card.name) as bar:
        results = iter(parallel_map(run, queue))
        for file, chunks in work:
            with atomic_path(file.path) as path, card.writer(path) as writer:
                for task in chunks:
                    writer.append(next(results))
                    bar.update(sum(task.jets))
            if unfinished:
                unfinished.add(file.path)
