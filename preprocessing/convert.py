"""Public files in, ours out: one output file at a time per process, whole or not at all."""

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
from preprocessing.jet_chunk import prepare, require_gev
from preprocessing.jet_file import Provenance
from preprocessing.shuffle import Buckets
from preprocessing.sources import SPLITS, Shard

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_watch: "Watch"  # of a worker process


def reader_of(spec: DatasetSpec, repacked: bool):
    """What offers `shards(raw)`, `count(path)` and `read(path, at_once)`: the module of the dataset
    or, of files that OmniLearned repacked, their reader."""
    return omnilearned.Reader(spec) if repacked else import_module(f"preprocessing.{spec.name}")


@dataclass(frozen=True)
class Job:
    """The output files to be made from one shard, one per split that has a share of it."""

    dataset: str
    shard: Shard
    seed: int
    outputs: tuple[tuple[Path, Provenance], ...]  # in the order of the shares
    repacked: bool = field(default=False, kw_only=True)  # by OmniLearned

    @property
    def reader(self):
        """What reads the files."""
        return reader_of(self.spec, self.repacked)

    @property
    def spec(self) -> DatasetSpec:
        """What the dataset is."""
        return dataset(self.dataset)

    @property
    def unit(self) -> str:
        """What a row is: a jet, or an event of several, or of one that is seen at two levels."""
        return unit(self.spec)

    @property
    def is_complete(self) -> bool:
        """Whether all files are there, made from the same sources with the same seed."""
        return all(
            jet_file.is_complete(path, provenance, self.spec) for path, provenance in self.outputs
        )

    def count(self) -> int:
        """Rows in the sources; opens each one, so that a damaged file is told at once."""
        total = 0
        for path in self.shard.sources:
            rows, size = self.reader.count(path), path.stat().st_size
            if rows > size:  # memory would be asked for by a number that a damaged byte made
                raise UserError(
                    f"{path} claims {rows} {self.unit} in {size} bytes; it is damaged, download "
                    "it again"
                )
            total += rows
        return total

    def survey(self) -> tuple[int, list[FirstJets]]:
        """Rows in the sources, and the first jets of each, by which a copy is known."""
        rows = self.count()
        with np.errstate(over="ignore", invalid="ignore"):
            return rows, [FirstJets.of(self.reader, path) for path in self.shard.sources]

    def run(self, rows: int, advance: Callable[[int], object]) -> str:
        """Read, shuffle and write `rows` rows; return lines that sum it up."""
        spec = self.spec
        for path, provenance in self.outputs:
            provenance.jets_per_class = np.zeros(spec.num_classes, dtype=np.int64)
            path.parent.mkdir(parents=True, exist_ok=True)
        with (
            ExitStack() as stack,
            # absurd momenta may overflow on the way to the check that refuses them
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
            made = [provenance for _, provenance in self.outputs]
            if not any(provenance.jets_per_class.sum() for provenance in made):
                raise UserError(
                    f"{', '.join(map(str, self.shard.sources))}: none of {rows} rows is left"
                    f"{said(made[0])}; nothing to write"
                )
            for (path, provenance), scattered in zip(self.outputs, buckets, strict=True):
                if provenance.jets_per_class.sum():
                    with atomic_path(path) as temporary:
                        jet_file.write(temporary, scattered, spec, provenance, advance)
                else:  # what an earlier run left there is of other jets
                    path.unlink(missing_ok=True)
        lines = [summary(path, made, spec) for path, made in self.outputs]
        if asked := self.outputs[0][1].selection:
            lines.insert(0, f"selection: {'; '.join(asked)}")
        return "\n".join(lines)

    def scatter(
        self,
        number: int,
        spec: DatasetSpec,
        buckets: list[Buckets],
        advance: Callable[[int], object],
    ) -> None:
        """The rows of source `number`, each to the buckets of the split it belongs to."""
        source = self.shard.sources[number]
        checked = False
        for chunk in self.reader.read(source):
            advance(len(chunk.label) + sum(chunk.rejected.values()))
            jet_pt = chunk.jet[chunk.jet[:, 0] != 0, 0]
            if len(jet_pt) and not checked:
                require_gev(jet_pt, spec, source)
                checked = True
            split = self.shard.split_of(chunk.rows, source, self.seed)
            for share, (_, made) in enumerate(self.outputs):
                part = chunk if len(self.outputs) == 1 else chunk.take(split == share)
                prepared = prepare(part, spec, source)
                prepared.records["source"][:, 0] = number
                buckets[share].scatter(prepared)
                made.jets_per_class += np.bincount(
                    prepared.records["label"], minlength=spec.num_classes
                )
                made.clipped += prepared.clipped
                made.dropped_empty += prepared.dropped_empty
                made.selection += [one for one in chunk.selection if one not in made.selection]
                for reason, rows in chunk.rejected.items():
                    made.rejected[reason] = made.rejected.get(reason, 0) + rows


def unit(spec: DatasetSpec) -> str:
    """Jets or events: what a stored row is."""
    return "jets" if spec.jets_per_row == 1 else "events"


def summary(path: Path, made: Provenance, spec: DatasetSpec) -> str:
    """One line about an output file."""
    if not made.jets_per_class.sum():
        return f"{path}: no {unit(spec)[:-1]} fell into this split; not written"
    parts = [f"{name} {n}" for name, n in zip(spec.class_names, made.jets_per_class, strict=True)]
    line = f"{path}: {made.jets_per_class.sum()} {unit(spec)} ({', '.join(parts)}){said(made)}"
    if made.clipped:
        line += f"; {made.clipped} values of log(1 - rel) clipped"
    return line


def said(made: Provenance) -> str:
    """What was left out, in words; rejected rows are those of all splits of the sources."""
    reasons = dict(made.rejected)
    if made.dropped_empty:
        reasons["without constituents"] = made.dropped_empty
    return "".join(f"; {rows} {reason}: left out" for reason, rows in reasons.items())


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


def convert(jobs: list[Job], workers: int, kept: Sequence[Job] = ()) -> None:
    """Run all jobs on up to `workers` processes; the result does not depend on their number.

    Raises UserError before the first one where two files, also of the jobs `kept` from an earlier
    run, hold the same jets, on the first file that cannot be converted and after SIGTERM or SIGINT;
    the output files finished by then stay.
    """
    # spawned, not forked: HDF5 and the threads of NumPy do not survive a fork
    context = multiprocessing.get_context("spawn")
    watch = Watch(context)
    before = {number: signal.signal(number, watch.mark) for number in STOP_SIGNALS}
    try:
        if workers == 1 or len(jobs) == 1:
            convert_here(jobs, kept, watch)
        else:
            convert_in_parallel(jobs, kept, min(workers, len(jobs)), context, watch)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def convert_here(jobs: list[Job], kept: Sequence[Job], watch: Watch) -> None:
    """Run all jobs in this process."""
    surveys = []
    with progress(len(jobs) + len(kept), "looking at the files", "jobs") as bar:
        for job in (*jobs, *kept):
            surveys.append(job.survey())
            watch.advance(0)
            bar.update()
    counts = counted(surveys)[: len(jobs)]
    with progress(sum(counts), "preprocessing", jobs[0].unit) as bar:

        def advance(jets: int) -> None:
            watch.advance(jets)
            bar.update(jets)

        for job, jets in zip(jobs, counts, strict=True):
            bar.write(job.run(jets, advance))


def counted(surveys: list[tuple[int, list[FirstJets]]]) -> list[int]:
    """Rows of each job; raises UserError for two files of the same jets."""
    require_different([one for _, first_jets in surveys for one in first_jets])
    return [rows for rows, _ in surveys]


def convert_in_parallel(
    jobs: list[Job], kept: Sequence[Job], workers: int, context: BaseContext, watch: Watch
) -> None:
    """Run all jobs on `workers` other processes."""
    with ProcessPoolExecutor(workers, context, initializer=_join, initargs=(watch,)) as pool:
        try:
            looking = [pool.submit(Job.survey, job) for job in (*jobs, *kept)]
            with progress(len(looking), "looking at the files", "jobs") as bar:
                for survey in finished(looking, watch):
                    bar.update(survey is not None)
            counts = counted([future.result() for future in looking])[: len(jobs)]
            with progress(sum(counts), "preprocessing", jobs[0].unit) as bar:
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
    end_with_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the first process decides


def _run(job: Job, jets: int) -> str:
    return job.run(jets, _watch.advance)
