"""Converted files in the order of the public rows."""

from pathlib import Path

import h5py
import numpy as np


def in_public_order(folder: Path) -> dict[str, np.ndarray]:
    """All rows of all converted files below `folder`, by key."""
    files = []
    for path in sorted(folder.rglob("*.h5")):
        with h5py.File(path) as file:
            files.append({key: file[key][:] for key in file})
    arrays = {key: np.concatenate([file[key] for file in files]) for key in files[0]}
    order = np.lexsort(arrays["source"].T[::-1])
    return {key: values[order] for key, values in arrays.items()}
