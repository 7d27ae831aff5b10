"""Jets per second of PET on one GPU, by precision, with and without XLA.

    python -m benchmarks gpu [--seconds 480] [--out benchmarks/results/gpu.json]

One number is one kind of work on batches of one length. The lengths are those of the pipeline; the
mean jet of JetClass comes in 46 slots, where every setting is measured first. Each number is
printed and written as soon as it is there, so that nothing is lost when the machine goes; none is
begun that would not end within --seconds. Without a GPU what needs one is left out.

The hours of the paper's pre-training (128 GPUs, batches of 256 jets, 200 passes over a fifth of
JetClass; arXiv:2502.14652, Section III) are steps x 256 / rate, with the measured jets/s of one
GPU and an efficiency of one.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.throughput import (
    MODES,
    RESULTS,
    WORK,
    grouped_batches,
    operations_per_jet,
    peak_flops,
    seconds_of,
    work,
)
from omnilearn.atomic import atomic_path
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


@dataclass(frozen=True)
class Setting:
    """What is computed, and how."""

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
    """All numbers so far, and where they are written; `until` is when the time is up."""

    size: str
    batch: int  # jets per step
    steps: int  # for one number, at most
    out: Path
    until: float
    shares: dict[int, float]  # how often a batch comes in so many slots
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
        """One row, or a line that the time does not suffice, or what stopped it."""
        slots = batch["mask"].shape[1]
        name, started = f"{setting}, {slots} slots", time.monotonic()
        traces = self.traces(setting, slots)
        expected = self.expected_seconds(setting, traces)
        if started + expected > self.until:
            self.not_begun.append(name)
            print(f"{name}: not begun, it would take {expected:.0f} s", flush=True)
            self.write()
            return
        row = {
            **asdict(setting),
            "slots": slots,
            "first_step_seconds": None,
            "jets_per_second": None,
            "share_of_peak": None,
            "peak_memory_megabytes": None,
            "error": None,
        }
        self.rows.append(row)
        print(f"{name}: begins", flush=True)
        try:
            self.fill(row, setting, batch, name)
        except Exception as error:  # out of memory at one length is no reason to end
            row["error"] = (str(error) or type(error).__name__).splitlines()[0]
            print(f"{name}: {row['error']}", flush=True)
        first = row["first_step_seconds"] or 0.0
        if traces:
            self.first_seconds[setting.xla] = max(first, self.first_seconds.get(setting.xla, 0.0))
        self.other_seconds = max(self.other_seconds, time.monotonic() - started - first)
        self.write()

    def expected_seconds(self, setting: Setting, traces: bool) -> float:
        """What a measurement took at most so far, with the making of a graph where it needs one."""
        longest = max(self.first_seconds.values(), default=0.0)
        making = self.first_seconds.get(setting.xla, longest) if traces else 0.0
        return making + self.other_seconds

    def traces(self, setting: Setting, slots: int) -> bool:
        """Does this length need a graph that this setting does not have yet?"""
        full = self.config.max_constituents
        had = [row["slots"] for row in self.rows if setting_of(row) == setting]
        return slots not in had if setting.xla else (slots == full) not in [s == full for s in had]

    def fill(self, row: dict, setting: Setting, batch: dict, name: str) -> None:
        allow_tf32(setting.precision == TF32)
        products = REDUCED if setting.precision == REDUCED else FULL
        training = setting.work == "training"
        if setting not in self.runs:
            with xla_asked(setting.xla):
                self.runs[setting] = work(setting.mode, self.config, training, products)
        run = self.runs[setting]
        forget_peak_memory()
        row["first_step_seconds"] = seconds_of(run, batch)
        print(f"{name}: first step after {row['first_step_seconds']:.2f} s", flush=True)
        self.write()
        rate = self.batch / steady_seconds(run, batch, self.steps)
        row["jets_per_second"] = rate
        taken = peak_memory()
        if taken is not None:
            row["peak_memory_megabytes"] = taken / 2**20
        print(
            f"{name}: {rate:.1f} jets/s"
            + ("" if taken is None else f", {taken / 2**20:.0f} MB of the device"),
            flush=True,
        )
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
        """Rates over the lengths, as often as each comes, of the settings that have them all."""
        found = []
        for setting in dict.fromkeys(map(setting_of, self.rows)):
            rates = self.rates(setting)
            if rates.keys() == self.shares.keys():
                seconds = sum(share / rates[slots] for slots, share in self.shares.items())
                found.append({**asdict(setting), "jets_per_second": 1 / seconds})
        return found

    def pretraining(self) -> dict | None:
        """Hours of the paper's pre-training at the best rate over all lengths of mode all.

        Where none has all lengths yet, at the rate of 46 slots; None before there is one, and for
        other sizes and batches than the paper's.
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
        with atomic_path(self.out) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")


def is_pretraining(row: dict) -> bool:
    return (row["mode"], row["work"]) == ("all", "training")


def steady_seconds(run: Callable, batch: dict, steps: int) -> float:
    """Median seconds of a step, after a warm-up."""
    for _ in range(WARM_UP):
        run(batch)
    until = time.monotonic() + STEADY_SECONDS
    taken: list[float] = []
    while len(taken) < LEAST_STEPS or (len(taken) < steps and time.monotonic() < until):
        taken.append(seconds_of(run, batch))
    return float(np.median(taken))


def xla_asked(asked: bool) -> AbstractContextManager:
    """Graphs made inside are fused by XLA, or are not."""
    return patch.dict(os.environ, OMNILEARN_XLA=str(int(asked)))


def settings(mode: str, kind: str) -> list[Setting]:
    """What this machine can do, what is most worth knowing first: the default, TF32, then faster.

    The graphs of XLA take long to compile, so they come after what does without.
    """
    precisions = (TF32, REDUCED) if has_tf32() else (FULL, REDUCED)
    found = [
        Setting(mode, kind, precision, xla) for xla in (False, True) for precision in precisions
    ]
    return found + [Setting(mode, kind, FULL, xla) for xla in (False, True) if has_tf32()]


def measure_all(
    measured: Measurements, kinds: list[tuple[str, str]], batches: dict[int, dict]
) -> None:
    """Every kind of work: all settings at one length, then the other lengths, where they are cheap.

    Two graphs serve all lengths without XLA, which has one for each. So the default and the fastest
    setting without XLA come first, those left over when every kind was measured.
    """
    others = [batch for slots, batch in batches.items() if slots != FIRST_SLOTS]
    later = []
    for mode, kind in kinds:
        candidates = settings(mode, kind)
        for setting in candidates:
            measured.measure(setting, batches[FIRST_SLOTS])
        rates = {each: measured.rates(each).get(FIRST_SLOTS, 0.0) for each in candidates}
        candidates.sort(key=lambda each: rates[each], reverse=True)
        plain = next(setting for setting in candidates if not setting.xla)
        foremost = dict.fromkeys((settings(mode, kind)[0], plain))
        for setting in foremost:
            for batch in others:
                measured.measure(setting, batch)
        later += [setting for setting in candidates if setting not in foremost]
    for setting in later:
        for batch in others:
            measured.measure(setting, batch)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks gpu", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--size", choices=tuple(ARCHITECTURES), default="full")
    parser.add_argument("--batch", type=int, default=256, help="jets per step")
    parser.add_argument("--steps", type=int, default=20, help="steps per number, at most")
    parser.add_argument("--seconds", type=float, default=480.0, help="time for all of it")
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
            f"  divided by the efficiency of {GPUS} GPUs, about which "
            "python -m benchmarks scaling_model has a model"
        )
    print(f"{len(measured.not_begun)} not begun for want of time; written: {flags.out}")
