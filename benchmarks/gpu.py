"""Jets per second of PET on one GPU, by precision, with and without XLA.

    python -m benchmarks gpu [--seconds 480] [--out benchmarks/results/gpu.json]

Each rate is of one kind of work on batches of one length. The lengths are those of the pipeline;
every setting is measured first at 46 slots, the length of the mean jet of JetClass. Each rate is
printed and written at once, so that nothing is lost if the machine is taken away; none is begun
that would not end within --seconds. Without a GPU, TF32 and the memory are left out.

The hours of the paper's pre-training (128 GPUs, batches of 256 jets, 200 passes over a fifth of
JetClass; arXiv:2502.14652, Section III) are steps x 256 / rate, with the measured jets/s of one
GPU and an efficiency of one.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.programs import RESULTS, command_parser, write_json
from benchmarks.throughput import (
    MODES,
    WORK,
    grouped_batches,
    operations_per_jet,
    peak_flops,
    seconds_of,
    work,
)
from omnilearn.data.catalogue import JETCLASS
from omnilearn.model.pet import PETConfig
from omnilearn.model.precision import FULL, REDUCED
from omnilearn.recipes import ARCHITECTURES, PRETRAINING
from omnilearn.training import distributed
from omnilearn.training.gradients import (
    allow_tf32,
    forget_peak_memory,
    gpu_name,
    has_tf32,
    peak_memory,
)

TF32 = "tf32"  # float32 whose products keep 10 bits of mantissa: TensorFlow's default
FIRST_SLOTS = 46
WARM_UP, LEAST_STEPS = 2, 3
STEADY_SECONDS = 5.0  # of steps at one length, at most, beyond the least
GPUS = 128  # arXiv:2502.14652
MEASURED = "first_step_seconds jets_per_second share_of_peak peak_memory_megabytes error"


@dataclass(frozen=True)
class Setting:
    """A kind of work, its precision, and whether XLA is used."""

    mode: str
    work: str
    precision: str
    xla: bool

    def __str__(self) -> str:
        return f"{self.mode}, {self.work}, {self.precision}, {'XLA' if self.xla else 'no XLA'}"


def setting_of(row: dict) -> Setting:
    return Setting(**{item.name: row[item.name] for item in fields(Setting)})


@dataclass
class Measurements:
    """All rates so far and the file for them; no measurement is to end after `until`."""

    size: str
    batch: int  # jets per step
    steps: int  # of one measurement, at most
    out: Path
    until: float  # as time.monotonic()
    shares: dict[int, float]  # slots -> share of the batches
    config: PETConfig = field(init=False)
    rows: list[dict] = field(default_factory=list)
    not_begun: list[str] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)
    runs: dict[Setting, Callable] = field(default_factory=dict)
    first_seconds: dict[bool, float] = field(default_factory=dict)  # without and with XLA
    other_seconds: float = 0.0

    def __post_init__(self):
        slots = JETCLASS.max_constituents
        self.config = PETConfig(max_constituents=slots, **ARCHITECTURES[self.size])

    def measure(self, setting: Setting, batch: dict) -> None:
        """Add one row, with the error if there was one; without enough time only its name."""
        slots = batch["mask"].shape[1]
        name, started = f"{setting}, {slots} slots", time.monotonic()
        traces = self.traces(setting, slots)
        expected = self.expected_seconds(setting, traces)
        if started + expected > self.until:
            self.not_begun.append(name)
            print(f"{name}: not begun, it would take {expected:.0f} s", flush=True)
            self.write()
            return
        row = {**asdict(setting), "slots": slots, **dict.fromkeys(MEASURED.split())}
        self.rows.append(row)
        print(f"{name}: begins", flush=True)
        try:
            self.fill(row, setting, batch, name)
        except Exception as error:  # after running out of memory at one length, go on with others
            row["error"] = (str(error) or type(error).__name__).splitlines()[0]
            print(f"{name}: {row['error']}", flush=True)
        first = row["first_step_seconds"] or 0.0
        if traces:
            self.first_seconds[setting.xla] = max(first, self.first_seconds.get(setting.xla, 0.0))
        self.other_seconds = max(self.other_seconds, time.monotonic() - started - first)
        self.write()

    def expected_seconds(self, setting: Setting, traces: bool) -> float:
        """The longest measurement so far, including the first step if a graph must be traced."""
        longest = max(self.first_seconds.values(), default=0.0)
        tracing = self.first_seconds.get(setting.xla, longest) if traces else 0.0
        return tracing + self.other_seconds

    def traces(self, setting: Setting, slots: int) -> bool:
        """Whether a graph must be traced for this length."""
        full = self.config.max_constituents
        known = [row["slots"] for row in self.rows if setting_of(row) == setting]
        if setting.xla:
            return slots not in known
        return (slots == full) not in [length == full for length in known]

    def fill(self, row: dict, setting: Setting, batch: dict, name: str) -> None:
        allow_tf32(setting.precision == TF32)
        products = REDUCED if setting.precision == REDUCED else FULL
        training = setting.work == "training"
        if setting not in self.runs:
            with patch.dict(os.environ, OMNILEARN_XLA=str(int(setting.xla))):
                self.runs[setting] = work(setting.mode, self.config, training, products)
        run = self.runs[setting]
        forget_peak_memory()
        row["first_step_seconds"] = seconds_of(run, batch)
        print(f"{name}: first step after {row['first_step_seconds']:.2f} s", flush=True)
        self.write()
        rate = self.batch / steady_seconds(run, batch, self.steps)
        row["jets_per_second"] = rate
        text, memory = f"{name}: {rate:.1f} jets/s", peak_memory()
        if memory is not None:
            row["peak_memory_megabytes"] = memory / 2**20
            text += f", {memory / 2**20:.0f} MB of the device"
        print(text, flush=True)
        self.write()
        if setting.precision not in self.peaks:
            self.peaks[setting.precision] = peak_flops(products)
        peak = self.peaks[setting.precision]
        operations = operations_per_jet(self.config, setting.mode, training, row["slots"])
        row["share_of_peak"] = rate * operations / peak
        print(
            f"{name}: {row['share_of_peak']:.1%} of {peak / 1e12:.2f} TFLOP/s, the peak of "
            f"{setting.precision}",
            flush=True,
        )

    def rates(self, setting: Setting) -> dict[int, float]:
        """Jets per second by number of slots."""
        return {
            row["slots"]: row["jets_per_second"]
            for row in self.rows
            if setting_of(row) == setting and row["jets_per_second"]
        }

    def means(self) -> list[dict]:
        """Rates over all lengths by their shares, of the settings that were measured at all."""
        rows = []
        for setting in dict.fromkeys(map(setting_of, self.rows)):
            rates = self.rates(setting)
            if rates.keys() == self.shares.keys():
                seconds = sum(share / rates[slots] for slots, share in self.shares.items())
                rows.append({**asdict(setting), "jets_per_second": 1 / seconds})
        return rows

    def pretraining(self) -> dict | None:
        """Hours of the paper's pre-training at the best rate of mode all over all lengths.

        Without a setting that has all lengths, at the rate of 46 slots; None without any rate, and
        for other sizes and batches than those of the paper.
        """
        recipe = PRETRAINING["jetclass", "full"]
        epochs, jets, batch = (recipe[name] for name in ("epochs", "jets_per_epoch", "batch"))
        if (self.size, self.batch) != ("full", batch):
            return None
        rows, slots = self.means(), "all lengths"
        if not any(map(is_pretraining, rows)):
            rows = [
                row for row in self.rows if row["slots"] == FIRST_SLOTS and row["jets_per_second"]
            ]
            slots = f"{FIRST_SLOTS} slots"
        rows = list(filter(is_pretraining, rows))
        if not rows:
            return None
        best = max(rows, key=lambda row: row["jets_per_second"])
        steps = epochs * (jets // (GPUS * batch))
        rate = best["jets_per_second"]
        hours = steps * batch / rate / 3600
        return {
            **asdict(setting_of(best)),
            "slots": slots,
            "jets_per_second": rate,
            "gpus": GPUS,
            "batch": batch,
            "epochs": epochs,
            "jets_per_epoch": jets,
            "steps": steps,
            "hours": hours,
            "gpu_hours": GPUS * hours,
        }

    def write(self) -> None:
        result = {
            "device": gpu_name() or "cpu",
            "size": self.size,
            "batch": self.batch,
            "steps": self.steps,
            "peak_teraflops": {name: peak / 1e12 for name, peak in self.peaks.items()},
            "rows": self.rows,
            "not_begun": self.not_begun,
            "means": self.means(),
            "pretraining": self.pretraining(),
        }
        write_json(self.out, result)


def is_pretraining(row: dict) -> bool:
    return (row["mode"], row["work"]) == ("all", "training")


def steady_seconds(run: Callable, batch: dict, steps: int) -> float:
    """Median seconds of a step, after a warm-up."""
    for _ in range(WARM_UP):
        run(batch)
    until = time.monotonic() + STEADY_SECONDS
    seconds: list[float] = []
    while len(seconds) < LEAST_STEPS or (len(seconds) < steps and time.monotonic() < until):
        seconds.append(seconds_of(run, batch))
    return float(np.median(seconds))


def settings(mode: str, kind: str) -> list[Setting]:
    """The settings that this machine supports, the most important first: TF32 (the default), then
    bfloat16, then float32; those with XLA later, since its graphs take long to compile."""
    precisions = (TF32, REDUCED) if has_tf32() else (FULL, REDUCED)
    order = [(precision, xla) for xla in (False, True) for precision in precisions]
    if has_tf32():
        order += [(FULL, False), (FULL, True)]
    return [Setting(mode, kind, precision, xla) for precision, xla in order]


def measure_all(
    measured: Measurements, kinds: list[tuple[str, str]], batches: dict[int, dict]
) -> None:
    """Measure every kind of work: all settings at one length, then the other lengths.

    Without XLA two graphs are enough for all lengths; with XLA each length needs its own. So the
    default and the fastest setting without XLA are measured at the other lengths first, and the
    remaining settings after all kinds of work.
    """
    other_lengths = [batch for slots, batch in batches.items() if slots != FIRST_SLOTS]
    later = []
    for mode, kind in kinds:
        candidates = settings(mode, kind)
        for setting in candidates:
            measured.measure(setting, batches[FIRST_SLOTS])
        default = candidates[0]
        rates = {setting: measured.rates(setting).get(FIRST_SLOTS, 0.0) for setting in candidates}
        candidates.sort(key=lambda setting: rates[setting], reverse=True)
        fastest = next(setting for setting in candidates if not setting.xla)
        first = dict.fromkeys((default, fastest))
        for setting in first:
            for batch in other_lengths:
                measured.measure(setting, batch)
        later += [setting for setting in candidates if setting not in first]
    for setting in later:
        for batch in other_lengths:
            measured.measure(setting, batch)


def main(arguments: list[str]) -> None:
    parser = command_parser("gpu", __doc__)
    parser.add_argument("--size", choices=tuple(ARCHITECTURES), default="full")
    parser.add_argument("--batch", type=int, default=256, help="jets per step")
    parser.add_argument("--steps", type=int, default=20, help="steps per measurement, at most")
    parser.add_argument("--seconds", type=float, default=480.0, help="time of all measurements")
    parser.add_argument("--mode", choices=MODES, action="append", help="default: all, classifier")
    parser.add_argument("--work", choices=WORK, action="append", help="default: both")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    flags = parser.parse_args(arguments)
    until = time.monotonic() + flags.seconds
    distributed.horovod()
    print(f"device: {gpu_name() or 'cpu'}", flush=True)
    if not has_tf32():
        print("TF32 is left out: it needs a GPU of compute capability 8.0 or more", flush=True)
    if not gpu_name():
        print("memory of the device is left out: there is no GPU", flush=True)
    grouped = grouped_batches(flags.batch, JETCLASS.max_constituents)
    batches = {batch["mask"].shape[1]: batch for batch, _ in grouped}
    shares = {batch["mask"].shape[1]: share for batch, share in grouped}
    measured = Measurements(flags.size, flags.batch, flags.steps, flags.out, until, shares)
    kinds = [
        (mode, kind) for kind in flags.work or WORK for mode in flags.mode or ("all", "classifier")
    ]
    measure_all(measured, kinds, batches)
    means, cost = measured.means(), measured.pretraining()
    print(f"over the lengths of the pipeline ({', '.join(map(str, shares))} slots):")
    for mean in means:
        print(f"  {setting_of(mean)}: {mean['jets_per_second']:.1f} jets/s")
    if cost:
        print(
            f"pre-training of the paper ({setting_of(cost)}, {cost['slots']}):\n"
            f"  {cost['epochs']} epochs of {cost['jets_per_epoch']:.0e} jets are "
            f"{cost['steps']} steps of {GPUS} GPUs x {cost['batch']} jets\n"
            f"  {cost['steps']} x {cost['batch']} / {cost['jets_per_second']:.1f} jets/s / 3600 "
            f"= {cost['hours']:.1f} hours, {cost['gpu_hours']:.0f} GPU hours\n"
            f"  divided by the efficiency of {GPUS} GPUs, which "
            "python -m benchmarks scaling_model estimates"
        )
    print(f"{len(measured.not_begun)} not begun for lack of time; written: {flags.out}")
