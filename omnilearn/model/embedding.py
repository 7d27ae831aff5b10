"""The embedding of diffusion time, and the scale and shift by which features are conditioned."""

import keras
import numpy as np
from keras import ops

from omnilearn.model.layers import dense

NUM_FREQUENCIES = 32
FREQUENCIES = np.exp(-np.log(1e4) / (NUM_FREQUENCIES - 1) * np.arange(NUM_FREQUENCIES)).astype(
    "float32"
)
ANGLE = 1000.0


def fourier_features(time):
    """time (B, 1) -> (B, 64): [sin, cos] of 1000 t freq_k, times t, so that t = 0 gives zero."""
    angle = ops.cast(time, "float32") * FREQUENCIES * ANGLE
    return ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=-1) * time


class TimeEmbedding(keras.layers.Layer):
    """Fourier features, two layers without bias: zero at t = 0 (arXiv:2502.14652, Section II.1)."""

    def __init__(self, dim: int, **kwargs):
        super().__init__(**kwargs)
        self.first = dense(2 * NUM_FREQUENCIES, 2 * dim, "first", bias=False)
        self.second = dense(2 * dim, dim, "second", bias=False)
        self.built = True

    def call(self, time):
        """time (B, 1) -> (B, D)."""
        return ops.silu(self.second(ops.silu(self.first(fourier_features(time)))))


def scaled_and_shifted(x, scale_and_shift):
    """x (B, S, D) and scale_and_shift (B, S or 1, 2D) -> x (1 + scale) + shift; also without S."""
    scale, shift = ops.split(scale_and_shift, 2, axis=-1)
    return x * (1.0 + scale) + shift
