"""Random numbers that belong to jets: the same in whatever batch, rank or length a jet comes."""

from typing import Any

import numpy as np


class JetStreams:
    """One random stream per jet, with the two methods of a NumPy generator that batches need.

    `seed` are whole numbers, `index` (B,) the jets' rows in their split. Of an array of slots the
    first ones do not depend on how many there are.
    """

    def __init__(self, seed: tuple[int, ...], index: np.ndarray):
        self._streams = [np.random.default_rng((*seed, int(row))) for row in index]

    def random(self, size: tuple[int, ...], dtype: Any = "float64") -> np.ndarray:
        """Uniform in [0, 1), of shape `size`, whose first number counts the jets."""
        return np.stack([stream.random(size[1:], dtype) for stream in self._streams])

    def standard_normal(self, size: tuple[int, ...], dtype: Any = "float64") -> np.ndarray:
        """Gaussian, of shape `size`, whose first number counts the jets."""
        return np.stack([stream.standard_normal(size[1:], dtype) for stream in self._streams])
