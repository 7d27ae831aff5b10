"""Conversion of public files: each process writes one output file at a time, atomically."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.data.catalogue import dataset
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.parent_process import end_with_parent
from omnilearn.progress import progress
from preprocessing import jet_file, omnilearned
from preprocessing.copies import FirstJets, require_different
from preprocessing.jet_chunk import (
    LEAST_JETS,
    prepare,
    require_consistent,
    require_gev,
    require_one_unit,
)
from preprocessing.jet_file import Provenance
from preprocessing.shuffle import Buckets
from preprocessing.sources import SPLITS, Shard

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_monitor: "Monitor"  # of a worker process


def reader_of(spec: DatasetSpec, repacked: bool):
    """The module of the dataset, or the reader of files that OmniLearned repacked; both offer
    `shards(raw)`, `count(path)` and `read(path, chunk_rows)`."""
    return omnilearned.Reader(spec) if repacked else import_module(f"preprocessing.{spec.name}")


@dataclass(frozen=True)
class Job:
    """The conversion of one shard to its output files, one per split that has a share of it."""

    dataset: str
    shard: Shard
    seed: int
    outputs: tuple[tuple[Path, Provenance], ...]  # in the order of the shares
    repacked: bool = field(default=False, kw_only=True)  # by OmniLearned

    @property
    def reader(self):
        return reader_of(self.spec, self.repacked)

    @property
    def spec(self) -> DatasetSpec:
        return dataset(self.dataset)

    @property
    def is_complete(self) -> bool:
        """Whether all output files exist, made from the same sources with the same seed."""
        return all(
            jet_file.is_complete(path, provenance, self.spec) for path, provenance in self.outputs
        )

    def count(self) -> int:
        """Rows in the sources; opens each one, so that a damaged file is refused early."""
        total = 0
        for path in self.shard.sources:
            rows, size = self.reader.count(path), path.stat().st_size
            if rows > size:  # a damaged row count; memory would be allocated for it
                raise UserError(
                    f"{path} claims {rows} {unit(self.spec)} in {size} bytes; it is damaged, "
                    "download it again"
                )
            total += rows
        return total

    def survey(self) -> tuple[int, list[FirstJets]]:
        """Rows in the sources, and the first jets of each, which identify copies."""
        rows = self.count()
        with np.errstate(over="ignore", invalid="ignore"):
            return rows, [FirstJets.of(self.reader, path) for path in self.shard.sources]

    def run(self, rows: int, advance: Callable[[int], object]) -> str:
        """Read, shuffle and write `rows` rows; returns one line per output file."""
        spec = self.spec
        for path, provenance in self.outputs:
            provenance.jets_per_class = np.zeros(spec.num_classes, dtype=np.int64)
            path.parent.mkdir(parents=True, exist_ok=True)
        with (
            ExitStack() as stack,
            # absurd momenta may overflow before they are refused
            np.errstate(over="ignore", invalid="ignore"),
        ):
            buckets = [
                stack.enter_context(
                    Buckets(
                        path.parent,
                        int(np.ceil(rows * provenance.share)),
                        spec,
                        np.random.default_rng(
                            [self.seed, SPLITS.index(provenance.split), self.shard.index]
                        ),
                    )
                )
                for path, provenance in self.outputs
            ]
            for source in range(len(self.shard.sources)):
                self.scatter(source, spec, buckets, advance)
            if not any(provenance.jets_per_class.sum() for _, provenance in self.outputs):
                raise UserError(
                    f"{', '.join(map(str, self.shard.sources))}: none of {rows} rows is left"
                    f"{left_out(self.outputs[0][1])}; nothing to write"
                )
            for (path, provenance), scattered in zip(self.outputs, buckets, strict=True):
                if provenance.jets_per_class.sum():
                    with atomic_path(path) as temporary:
                        jet_file.write(temporary, scattered, spec, provenance, advance)
                else:  # a file of an earlier run holds other jets
                    path.unlink(missing_ok=True)
        lines = [summary(path, provenance, spec) for path, provenance in self.outputs]
        if selection := self.outputs[0][1].selection:
            lines.insert(0, f"selection: {'; '.join(selection)}")
        return "\n".join(lines)

    def scatter(
        self,
        index: int,
        spec: DatasetSpec,
        buckets: list[Buckets],
        advance: Callable[[int], object],
    ) -> None:
        """Scatter the rows of source `index` to the buckets of their splits."""
        source = self.shard.sources[index]
        checked = False
        for chunk in self.reader.read(source):
            advance(len(chunk.label) + sum(chunk.rejected.values()))
            filled = chunk.jet[:, 0] != 0
            jet_pt = chunk.jet[filled, 0]
            is_first = len(jet_pt) > 0 and not checked
            jet_rows = np.repeat(chunk.rows, spec.jets_per_row)[filled]
            require_one_unit(jet_pt, jet_rows, spec, source, not checked, unit(spec)[:-1])
            if is_first:
                require_gev(jet_pt, spec, source)
            split, chunks = self.shard.split_of(chunk.rows, source, self.seed), [chunk]
            if len(self.outputs) > 1:
                chunks = [chunk.take(split == share) for share in range(len(self.outputs))]
            parts = [prepare(part, spec, source) for part in chunks]
            # after `prepare`, which names the first impossible jet
            if is_first or len(jet_pt) >= LEAST_JETS:
                require_consistent(chunk, spec, source)
            checked |= is_first
            for (_, provenance), bucket, prepared in zip(self.outputs, buckets, parts, strict=True):
                prepared.records["source"][:, 0] = index
                bucket.scatter(prepared)
                provenance.jets_per_class += np.bincount(
                    prepared.records["label"], minlength=spec.num_classes
                )
                provenance.clipped += prepared.clipped
                provenance.dropped_empty += prepared.dropped_empty
                for sentence in chunk.selection:
                    if sentence not in provenance.selection:
                        provenance.selection.append(sentence)
                for reason, rows in chunk.rejected.items():
                    provenance.rejected[reason] = provenance.rejected.get(reason, 0) + rows


def unit(spec: DatasetSpec) -> str:
    """Plural of a stored row: jets or events."""
    return "jets" if spec.jets_per_row == 1 else "events"


def summary(path: Path, provenance: Provenance, spec: DatasetSpec) -> str:
    """One line about an output file."""
    counts = provenance.jets_per_class
    if not counts.sum():
        return f"{path}: no {unit(spec)[:-1]} fell into this split; not written"
    classes = ", ".join(f"{name} {n}" for name, n in zip(spec.class_names, counts, strict=True))
    line = f"{path}: {counts.sum()} {unit(spec)} ({classes}){left_out(provenance)}"
    if provenance.clipped:
        line += f"; {provenance.clipped} values of log(1 - rel) clipped"
    return line


def left_out(provenance: Provenance) -> str:
    """Rows that were left out, by reason; rejected rows are those of all splits of the sources."""
    reasons = dict(provenance.rejected)
    if provenance.dropped_empty:
        reasons["without constituents"] = provenance.dropped_empty
    return "".join(f"; {rows} {reason}: left out" for reason, rows in reasons.items())


class Monitor:
    """State shared by all processes: the number of jets read, and the signal to stop.

    A signal handler only stores the signal, which is checked after every chunk of jets: an
    exception in the middle of a ROOT or HDF5 call would corrupt the state of these libraries.
    """

    def __init__(self, context: BaseContext):
        self.jets = context.Value("q", 0)
        self.stop = context.RawValue("i", 0)  # the signal

    def advance(self, jets: int) -> None:
        """Count `jets` more; raises UserError after a signal to stop."""
        if self.stop.value:
            raise UserError(
                f"stopped by {signal.Signals(self.stop.value).name}; finished files are kept, run "
                "the same command again to go on"
            )
        with self.jets.get_lock():
            self.jets.value += jets

    def request_stop(self, signal_number: int, _=None) -> None:
        """Make the next `advance` of every process raise; a signal handler."""
        self.stop.value = signal_number


def convert(jobs: list[Job], workers: int, complete: Sequence[Job] = ()) -> None:
    """Run all jobs on up to `workers` processes; the result does not depend on their number.

    Raises UserError before the first one where two files, also of the jobs that are `complete`
    from an earlier run, hold the same jets, on the first file that cannot be converted and after
    SIGTERM or SIGINT; the output files finished by then stay.
    """
    # spawned, not forked: HDF5 and the threads of NumPy do not survive a fork
    context = multiprocessing.get_context("spawn")
    monitor = Monitor(context)
    handlers = {number: signal.signal(number, monitor.request_stop) for number in STOP_SIGNALS}
    try:
        if workers == 1 or len(jobs) == 1:
            convert_in_process(jobs, complete, monitor)
        else:
            convert_in_parallel(jobs, complete, min(workers, len(jobs)), context, monitor)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def convert_in_process(jobs: list[Job], complete: Sequence[Job], monitor: Monitor) -> None:
    """Run all jobs in this process."""
    surveys = []
    with progress(len(jobs) + len(complete), "looking at the files", "jobs") as bar:
        for job in (*jobs, *complete):
            surveys.append(job.survey())
            monitor.advance(0)
            bar.update()
    counts = row_counts(surveys)[: len(jobs)]
    with progress(sum(counts), "preprocessing", unit(jobs[0].spec)) as bar:

        def advance(jets: int) -> None:
            monitor.advance(jets)
            bar.update(jets)

        for job, jets in zip(jobs, counts, strict=True):
            bar.write(job.run(jets, advance))


def row_counts(surveys: list[tuple[int, list[FirstJets]]]) -> list[int]:
    """Rows of each job; raises UserError for two files of the same jets."""
    require_different([file for _, files in surveys for file in files])
    return [rows for rows, _ in surveys]


def convert_in_parallel(
    jobs: list[Job], complete: Sequence[Job], workers: int, context: BaseContext, monitor: Monitor
) -> None:
    """Run all jobs on `workers` other processes."""
    with ProcessPoolExecutor(workers, context, _start_worker, (monitor,)) as pool:
        try:
            surveys = [pool.submit(Job.survey, job) for job in (*jobs, *complete)]
            with progress(len(surveys), "looking at the files", "jobs") as bar:
                for survey in results(surveys, monitor):
                    bar.update(survey is not None)
            counts = row_counts([future.result() for future in surveys])[: len(jobs)]
            with progress(sum(counts), "preprocessing", unit(jobs[0].spec)) as bar:
                runs = [pool.submit(_run_job, *task) for task in zip(jobs, counts, strict=True)]
                for lines in results(runs, monitor):
                    bar.update(monitor.jets.value - bar.n)
                    if lines is not None:
                        bar.write(lines)
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process died, most likely for lack of memory; run the same command "
                f"again with fewer than {workers} --workers (finished files are kept)"
            ) from error
        except BaseException:
            monitor.request_stop(monitor.stop.value or signal.SIGTERM)
            pool.shutdown(cancel_futures=True)
            raise


def results(futures: list[Future], monitor: Monitor) -> Iterator:
    """The results of all futures in the order of completion, and None at least twice a second."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, 0.5, FIRST_COMPLETED)
        monitor.advance(0)
        yield from (future.result() for future in done)
        yield None


def _start_worker(monitor: Monitor) -> None:
    global _monitor
    _monitor = monitor
    end_with_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the parent process handles them


def _run_job(job: Job, jets: int) -> str:
    return job.run(jets, _monitor.advance)
