"""Random numbers per jet, independent of its batch, rank and length."""

from typing import Any

import numpy as np


class JetStreams:
    """One random stream per jet, with two methods of a NumPy generator.

    seed: whole numbers; index (B,): rows of the jets in their split. The numbers of the first slots
    do not depend on the number of slots.
    """

    def __init__(self, seed: tuple[int, ...], index: np.ndarray):
        self._streams = [np.random.default_rng((*seed, int(row))) for row in index]

    def random(self, size: tuple[int, ...], dtype: Any = "float64") -> np.ndarray:
        """Uniform in [0, 1), of shape `size` (B, ...)."""
        return np.stack([stream.random(size[1:], dtype) for stream in self._streams])

    def standard_normal(self, size: tuple[int, ...], dtype: Any = "float64") -> np.ndarray:
        """Gaussian, of shape `size` (B, ...)."""
        return np.stack([stream.standard_normal(size[1:], dtype) for stream in self._streams])
