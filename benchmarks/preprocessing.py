"""Speed and memory of the conversion of public files on one core.

python -m benchmarks preprocessing                       every dataset
python -m benchmarks preprocessing --datasets top qg

A small sample is simulated in the public layout, and its rows are repeated to files of two lengths.
"""

import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks.programs import RESULTS, command_parser, peak_megabytes, write_json
from benchmarks.scripts import ROOT
from benchmarks.tiled_files import tile
from benchmarks.whole_arrays import padded, whole_features
from omnilearn.data.catalogue import CATALOGUE, dataset
from omnilearn.errors import UserError
from preprocessing.__main__ import plan
from preprocessing.convert import convert
from preprocessing.jet_chunk import JetChunk, prepare

LONGER = 4  # the second length over the first
REPEATS = 3  # of the timed arithmetic; the fastest is reported


def main(arguments: list[str]) -> None:
    """Measure, print, and write the numbers as JSON."""
    parser = command_parser("preprocessing", __doc__)
    parser.add_argument("--datasets", nargs="+", default=list(CATALOGUE), help="names (all)")
    parser.add_argument("--jets", type=int, default=500, help="jets or events to simulate (500)")
    parser.add_argument("--rows", type=int, default=10000, help="rows of the short file (10000)")
    output = RESULTS / "preprocessing.json"
    parser.add_argument("--output", type=Path, default=output, help="JSON file to write")
    flags = parser.parse_args(arguments)
    measured = {
        dataset(name).name: measure(name, flags.jets, flags.rows) for name in flags.datasets
    }
    document = {
        "benchmark": "preprocessing",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "datasets": measured,
    }
    write_json(flags.output, document)
    print(table(measured))
    print(f"written: {flags.output}")


def table(measured: dict[str, dict]) -> str:
    """The numbers as Markdown."""
    lines = [
        "| dataset | jets/s, one core, file to file | peak memory, short and long file "
        "| arithmetic, jets/s | over whole arrays |",
        "|---|---|---|---|---|",
    ]
    for name, row in measured.items():
        memory = ", ".join(f"{run['peak_megabytes']:.0f} MB" for run in row["runs"])
        lines.append(
            f"| `{name}` | {two_digits(row['runs'][-1]['jets_per_second'])} | {memory} "
            f"| {two_digits(row['arithmetic']['jets_per_second'])} "
            f"| {row['arithmetic']['ratio']:.1f} |"
        )
    return "\n".join(lines)


def two_digits(rate: float) -> str:
    """12345 -> 12 000."""
    digits = max(0, len(str(int(rate))) - 2)
    return f"{round(rate, -digits):,.0f}".replace(",", " ")


def measure(name: str, jets: int, rows: int) -> dict:
    """All numbers of one dataset, each measured in a new process."""
    reader = import_module(f"preprocessing.{name}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sample = simulated(name, jets, folder / "sample")
        sources = {path for shard in reader.shards(sample) for path in shard.sources}
        sample_rows = sum(reader.count(path) for path in sources)
        runs = []
        for length in (rows, LONGER * rows):
            raw = folder / f"raw_{length}"
            for path in sources:
                tile(path, raw / path.relative_to(sample), max(1, -(-length // sample_rows)))
            runs.append(in_new_process(preprocess, name, raw, folder / f"out_{length}"))
        short = folder / f"raw_{rows}"
        return {"runs": runs, "arithmetic": in_new_process(arithmetic, name, short)}


def simulated(name: str, jets: int, out: Path) -> Path:
    """The folder of a sample of about `jets` jets in the public layout."""
    size = ["--jets", str(jets)]
    if name == "jetclass":
        size = ["--jets-per-class", str(max(1, jets // dataset(name).num_classes))]
    command = [sys.executable, "-m", "simulation", name, *size, "--out", str(out)]
    process = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if process.returncode:
        raise UserError(f"{' '.join(command)} failed: {process.stderr.strip()}")
    print(process.stdout.splitlines()[-1], flush=True)
    return out


def in_new_process(function: Callable, *arguments):
    """The result of a call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def preprocess(name: str, raw: Path, out: Path) -> dict[str, float]:
    """Rows, jets per second from file to file, and peak resident memory."""
    module = import_module(f"preprocessing.{name}")
    jobs = plan(name, module.shards(raw), raw, out, seed=0)
    rows = sum(job.count() for job in jobs)
    start = time.perf_counter()
    convert(jobs, workers=1)
    seconds = time.perf_counter() - start
    return {
        "rows": rows,
        "raw_megabytes": sum(path.stat().st_size for path in raw.rglob("*.*")) / 2**20,
        "jets_per_second": rows * dataset(name).jets_per_row / seconds,
        "peak_megabytes": peak_megabytes(),
    }


def arithmetic(name: str, raw: Path) -> dict[str, float]:
    """Speed from momenta in memory to features, in chunks of jets and over padded arrays of all.

    Reading, shuffling and writing are not timed; the padded arrays have the slots of the longest
    jet.
    """
    spec, module = dataset(name), import_module(f"preprocessing.{name}")
    paths = {path for shard in module.shards(raw) for path in shard.sources}
    chunks = [(path, chunk) for path in paths for chunk in module.read(path)]
    chunked = fastest(lambda: [prepare(chunk, spec, path) for path, chunk in chunks])
    momenta, identity, jet = padded_arrays([chunk for _, chunk in chunks], spec.num_features - 7)
    with np.errstate(divide="ignore", invalid="ignore"):  # empty jets of a level
        whole = fastest(lambda: whole_features(momenta, identity, jet, spec.max_constituents))
    return {
        "jets": len(jet),
        "constituents_per_jet": float((momenta[..., 0] > 0).sum() / len(jet)),
        "slots_of_the_whole_arrays": momenta.shape[1],
        "jets_per_second": len(jet) / chunked,
        "whole_arrays_jets_per_second": len(jet) / whole,
        "ratio": whole / chunked,
    }


def padded_arrays(
    chunks: list[JetChunk], features: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Momenta (jets, P, 4), identity (jets, P, features) or None, and jets (jets, 4) of a file."""
    counts = np.concatenate([chunk.counts for chunk in chunks])
    momenta = padded(np.concatenate([chunk.constituents for chunk in chunks]), counts)
    jet = np.concatenate([chunk.jet for chunk in chunks])
    if not features:
        return momenta, None, jet
    identity = padded(np.concatenate([chunk.identity for chunk in chunks]), counts)
    return momenta, identity, jet


def fastest(work: Callable) -> float:
    """CPU seconds of the fastest of REPEATS calls."""
    return min(timeit.repeat(work, timer=time.process_time, number=1, repeat=REPEATS))
