"""Time of every part of PET, and growth of its cost with constituents and layers.

    python -m benchmarks profile

Every part runs alone, forward and forward with backward, on one batch of typical length; the
numbers are medians.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from keras import ops

from benchmarks.programs import RESULTS, command_parser, write_json
from benchmarks.throughput import random_batch
from omnilearn.model.layers import nearest_slots
from omnilearn.model.pet import PET, PETConfig
from omnilearn.plotting.style import figure
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled, with_gradients

SLOTS = 46  # a typical length of the pipeline for JetClass
GROWTH_SLOTS = (24, 46, 71, 93, 139, 150)
GROWTH_LAYERS = (2, 4, 8, 12)


def median_milliseconds(function: Callable, *arguments, repeats: int) -> float:
    """Median time of a call, after a first call that traces the graph."""
    function(*arguments)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = function(*arguments)
        result = result[1] if isinstance(result, tuple) else result
        np.asarray(result[-1] if isinstance(result, list) else result)
        seconds.append(time.perf_counter() - started)
    return 1e3 * float(np.median(seconds))


def timed(part: Callable, inputs: dict, variables: list, repeats: int) -> dict[str, float]:
    """Milliseconds of part(inputs) forward, and with the gradients of its weights."""

    def losses(batch):
        return {"loss": ops.mean(ops.square(part(batch)))}

    forward = compiled(lambda batch: part(batch))
    both = compiled(with_gradients(losses, variables))
    return {
        "forward": median_milliseconds(forward, inputs, repeats=repeats),
        "forward_backward": median_milliseconds(both, inputs, repeats=repeats),
    }


def jets(count: int, slots: int, dim: int) -> dict[str, np.ndarray]:
    """Random standardised jets and a random output of the body; at most 10 slots are empty."""
    rng = np.random.default_rng(0)
    multiplicity = rng.integers(max(2, slots - 10), slots + 1, count)
    return {
        **random_batch(multiplicity, slots),
        "body": rng.standard_normal((count, slots + 1, dim), dtype="float32"),
        "time": rng.random((count, 1), dtype="float32"),
    }


def parts_of(pet: PET) -> dict[str, tuple[Callable, int]]:
    """Part of the model -> (function of a batch, number of calls in one forward pass)."""
    body, layers = pet.body, pet.config.num_layers
    block = body.blocks[0]
    functions = {
        "embedding": lambda b, f, s: body.embedding(f),
        "neighbours": lambda b, f, s: ops.cast(nearest_slots(b["body"], s, 10), "float32"),
        "local encoding 1": lambda b, f, s: body.local0(f[:, :, :2], f, slots=s),
        "local encoding 2": lambda b, f, s: body.local1(b["body"], b["body"], slots=s),
        "attention": lambda b, f, s: block.attention(b["body"], bias=s.attention_bias),
        "feed-forward": lambda b, f, s: block.feed_forward(b["body"]),
        "normalisation": lambda b, f, s: block.norm1(b["body"], weight=s.weight),
        "classifier head": lambda b, f, s: pet.classifier(b["body"], slots=s, jet=b["jet"])[0],
        "generator head": lambda b, f, s: pet.generator(
            b["body"], slots=s, jet=b["jet"], time=b["time"], label=b["label"]
        ),
        "whole body": lambda b, f, s: body(f, slots=s),
    }
    calls = {"neighbours": 2, "attention": layers, "feed-forward": layers}
    calls["normalisation"] = 2 * layers

    def on_slots(function):
        def run(batch):
            features, slots = pet.slots(batch["constituents"], batch["mask"])
            return function(batch, features, slots)

        return run

    return {name: (on_slots(part), calls.get(name, 1)) for name, part in functions.items()}


def growth(count: int, repeats: int) -> dict[str, dict[int, float]]:
    """Jets per second of a classifier's training step against slots and against layers."""

    def rate(config: PETConfig, slots: int) -> float:
        pet = PET(config)
        batch = jets(count, slots, config.projection_dim)
        batch.pop("body")
        names = ("constituents", "mask", "jet")

        def logits(b):
            return pet.classify(*(b[name] for name in names))[0]

        both = timed(logits, batch, pet.trainable_variables, repeats)["forward_backward"]
        return 1e3 * count / both

    return {
        "slots": {slots: rate(PETConfig(), slots) for slots in GROWTH_SLOTS},
        "layers": {n: rate(PETConfig(num_layers=n), SLOTS) for n in GROWTH_LAYERS},
    }


def draw(parts: dict[str, dict], path: Path) -> None:
    """A bar of milliseconds per part, forward and backward."""
    names = [name for name in parts if name not in ("whole body", "neighbours")][::-1]
    forward = np.array([parts[name]["forward"] * parts[name]["times"] for name in names])
    both = np.array([parts[name]["forward_backward"] * parts[name]["times"] for name in names])
    with figure(path) as axes:
        axes.barh(names, forward, color="#3f90da", label="forward")
        axes.barh(
            names, np.maximum(both - forward, 0), left=forward, color="#ffa90e", label="backward"
        )
        axes.set_xlabel("ms per batch and pass")
        axes.tick_params(axis="y", which="both", left=False, right=False, labelsize="small")
        axes.legend()


def main(arguments: list[str]) -> None:
    parser = command_parser("profile", __doc__)
    parser.add_argument("--jets", type=int, default=64, help="jets of the batch")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS / "profile")
    flags = parser.parse_args(arguments)
    distributed.horovod()
    pet = PET(PETConfig())
    batch = jets(flags.jets, SLOTS, pet.config.projection_dim)
    parts = {}
    for name, (part, times) in parts_of(pet).items():
        milliseconds = timed(part, batch, pet.trainable_variables, flags.repeats)
        parts[name] = {**milliseconds, "times": times}
        print(
            f"{name:20} {times:3} x {milliseconds['forward']:7.1f} ms forward, "
            f"{milliseconds['forward_backward']:7.1f} ms with backward",
            flush=True,
        )
    rates_by_axis = growth(flags.jets, flags.repeats)
    for axis, rates in rates_by_axis.items():
        print(
            f"training, jets/s by {axis}: "
            + ", ".join(f"{key}: {rate:.0f}" for key, rate in rates.items())
        )
    result = {"jets": flags.jets, "slots": SLOTS, "parts": parts, "growth": rates_by_axis}
    write_json(flags.out.with_suffix(".json"), result)
    draw(parts, flags.out)
