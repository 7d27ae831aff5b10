"""Speed, cost and memory of the input pipeline on one core, from files to batches.

python -m benchmarks pipeline                random jets of JetClass size, stored in four ways
python -m benchmarks pipeline --data DIR     preprocessed files
python -m benchmarks pipeline --consumers 4  ranks of one node, processes that read their batches
                                             and compute nothing: the limit for four GPUs
"""

import argparse
import multiprocessing
import os
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.programs import MEMORY, RESULTS, command_parser, peak_megabytes, write_json
from omnilearn.data.catalogue import dataset
from omnilearn.data.layout import find_files
from omnilearn.data.mixing import EpochPlan, JetOrder
from omnilearn.data.pipeline import Pipeline, padded_lengths
from omnilearn.data.reader import JetFiles
from omnilearn.data.spec import DatasetSpec
from omnilearn.hdf5 import new_file

STORAGE: dict[str, dict] = {
    "gzip-1": {"compression": "gzip", "compression_opts": 1},  # as preprocessing writes
    "gzip-1, bytes shuffled": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "lzf": {"compression": "lzf"},
    "uncompressed": {},
}
ROWS_PER_CHUNK = 256
WINDOW = 8192  # jets, as in the pipeline
STEP_SECONDS = 0.01  # of a pretended training step, while which the reading thread runs
NUMBER_OF_FILES = 4


def main(arguments: list[str]) -> None:
    """Measure, print, and write the numbers as JSON."""
    parser = command_parser("pipeline", __doc__)
    parser.add_argument("--data", type=Path, help="folder of preprocessed files (random jets)")
    parser.add_argument("--dataset", default="jetclass", help="its data set (jetclass)")
    parser.add_argument("--jets", type=int, default=64000, help="jets to use (64000)")
    parser.add_argument("--batch-size", type=int, default=256, help="jets per batch (256)")
    parser.add_argument(
        "--consumers", type=int, default=0, help="ranks that read batches at the same time"
    )
    parser.add_argument(
        "--output", type=Path, help="file to write (pipeline.json, or pipeline_ranks.json of ranks)"
    )
    flags = parser.parse_args(arguments)
    name = "pipeline_ranks.json" if flags.consumers else "pipeline.json"
    output = flags.output or RESULTS / name
    measure = _measure_ranks if flags.consumers else _measure
    spec = dataset(flags.dataset)
    measured = {}
    if flags.data:
        measured["files"] = measure(find_files(flags.data, spec, "train"), spec, flags)
    else:
        # ranks are measured only with the first one, as preprocessing writes
        for name, options in list(STORAGE.items())[: 1 if flags.consumers else None]:
            with tempfile.TemporaryDirectory() as folder:
                paths = _write_files(Path(folder), spec, flags.jets, options)
                measured[name] = measure(paths, spec, flags)
    for name, numbers in measured.items():
        print(f"{spec.title}, {name}, batches of {flags.batch_size}:")
        for quantity, value in numbers.items():
            print(f"  {quantity.replace('_', ' '):<42}{value:>12,.10g}")
    document = {
        "benchmark": "pipeline",
        "dataset": spec.name,
        "batch_size": flags.batch_size,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "measured": measured,
    }
    write_json(output, document)
    print(f"written: {output}")


