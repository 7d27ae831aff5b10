"""Toy events of two jets: a falling spectrum of dijet masses, and a resonance of two-pronged jets.

Jets are those of the toy shower, turned back to back and scaled to the dijet mass of their event.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from toy_jets import shower

from omnilearn.data.catalogue import LHCO
from omnilearn.data.spec import FEATURES
from omnilearn.kinematics import invariant_mass, sum_constituents

RESONANCE, WIDTH = 3500.0, 60.0  # GeV
STEEPNESS = 7.0  # of the falling spectrum, a power
BACKGROUND, SIGNAL = 0, 3  # classes of the toy shower
LIGHT = replace(LHCO, max_constituents=60, jet_pt_range=(1400.0, 1600.0))


def falling_masses(events: int, rng: np.random.Generator, low=2300.0, high=5000.0) -> np.ndarray:
    """Masses (events,) [GeV] of a power law between low and high."""
    ends = np.array([low, high]) ** (1 - STEEPNESS)
    return (ends[0] + rng.random(events) * (ends[1] - ends[0])) ** (1 / (1 - STEEPNESS))


def dijets(label: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Events of these labels as stored in files."""
    events = len(label)
    kind = np.where(label, SIGNAL, BACKGROUND)
    jets = shower(np.repeat(kind, 2), LIGHT, rng)
    data = jets["data"].reshape(events, 2, *jets["data"].shape[1:])
    pt, eta, mass, count = np.moveaxis(jets["jet"].reshape(events, 2, 4), -1, 0).astype(float)
    first = rng.uniform(-np.pi, np.pi, events)
    phi = np.column_stack([first, first + np.pi - np.abs(rng.normal(0, 0.1, events))])
    energy = np.hypot(pt * np.cosh(eta), mass)
    dijet = invariant_mass(sum_constituents(np.stack([pt, eta, phi, energy], axis=-1)))
    target = np.where(label, rng.normal(RESONANCE, WIDTH, events), falling_masses(events, rng))
    scale = (target / dijet)[:, None]
    data[..., [3, 5]] += np.log(scale)[..., None, None] * (data != 0).any(axis=-1)[..., None]
    jet = np.stack([pt * scale, eta, phi, mass * scale, count], axis=-1)
    order = np.argsort(-jet[..., 0], axis=1)[..., None]
    multiplicity = jets["multiplicity"].reshape(events, 2)
    return {
        "data": np.take_along_axis(data, order[..., None], axis=1),
        "jet": np.take_along_axis(jet, order, axis=1).astype(np.float32),
        "multiplicity": np.take_along_axis(multiplicity, order[..., 0], axis=1),
        "observables": target[:, None].astype(np.float32),
        "pid": label.astype(np.int8),
        "weight": np.ones(events, np.float32),
    }


def write_dijets(
    folder: Path, events: Mapping[str, int], signal: float = 0.2, seed: int = 0
) -> Path:
    """A file of each split, this share of its events signal; returns `folder`, the --data."""
    for stream, (split, total) in enumerate(events.items()):
        rng = np.random.default_rng((seed, stream))
        label = (rng.random(total) < signal).astype(int)
        path = folder / "lhco" / split / f"lhco_{split}_000.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for key, array in dijets(label, rng).items():
                chunks = (min(256, total), *array.shape[1:])
                file.create_dataset(
                    key, data=array, chunks=chunks, compression="gzip", compression_opts=1
                )
            file.attrs["classes"] = list(LHCO.class_names)
            file.attrs["features"] = list(FEATURES[:7])
            file.attrs["origin"] = "simulated"
    return folder
