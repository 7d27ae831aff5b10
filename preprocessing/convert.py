"""Public files in, ours out: one output file at a time per process, whole or not at all."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.data.catalogue import dataset
from omnilearn.errors import UserError
from omnilearn.progress import progress
from preprocessing import jet_file
from preprocessing.jet_chunk import prepare
from preprocessing.jet_file import Provenance
from preprocessing.shuffle import Buckets
from preprocessing.sources import SPLITS, Shard

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_watch = None  # of a worker process


@dataclass(frozen=True)
class Job:
    """One output file to be made."""

    dataset: str
    shard: Shard
    path: Path
    seed: int
    provenance: Provenance

    @property
    def reader(self):
        """The module of the dataset: `shards(raw)`, `count(path)` and `read(path)`."""
        return import_module(f"preprocessing.{self.dataset}")

    def count(self) -> int:
        """Jets in the sources; opens each one, so that a damaged file is told at once."""
        total = 0
        for path in self.shard.sources:
            jets, size = self.reader.count(path), path.stat().st_size
            if jets > size:  # memory would be asked for by a number that a damaged byte made
                raise UserError(
                    f"{path} claims {jets} jets in {size} bytes; it is damaged, download it again"
                )
            total += jets
        return total

    def run(self, jets: int, advance: Callable[[int], None]) -> str:
        """Read, shuffle and write `jets` jets; return a line that sums it up."""
        spec, provenance = dataset(self.dataset), self.provenance
        provenance.jets_per_class = np.zeros(spec.num_classes, dtype=np.int64)
        rng = np.random.default_rng([self.seed, SPLITS.index(self.shard.split), self.shard.index])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (
            Buckets(self.path.parent, jets, spec.num_features, rng) as buckets,
            # absurd momenta may overflow on the way to the check that refuses them
            np.errstate(over="ignore", invalid="ignore"),
        ):
            for source in self.shard.sources:
                for chunk in self.reader.read(source):
                    prepared = prepare(chunk, spec, source)
                    buckets.deal(prepared)
                    labels = prepared.records["label"]
                    provenance.jets_per_class += np.bincount(labels, minlength=spec.num_classes)
                    provenance.clipped += prepared.clipped
                    provenance.dropped_empty += prepared.dropped_empty
                    advance(len(chunk.counts))
            if not provenance.jets_per_class.sum():
                raise UserError(
                    f"{', '.join(map(str, self.shard.sources))}: all {jets} jets are without "
                    "constituents, nothing to write"
                )
            with atomic_path(self.path) as temporary:
                jet_file.write(temporary, buckets, spec, provenance, advance)
        return self.summary(spec.class_names)

    def summary(self, classes: tuple[str, ...]) -> str:
        made = self.provenance
        parts = [f"{name} {n}" for name, n in zip(classes, made.jets_per_class, strict=True)]
        line = f"{self.path}: {made.jets_per_class.sum()} jets ({', '.join(parts)})"
        if made.dropped_empty:
            line += f"; {made.dropped_empty} jets without constituents dropped"
        if made.clipped:
            line += f"; {made.clipped} values of log(1 - rel) clipped"
        return line


class Watch:
    """What all processes share: the jets read so far, and whether they are told to stop.

    A signal only leaves a mark, obeyed between two stretches of jets: an exception in the middle
    of a ROOT or HDF5 call would leave these libraries in pieces.
    """

    def __init__(self, context: BaseContext):
        self.jets = context.Value("q", 0)
        self.stop = context.RawValue("i", 0)  # the signal

    def advance(self, jets: int) -> None:
        """Count `jets` more; raises UserError if told to stop."""
        if self.stop.value:
            raise UserError(
                f"stopped by {signal.Signals(self.stop.value).name}; finished files are kept, run "
                "the same command again to go on"
            )
        with self.jets.get_lock():
            self.jets.value += jets

    def mark(self, number: int, _=None) -> None:
        """Tell all processes to stop."""
        self.stop.value = number


def convert(jobs: list[Job], workers: int) -> None:
    """Run all jobs on up to `workers` processes; the result does not depend on their number.

    Raises UserError on the first file that cannot be converted and after SIGTERM or SIGINT; the
    output files finished by then stay.
    """
    # spawned, not forked: HDF5 and the threads of NumPy do not survive a fork
    context = multiprocessing.get_context("spawn")
    watch = Watch(context)
    before = {number: signal.signal(number, watch.mark) for number in STOP_SIGNALS}
    try:
        if workers == 1 or len(jobs) == 1:
            convert_here(jobs, watch)
        else:
            convert_in_parallel(jobs, min(workers, len(jobs)), context, watch)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def convert_here(jobs: list[Job], watch: Watch) -> None:
    """Run all jobs in this process."""
    counts = []
    for job in jobs:
        counts.append(job.count())
        watch.advance(0)
    with progress(sum(counts), "preprocessing") as bar:

        def advance(jets: int) -> None:
            watch.advance(jets)
            bar.update(jets)

        for job, jets in zip(jobs, counts, strict=True):
            bar.write(job.run(jets, advance))


def convert_in_parallel(jobs: list[Job], workers: int, context: BaseContext, watch: Watch) -> None:
    """Run all jobs on `workers` other processes."""
    with ProcessPoolExecutor(workers, context, initializer=_join, initargs=(watch,)) as pool:
        try:
            counting = [pool.submit(Job.count, job) for job in jobs]
            for _ in finished(counting, watch):
                pass
            counts = [future.result() for future in counting]
            with progress(sum(counts), "preprocessing") as bar:
                running = [pool.submit(_run, *task) for task in zip(jobs, counts, strict=True)]
                for line in finished(running, watch):
                    bar.update(watch.jets.value - bar.n)
                    if line is not None:
                        bar.write(line)
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process died, most likely for lack of memory; run the same command "
                f"again with fewer than {workers} --workers (finished files are kept)"
            ) from error
        except BaseException:
            watch.mark(watch.stop.value or signal.SIGTERM)
            pool.shutdown(cancel_futures=True)
            raise


def finished(futures: list[Future], watch: Watch) -> Iterator:
    """The results of all futures as they come, and None twice a second meanwhile."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, 0.5, FIRST_COMPLETED)
        watch.advance(0)
        yield from (future.result() for future in done)
        yield None


def _join(watch: Watch) -> None:
    global _watch
    _watch = watch
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the first process decides


def _run(job: Job, jets: int) -> str:
    return job.run(jets, _watch.advance)
