"""Expected efficiency on 8, 32 and 128 GPUs: a model, from numbers measured elsewhere.

    python -m benchmarks scaling_model [--jets-per-second 1000 4000]

A step of N ranks takes t (1 + s m(N)) + a(N), a step of one rank t; their ratio is the efficiency.
t = batch / r, with r the jets/s of one GPU. a(N) is the allreduce of the gradients, which follows
the backward pass: a ring, 2 (N - 1) hops of a latency and bytes / N / bandwidth each. s is the
relative spread of the step of a rank and m(N) the expected maximum of N normal numbers, since all
ranks wait for the slowest.

Bandwidths are those that the makers of the links state, times the share that a large NCCL allreduce
reaches:
- inside a node 300 GB/s: a GPU sends on 12 links of NVLink 3, 25 GB/s each (NVIDIA A100: "NVLink
  600 GB/s", both directions together); in a node of Perlmutter four of them go to each neighbour;
- between nodes 100 GB/s: 4 network cards of 200 Gb/s (HPE Slingshot 11; NERSC, "Perlmutter
  Architecture");
- the share, 0.8, is assumed. NVIDIA quotes about 230 GB/s of bus bandwidth for the all_reduce of
  nccl-tests on the 8 GPUs of a DGX A100, 0.77 of the links (a number from memory, not looked up).
  "Bus bandwidth" is defined in nccl-tests, doc/PERFORMANCE.md: 2 (N - 1) / N bytes per second.
None of these was measured; measure them with nccl-tests on your machine.

Assumed further: 10 microseconds per hop; batches of equal length on all ranks (the pipeline makes
them so); files read in time; the 7.9 MB of gradients of the full model, too few to reach the share
on many nodes, where the hops dominate. The spread is fitted to the loss of two cores beyond the
allreduce (`python -m benchmarks scaling`); as that is one machine and few rounds, the efficiency
with a pessimistic spread of 5 % is printed too.
"""

import json
from pathlib import Path

import numpy as np

from benchmarks.programs import RESULTS, command_parser
from omnilearn.errors import UserError

GPUS = (8, 32, 128)
GPUS_PER_NODE = 4
LINKS = {"inside a node": 300e9, "between nodes": 100e9}  # bytes per second
SHARE = 0.8  # of the links
LATENCY = 10e-6  # seconds per hop
FULL_MODEL = 4 * 1.98e6  # bytes of gradients: float32, weights of body and both heads
PESSIMISTIC = 0.05  # relative spread of a step
DRAWS = 20000


def expected_maximum(ranks: int) -> float:
    """The mean of the largest of `ranks` standard normal numbers."""
    rng = np.random.default_rng(0)
    return float(rng.standard_normal((DRAWS, ranks)).max(axis=1).mean()) if ranks > 1 else 0.0


def allreduce_seconds(ranks: int, size: float) -> float:
    """A ring over `ranks` GPUs for `size` bytes."""
    if ranks == 1:
        return 0.0
    link = "inside a node" if ranks <= GPUS_PER_NODE else "between nodes"
    return 2 * (ranks - 1) * (size / ranks / (SHARE * LINKS[link]) + LATENCY)


def fitted_spread(rows: list[dict]) -> float:
    """The relative spread of the step of a rank, from the row with the most ranks."""
    row = max(rows, key=lambda row: row["ranks"])
    if row["ranks"] == 1:
        raise UserError("a spread needs a measurement of two ranks: python -m benchmarks scaling")
    lost = (1 - row["allreduce_share"]) / row["efficiency"] - 1
    return max(0.0, lost / expected_maximum(row["ranks"]))


def efficiency(ranks: int, rate: float, batch: int, size: float, spread: float) -> float:
    """Speed per GPU over that of a single GPU, whose rate is in jets/s; size in bytes."""
    single_step = batch / rate
    step = single_step * (1 + spread * expected_maximum(ranks)) + allreduce_seconds(ranks, size)
    return single_step / step


def main(arguments: list[str]) -> None:
    parser = command_parser("scaling_model", __doc__)
    parser.add_argument(
        "--jets-per-second",
        type=float,
        nargs="+",
        default=[1000.0, 4000.0],
        help="of one GPU, by python -m benchmarks throughput",
    )
    parser.add_argument("--batch", type=int, default=256, help="jets per step and rank")
    parser.add_argument("--measured", type=Path, default=RESULTS / "scaling.json")
    flags = parser.parse_args(arguments)
    if not flags.measured.is_file():
        raise UserError(f"{flags.measured} not found; make it with: python -m benchmarks scaling")
    rows = json.loads(flags.measured.read_text())["rows"]
    spread = fitted_spread(rows)
    print(f"{FULL_MODEL / 1e6:.1f} MB per step; fitted spread of a step {spread:.1%}")
    print(f"| GPUs | jets/s of one | allreduce | efficiency | with a spread of {PESSIMISTIC:.0%} |")
    print("|---|---|---|---|---|")
    for rate in flags.jets_per_second:
        for gpus in GPUS:
            fitted, pessimistic = (
                f"{efficiency(gpus, rate, flags.batch, FULL_MODEL, relative_spread):.0%}"
                for relative_spread in (spread, PESSIMISTIC)
            )
            allreduce = 1e3 * allreduce_seconds(gpus, FULL_MODEL)
            print(f"| {gpus} | {rate:.0f} | {allreduce:.1f} ms | {fitted} | {pessimistic} |")