def _measure(paths: list[Path], spec: DatasetSpec, flags: argparse.Namespace) -> dict[str, float]:
    """Jets per second of CPU time (reading thread and consumer together) and the peak memory."""
    numbers: dict[str, float] = {}
    with JetFiles(paths, spec, limit=flags.jets) as files:
        jets = files.num_jets
        numbers["jets"] = jets
        numbers["bytes_per_jet_on_disk"] = sum(path.stat().st_size for path in paths) / jets
        numbers["jets_per_cpu_second_reading"] = jets / _cpu_seconds(
            lambda: [files.read(at, min(at + WINDOW, jets)) for at in range(0, jets, WINDOW)]
        )
        pipeline = Pipeline(files, spec, flags.batch_size)
        slots: list[int] = []
        seconds = _cpu_seconds(
            lambda: slots.extend(batch["mask"].shape[1] for batch in pipeline.epoch(0))
        )
        numbers["jets_per_cpu_second"] = len(slots) * flags.batch_size / seconds
        numbers["slots_per_jet"] = float(np.mean(slots))
        numbers["constituents_per_jet"] = float(files.multiplicity.mean())
        # every rank plans the batches of all ranks, so this cost grows with their number
        for size in (1, 128):
            edges = np.arange(0, size * WINDOW + 1, ROWS_PER_CHUNK)
            order = JetOrder.of_files(edges, np.resize(files.multiplicity, size * WINDOW))
            plan = EpochPlan(
                order,
                padded_lengths(spec.max_constituents),
                flags.batch_size,
                size,
                max(1, WINDOW // flags.batch_size),
                seed=0,
                epoch=0,
            )
            seconds = _cpu_seconds(lambda plan=plan: plan.batches(0, 0))
            numbers[f"milliseconds_to_plan_a_window_{size}_ranks"] = 1e3 * seconds
    if not MEMORY.exists():
        print(f"no {MEMORY} on this system: memory is not measured")
        return numbers
    spawn = multiprocessing.get_context("spawn")
    for name, limit in (("a_quarter_of_the_jets", jets // 4), ("all_jets", jets)):
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            peak = process.submit(_peak_memory, paths, spec, limit, flags.batch_size).result()
        numbers[f"peak_megabytes_{name}"] = peak
    return numbers


def _measure_ranks(
    paths: list[Path], spec: DatasetSpec, flags: argparse.Namespace
) -> dict[str, float]:
    """Jets per second of each of several ranks that read at the same time, and in total."""
    ranks = flags.consumers
    numbers = {"ranks": ranks, "cores": len(os.sched_getaffinity(0))}
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(ranks, mp_context=spawn) as processes:
        start = manager.Barrier(ranks)
        common = (paths, spec, flags.jets, flags.batch_size)
        futures = [processes.submit(_consume, *common, rank, ranks, start) for rank in range(ranks)]
        jets, seconds, cpu_seconds = np.transpose([future.result() for future in futures])
    for rank, rate in enumerate(jets / seconds):
        numbers[f"jets_per_second_of_rank_{rank}"] = float(rate)
    numbers["jets_per_second_in_total"] = float(jets.sum() / seconds.max())
    numbers["jets_per_cpu_second"] = float(jets.sum() / cpu_seconds.sum())
    return numbers


def _consume(
    paths: list[Path], spec: DatasetSpec, limit: int, batch_size: int, rank: int, ranks: int, start
) -> tuple[int, float, float]:
    """Jets of one rank in an epoch, and the seconds and CPU seconds of reading them all."""
    with JetFiles(paths, spec, limit=limit) as files:
        pipeline = Pipeline(files, spec, batch_size, rank, ranks)
        start.wait()
        clock, cpu = time.perf_counter(), time.process_time()
        jets = sum(len(batch["mask"]) for batch in pipeline.epoch(0))
        return jets, time.perf_counter() - clock, time.process_time() - cpu


def _cpu_seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _peak_memory(paths: list[Path], spec: DatasetSpec, limit: int, batch_size: int) -> float:
    """Megabytes that an epoch adds to the resident memory of a fresh process."""
    before = peak_megabytes()
    with JetFiles(paths, spec, limit=limit) as files:
        for _ in Pipeline(files, spec, batch_size).epoch(0):
            time.sleep(STEP_SECONDS)
    return peak_megabytes() - before


def _write_files(folder: Path, spec: DatasetSpec, jets: int, options: dict) -> list[Path]:
    """Files of random jets: gamma multiplicities of mean 42 and width 18, as in JetClass."""
    rng = np.random.default_rng(0)
    slots, features = spec.max_constituents, spec.num_features
    paths = []
    count = jets // NUMBER_OF_FILES
    for index in range(NUMBER_OF_FILES):
        multiplicity = np.clip(rng.gamma(5.44, 7.71, count), 1, slots).astype(np.int32)
        data = rng.standard_normal((count, slots, features), dtype=np.float32)
        data[..., 7:] = data[..., 7:] > 1  # identity flags compress, kinematics do not
        data *= (np.arange(slots) < multiplicity[:, None])[..., None]
        label = rng.integers(0, spec.num_classes, count)
        jet = rng.standard_normal((count, 4), dtype=np.float32)
        paths.append(folder / f"{spec.name}_train_{index:03d}.h5")
        with new_file(paths[-1]) as file:
            file.create_dataset(
                "data", data=data, chunks=(ROWS_PER_CHUNK, slots, features), **options
            )
            file["jet"], file["multiplicity"] = jet, multiplicity
            file["pid"] = np.eye(spec.num_classes, dtype=np.int8)[label]
            file["weight"] = np.ones(count, np.float32)
    return paths
