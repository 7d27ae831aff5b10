"""Toy events at detector and particle level, for `finetune.py omnifold` in seconds.

The data's jets are heavier than the simulation's; the detector loses a tenth of the events.
"""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from toy_jets import shower

from omnilearn.data.catalogue import OMNIFOLD

SPEC = replace(OMNIFOLD, max_constituents=24)
EFFICIENCY = 0.9


def write_events(
    folder: Path, events: dict[str, int], spec=SPEC, truth: bool = True, seed: int = 0
) -> Path:
    """One file per split, half of the events data; `truth`: whether data have particle level."""
    for stream, (split, total) in enumerate(events.items()):
        rng = np.random.default_rng((seed, stream))
        label = np.arange(total) % 2
        path = folder / spec.name / split / f"{spec.name}_{split}_000.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for level in spec.levels:
                jets = shower(label, spec, rng)
                passes = np.ones(total, bool)
                if level == "reco":
                    passes = rng.random(total) < EFFICIENCY
                elif not truth:
                    passes = label == 0
                mass = rng.uniform(10, 250, total) + 20 * label
                columns = (
                    mass / 5,
                    mass / 500,
                    jets["multiplicity"],
                    np.log(mass / 500) * 3,
                    rng.uniform(0.1, 0.5, total),
                    rng.uniform(0.2, 1.0, total),
                )
                jets["observables"] = np.column_stack(columns).astype(np.float32)
                for name, array in jets.items():
                    file[spec.key(name, level)] = (array.T * passes).T.astype(array.dtype)
            file["pid"] = label.astype(np.int8)
            file["weight"] = rng.uniform(0.5, 1.5, total).astype(np.float32)
            file.attrs.update({"format_version": 1, "origin": "simulated"})
    return folder
