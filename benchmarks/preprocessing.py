"""How fast public files become ours on one core, and how much memory it takes.

python -m benchmarks preprocessing                       every dataset
python -m benchmarks preprocessing --datasets top qg

A small sample is simulated in the public layout and its rows are repeated, to two lengths. Prints
the table of the README.
"""

import argparse
import json
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks.tiled_files import tile
from benchmarks.whole_arrays import padded, whole_features
from omnilearn.atomic import atomic_path
from omnilearn.data.catalogue import CATALOGUE, dataset
from omnilearn.errors import UserError
from preprocessing.__main__ import plan
from preprocessing.convert import convert
from preprocessing.jet_chunk import JetChunk, prepare

ROOT = Path(__file__).parents[1]
MEMORY = Path("/proc/self/status")
LONGER = 4  # the second length over the first
REPEATS = 3  # of the timed arithmetic; the fastest counts


def main(arguments: list[str]) -> None:
    """Measure, print, and write the numbers as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks preprocessing",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--datasets", nargs="+", default=list(CATALOGUE), help="which (all)")
    parser.add_argument("--jets", type=int, default=500, help="jets or events to simulate (500)")
    parser.add_argument("--rows", type=int, default=10000, help="rows of the short file (10000)")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "benchmarks" / "results" / "preprocessing.json",
        help="where the numbers go",
    )
    flags = parser.parse_args(arguments)
    measured = {
        dataset(name).name: measure(name, flags.jets, flags.rows) for name in flags.datasets
    }
    document = {
        "benchmark": "preprocessing",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "datasets": measured,
    }
    with atomic_path(flags.output) as path:
        path.write_text(json.dumps(document, indent=2) + "\n")
    print(table(measured))
    print(f"written: {flags.output}")


def table(measured: dict[str, dict]) -> str:
    """The numbers as Markdown."""
    lines = [
        "| dataset | jets/s, one core, file to file | peak memory, short and long file "
        "| arithmetic, jets/s | over whole arrays |",
        "|---|---|---|---|---|",
    ]
    for name, found in measured.items():
        memory = ", ".join(f"{run['peak_megabytes']:.0f} MB" for run in found["runs"])
        lines.append(
            f"| `{name}` | {two_digits(found['runs'][-1]['jets_per_second'])} | {memory} "
            f"| {two_digits(found['arithmetic']['jets_per_second'])} "
            f"| {found['arithmetic']['ratio']:.1f} |"
        )
    return "\n".join(lines)


def two_digits(number: float) -> str:
    """12345 -> 12 000."""
    digits = max(0, len(str(int(number))) - 2)
    return f"{round(number, -digits):,.0f}".replace(",", " ")


def measure(name: str, jets: int, rows: int) -> dict:
    """All numbers of one dataset, each in a process of its own."""
    reader = import_module(f"preprocessing.{name}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sample = simulated(name, jets, folder / "sample")
        sources = {path for shard in reader.shards(sample) for path in shard.sources}
        there = sum(reader.count(path) for path in sources)
        runs = []
        for length in (rows, LONGER * rows):
            copies = max(1, -(-length // there))
            raw = folder / f"raw_{length}"
            for path in sources:
                tile(path, raw / path.relative_to(sample), copies)
            runs.append(apart(preprocess, name, raw, folder / f"out_{length}"))
            if length == rows:
                arithmetic_of = raw
        return {"runs": runs, "arithmetic": apart(arithmetic, name, arithmetic_of)}


def simulated(name: str, jets: int, out: Path) -> Path:
    """A sample in the public layout, of about so many jets."""
    size = ["--jets", str(jets)]
    if name == "jetclass":
        size = ["--jets-per-class", str(max(1, jets // dataset(name).num_classes))]
    command = [sys.executable, "-m", "simulation", name, *size, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    print(done.stdout.splitlines()[-1], flush=True)
    return out


def apart(function: Callable, *arguments):
    """The result of a call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def preprocess(name: str, raw: Path, out: Path) -> dict[str, float]:
    """Rows, jets per second from file to file, and the peak of the resident memory."""
    module = import_module(f"preprocessing.{name}")
    jobs = plan(name, module.shards(raw), raw, out, seed=0)
    rows = sum(job.count() for job in jobs)
    before = time.perf_counter()
    convert(jobs, workers=1)
    seconds = time.perf_counter() - before
    return {
        "rows": rows,
        "raw_megabytes": sum(path.stat().st_size for path in raw.rglob("*.*")) / 2**20,
        "jets_per_second": rows * dataset(name).jets_per_row / seconds,
        "peak_megabytes": peak_megabytes(),
    }


def peak_megabytes() -> float:
    """Of this process; 0 where the system does not tell."""
    if not MEMORY.exists():
        return 0.0
    # getrusage would do, but a new process inherits that peak from the one that started it
    return int(re.findall(r"VmHWM:\s*(\d+)", MEMORY.read_text())[0]) / 1024


def arithmetic(name: str, raw: Path) -> dict[str, float]:
    """From momenta in memory to features: ours in stretches, and over whole padded arrays.

    Reading, shuffling and writing are left out; the padded arrays are as wide as the longest jet.
    """
    spec, module = dataset(name), import_module(f"preprocessing.{name}")
    paths = {path for shard in module.shards(raw) for path in shard.sources}
    chunks = [(path, chunk) for path in paths for chunk in module.read(path)]
    ours = fastest(lambda: [prepare(chunk, spec, path) for path, chunk in chunks])
    momenta, identity, jet = whole([chunk for _, chunk in chunks], spec.num_features - 7)
    with np.errstate(divide="ignore", invalid="ignore"):  # empty jets of a level
        plain = fastest(lambda: whole_features(momenta, identity, jet, spec.max_constituents))
    return {
        "jets": len(jet),
        "constituents_per_jet": float((momenta[..., 0] > 0).sum() / len(jet)),
        "slots_of_the_whole_arrays": momenta.shape[1],
        "jets_per_second": len(jet) / ours,
        "whole_arrays_jets_per_second": len(jet) / plain,
        "ratio": plain / ours,
    }


def whole(
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
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)
