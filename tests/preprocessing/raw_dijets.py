"""Raw events of the LHC Olympics as a pandas table, and their files."""

from pathlib import Path

import numpy as np
import pandas as pd

from omnilearn.kinematics import wrap_phi


def raw_events(n: int = 40, seed: int = 0, pt: float = 1500.0, counts=None) -> np.ndarray:
    """(n, 2101): jets of pt and 0.9 pt, back to back, each within 0.3 of its axis, then labels."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 60, (n, 2)) if counts is None else np.broadcast_to(counts, (n, 2))
    table = np.zeros((n, 2101))
    axis = rng.uniform(-np.pi, np.pi, n)
    for event in range(n):
        particles = []
        for jet, jet_pt in enumerate((pt, 0.9 * pt)):
            size = counts[event, jet]
            share = rng.exponential(1.0, size) + 0.05
            eta = rng.uniform(-1.5, 1.5) + rng.uniform(-0.2, 0.2, size)
            phi = wrap_phi(axis[event] + jet * np.pi + rng.uniform(-0.2, 0.2, size))
            particles.append(np.stack([jet_pt * 1.05 * share / share.sum(), eta, phi], axis=1))
        mixed = rng.permutation(np.concatenate(particles))
        table[event, : 3 * len(mixed)] = mixed.ravel()
    table[:, 2100] = np.arange(n) % 4 == 0
    return table


def write(path: Path, table: np.ndarray, columns=None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table, columns=columns).to_hdf(path, key="df", **options)
    return path
