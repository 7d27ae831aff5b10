"""Jets per second of PET: training step and inference, padded to full length against the default.

    python -m benchmarks throughput [--size full] [--rounds 5]

Both paths run the same code on the same jets in turn, in one process; medians and their ratio are
given, since the speed of a machine varies. The share of the peak is the rate of floating-point
operations of the default path over that of large matrix products in the same process.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.programs import RESULTS, command_parser, write_json
from omnilearn.data.catalogue import JETCLASS
from omnilearn.data.mixing import evaluation_lengths, padded_lengths
from omnilearn.keras_settings import uses_xla
from omnilearn.model.pet import PET, PETConfig
from omnilearn.model.precision import FULL, in_precision, reduced
from omnilearn.recipes import ARCHITECTURES
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled, compiled_for_batches, gpu_name, with_gradients
from omnilearn.training.objective import PETObjective
from omnilearn.training.optimiser import Lion

MULTIPLICITY = RESULTS / "jetclass_multiplicity.json"  # of 15 000 simulated JetClass jets
MODES = ("all", "classifier", "generator")
WORK = ("training", "inference")
WINDOW = 8192  # jets that the pipeline sorts by multiplicity together
MATRIX = {"cpu": 1024, "gpu": 8192}  # rows and columns of the matrices whose product is the peak


def sample_multiplicities(jets: int) -> np.ndarray:
    """Multiplicities (jets,) at equal quantiles of the simulated JetClass, sorted."""
    counts = np.asarray(json.loads(MULTIPLICITY.read_text())["jets_per_multiplicity"])
    cumulative = np.cumsum(counts) / counts.sum()
    return np.searchsorted(cumulative, (np.arange(jets) + 0.5) / jets)


def random_batch(multiplicity: np.ndarray, length: int) -> dict:
    """Random standardised jets of these multiplicities in `length` slots."""
    rng, size = np.random.default_rng(0), len(multiplicity)
    mask = (np.arange(length) < multiplicity[:, None]).astype("float32")
    features = rng.standard_normal((size, length, 13), dtype="float32")
    return {
        "constituents": features * mask[:, :, None],
        "mask": mask,
        "jet": rng.standard_normal((size, 4), dtype="float32"),
        "label": np.eye(10, dtype="float32")[rng.integers(0, 10, size)],
        "weight": np.ones(size, "float32"),
    }


def grouped_batches(
    size: int, slots: int, lengths: Sequence[int] | None = None
) -> list[tuple[dict, float]]:
    """One batch of each length of the pipeline, with the share of batches of this length.

    lengths: those of batches in training, if not given.
    """
    batches = sample_multiplicities(WINDOW).reshape(-1, size)
    sizes = np.asarray(lengths or padded_lengths(slots))
    batch_lengths = sizes[np.searchsorted(sizes, batches.max(axis=1))]
    grouped = []
    for length in np.unique(batch_lengths):
        same = np.flatnonzero(batch_lengths == length)
        batch = random_batch(batches[same[len(same) // 2]], length)
        grouped.append((batch, len(same) / len(batches)))
    return grouped


def work(
    mode: str, config: PETConfig, training: bool, precision: str = FULL
) -> Callable[[dict], None]:
    """A function that trains on a batch, or evaluates it, with products in that precision."""
    objective = PETObjective(PET(config), mode)
    variables = list(objective.trained().values())
    optimiser = Lion(learning_rate=1e-5, weight_decay=1e-5, use_ema=True)
    optimiser.build(variables)
    slots = config.max_constituents
    gradients = compiled_for_batches(with_gradients(objective.losses, variables), slots, precision)
    apply = compiled(lambda values: optimiser.apply(values, variables), xla=uses_xla())
    evaluate = compiled_for_batches(objective.losses, slots, precision)
    rng = np.random.default_rng(1)

    def run(batch: dict) -> None:
        per_jet = float(batch["mask"].sum() / len(batch["mask"]))
        prepared = objective.prepare(batch, rng, training, per_jet)
        if training:
            terms, values = gradients(prepared)
            apply(values)
        else:
            terms = evaluate(prepared)
        float(terms["loss"])

    return run


def products(config: PETConfig, mode: str, slots: int) -> float:
    """Floating-point operations of the matrix products of one forward pass on one jet."""
    dim, neighbours = config.projection_dim, config.neighbours
    block = slots * (4 * dim**2 + 2 * slots * dim + 4 * dim**2)
    local = slots * neighbours * 2 * dim**2
    body = slots * (2 * dim * 13 + 2 * dim**2) + config.num_layers * block + 2 * local
    body += slots * (2 * 2 * dim * 13 + 13 * slots) + slots * (2 * 2 * dim**2 + dim * slots)
    token = config.classifier_layers * (2 * slots * config.num_heads * dim + 8 * dim**2)
    head = config.generator_layers * block
    passes = {
        "classifier": body + token,
        "generator": body + head,
        "all": 2 * body + 2 * token + head,
    }
    return 2.0 * passes[mode]


def operations_per_jet(config: PETConfig, mode: str, training: bool, slots: int) -> float:
    """Floating-point operations of the matrix products for a jet in `slots` slots."""
    computed = slots + (slots < config.max_constituents)  # and a slot for all that were left out
    return products(config, mode, computed) * (3 if training else 1)  # backward: twice the forward


def peak_flops(precision: str = FULL) -> float:
    """Operations per second of a large matrix product in a precision on this machine."""
    side = MATRIX["gpu" if gpu_name() else "cpu"]
    product = compiled(lambda a: (a @ a)[:1, :1])  # copies one number from the device
    values = np.random.default_rng(0).standard_normal((side, side), dtype="float32")
    matrix = compiled(in_precision(lambda a: reduced(a + 0), precision))(values)  # on the device
    np.asarray(product(matrix))
    seconds = [seconds_of(lambda: np.asarray(product(matrix))) for _ in range(10)]
    return 2 * side**3 / float(np.median(seconds))


def mean_seconds(run: Callable[[dict], None], grouped: list[tuple[dict, float]]) -> float:
    """Duration of a call with a batch of `grouped_batches`, one of each length measured."""
    return sum(share * seconds_of(run, batch) for batch, share in grouped)


def seconds_of(function: Callable, *arguments) -> float:
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def measure(mode: str, training: bool, config: PETConfig, flags: argparse.Namespace) -> dict:
    """Medians over interleaved rounds of the default and of the padded path.

    The default path runs one batch of each length, weighted by the share of this length.
    """
    slots, size = config.max_constituents, flags.batch
    run = work(mode, config, training)
    grouped = grouped_batches(size, slots, None if training else evaluation_lengths(slots))
    full = random_batch(sample_multiplicities(size), slots)
    for batch in (*(batch for batch, _ in grouped), full):
        run(batch)  # traces the graph
    rates: dict[str, list[float]] = {"default": [], "padded": []}
    peaks = []
    for _ in range(flags.rounds):
        peaks.append(peak_flops())
        rates["default"].append(size / mean_seconds(run, grouped))
        rates["padded"].append(size / seconds_of(run, full))
    operations = sum(
        share * operations_per_jet(config, mode, training, batch["mask"].shape[1])
        for batch, share in grouped
    )
    default, padded = (float(np.median(rates[name])) for name in ("default", "padded"))
    ratios = np.divide(rates["default"], rates["padded"])
    return {
        "mode": mode,
        "work": "training" if training else "inference",
        "default_jets_per_second": default,
        "padded_jets_per_second": padded,
        "ratio": float(np.median(ratios)),
        "ratio_range": [float(ratios.min()), float(ratios.max())],
        "gigaflop_per_jet": operations / 1e9,
        "share_of_peak": default * operations / float(np.median(peaks)),
        "peak_gigaflops": float(np.median(peaks)) / 1e9,
    }


def main(arguments: list[str]) -> None:
    parser = command_parser("throughput", __doc__)
    parser.add_argument("--size", choices=tuple(ARCHITECTURES), default="full")
    parser.add_argument("--batch", type=int, default=64, help="jets per step")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved measurements")
    parser.add_argument("--mode", choices=MODES, action="append", help="default: all of them")
    parser.add_argument("--work", choices=WORK, action="append", help="default: both")
    parser.add_argument("--out", type=Path, default=RESULTS / "throughput.json")
    flags = parser.parse_args(arguments)
    distributed.horovod()
    config = PETConfig(max_constituents=JETCLASS.max_constituents, **ARCHITECTURES[flags.size])
    rows = []
    print(f"{'':22}{'default':>10}{'padded':>10}{'ratio':>8}{'GFLOP/jet':>11}{'of peak':>9}")
    for mode in flags.mode or MODES:
        for kind in flags.work or WORK:
            row = measure(mode, kind == "training", config, flags)
            rows.append(row)
            print(
                f"{mode + ', ' + row['work']:22}{row['default_jets_per_second']:>10.1f}"
                f"{row['padded_jets_per_second']:>10.1f}{row['ratio']:>8.2f}"
                f"{row['gigaflop_per_jet']:>11.2f}{row['share_of_peak']:>9.0%}",
                flush=True,
            )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"jets/s; peak memory of the process {memory:.0f} MB")
    result = {
        "size": flags.size,
        "batch": flags.batch,
        "rounds": flags.rounds,
        "device": gpu_name() or "cpu",
        "xla": uses_xla(),
        "rows": rows,
        "peak_memory_megabytes": memory,
    }
    write_json(flags.out, result)
