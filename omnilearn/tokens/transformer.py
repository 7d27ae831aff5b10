"""Transformer blocks of the token models, slot by slot normalised, as OmniJet-alpha has them.

arXiv:2403.05618. The jet GPT's normalise what they have added up and have ReLU; the tokeniser's are
those of NormFormer (arXiv:2110.09456, without its scales per head), with SiLU, and change nothing
at the start of a training.
"""

import keras
from keras import ops

from omnilearn.model.layers import NEVER, Attention, dense
from omnilearn.model.precision import applied, restored

WIDENING = 4  # hidden units of the GPT's feed-forward part per channel


def layer_norm(channels: int, name: str, gain: str = "ones") -> keras.layers.LayerNormalization:
    """Normalisation over channels with gain and offset; `gain` is its initialiser."""
    layer = keras.layers.LayerNormalization(epsilon=1e-5, gamma_initializer=gain, name=name)
    layer.build((None, None, channels))
    return layer


def built_dense(inputs: int, units: int, name: str) -> keras.layers.Dense:
    layer = dense(units, name)
    layer.build((None, None, inputs))
    return layer


def causal_bias(slots):
    """Bias (1, 1, S, S) that hides from a slot those behind it."""
    place = ops.arange(slots)
    return ops.where(place[:, None] >= place[None, :], 0.0, NEVER)[None, None]


def padding_bias(real):
    """Bias (B, 1, 1, S) that hides the padded slots where real (B, S) is zero."""
    return ops.where(real > 0, 0.0, NEVER)[:, None, None, :]


class PostNormBlock(keras.layers.Layer):
    """Attention without offsets of query, key and value, then two dense layers; sums normalised."""

    def __init__(self, dim: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.attention = Attention(dim, heads, offsets=False, name="attention")
        self.norm1, self.norm2 = layer_norm(dim, "norm1"), layer_norm(dim, "norm2")
        self.first = built_dense(dim, WIDENING * dim, "first")
        self.second = built_dense(WIDENING * dim, dim, "second")
        self.built = True

    def call(self, x, bias=None):
        """x (B, S, D), bias (B or 1, 1, 1 or S, S) -> (B, S, D)."""
        return self.fed_forward(x, self.attention(x, bias=bias))

    def step(self, x, keys, values, here, bias):
        """One more slot: x (B, 1, D); keys, values (B, H, T, D/H) of the T places of a cache.

        here (T,) is 1 at the place of the slot, bias (1, 1, 1, T) hides the places behind it.
        Returns (B, 1, D) and the cache with this slot in it.
        """
        query, key, value = self.attention.projected(x)
        chosen = here[None, None, :, None] > 0
        keys, values = ops.where(chosen, key, keys), ops.where(chosen, value, values)
        return self.fed_forward(x, self.attention.attended(query, keys, values, bias)), keys, values

    def fed_forward(self, x, update):
        """What attention found is added, then what the dense layers make of it."""
        x = self.norm1(update + x)
        hidden = ops.relu(applied(self.first, x))
        return self.norm2(restored(applied(self.second, hidden)) + x)


class NormFormerBlock(keras.layers.Layer):
    """Attention and two dense layers on normalised slots, normalised again before they are added.

    The second dense layer and the first normalisation's gain are zero at the start: the block is
    the identity then.
    """

    def __init__(self, dim: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.norm1 = layer_norm(dim, "norm1", gain="zeros")
        self.attention = Attention(dim, heads, name="attention")
        self.norm_attention = layer_norm(dim, "norm_attention")
        self.norm2 = layer_norm(dim, "norm2")
        self.first, self.second = built_dense(dim, dim, "first"), built_dense(dim, dim, "second")
        self.second.kernel.assign(ops.zeros_like(self.second.kernel))
        self.built = True

    def call(self, x, real, drop=None):
        """x (B, S, D), real (B, S) -> (B, S, D); drop: a `Dropout` in training."""
        x = x * real[..., None]
        update = self.attention(self.norm1(x), bias=padding_bias(real), drop=drop)
        x = x + self.norm_attention(update)
        hidden = ops.silu(applied(self.first, self.norm2(x)))
        return x + restored(applied(self.second, drop(hidden) if drop else hidden))


class Dropout:
    """Sets values to zero with this probability and makes up for it in the others.

    The numbers come from `seed` (2,) int32 alone, others at every call: a step that is repeated
    drops the same.
    """

    def __init__(self, rate: float, seed):
        self.rate, self.seeds = rate, StepSeeds(seed)

    def __call__(self, x):
        return keras.random.dropout(x, self.rate, seed=self.seeds)


class StepSeeds(keras.random.SeedGenerator):
    """Seeds for Keras' random numbers, counted up from that of a step; no state is left behind."""

    def __init__(self, seed):
        self.seed, self.calls = seed, 0

    def next(self, ordered=True):
        self.calls += 1
        return self.seed + ops.convert_to_tensor([0, self.calls], dtype="int32")
