"""Our files read back in the order of the public rows."""

from pathlib import Path

import h5py
import numpy as np


def in_public_order(folder: Path) -> dict[str, np.ndarray]:
    """All rows of all our files below `folder`, by key."""
    parts = []
    for path in sorted(folder.rglob("*.h5")):
        with h5py.File(path) as file:
            parts.append({key: file[key][:] for key in file})
    together = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.lexsort(together["source"].T[::-1])
    return {key: values[order] for key, values in together.items()}
