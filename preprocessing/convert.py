"""Public files in, ours out: one output file at a time per process, whole or not at all."""

import multiprocessing
import signal
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
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

_jets_done = None  # jets read by all worker processes together


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
        return sum(self.reader.count(path) for path in self.shard.sources)

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
                jet_file.write(temporary, buckets, spec, provenance)
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


def convert(jobs: list[Job], workers: int) -> None:
    """Run all jobs on up to `workers` processes; the result does not depend on their number.

    Raises UserError on the first file that cannot be converted; those finished by then stay.
    """
    if workers == 1 or len(jobs) == 1:
        counts = [job.count() for job in jobs]
        with progress(sum(counts), "preprocessing") as bar:
            for job, jets in zip(jobs, counts, strict=True):
                bar.write(job.run(jets, bar.update))
        return
    # spawned, not forked: HDF5 and the threads of NumPy do not survive a fork
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    with ProcessPoolExecutor(
        min(workers, len(jobs)), context, initializer=_share, initargs=(done,)
    ) as pool:
        try:
            counts = list(pool.map(Job.count, jobs))
            with progress(sum(counts), "preprocessing") as bar:
                pending = {pool.submit(_run, *task) for task in zip(jobs, counts, strict=True)}
                while pending:
                    finished, pending = wait(pending, 0.5, FIRST_COMPLETED)
                    bar.update(done.value - bar.n)
                    for future in finished:
                        bar.write(future.result())
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process died, most likely for lack of memory; run the same command "
                f"again with fewer than {workers} --workers (finished files are kept)"
            ) from error
        except (UserError, OSError):
            for worker in multiprocessing.active_children():
                worker.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _share(done) -> None:
    global _jets_done
    _jets_done = done
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # unwinds, so that partial files go


def _advance(jets: int) -> None:
    with _jets_done.get_lock():
        _jets_done.value += jets


def _run(job: Job, jets: int) -> str:
    return job.run(jets, _advance)
