"""Transformer blocks of the token models, as in OmniJet-alpha, normalised in each slot.

arXiv:2403.05618. Those of the jet GPT normalise the sums and have ReLU; those of the tokeniser are
NormFormer blocks (arXiv:2110.09456, without its scales per head) with SiLU, and are the identity
before training.
"""

import keras
from keras import ops

from omnilearn.model.layers import NEVER, Attention, dense
from omnilearn.model.precision import applied, restored

WIDENING = 4  # hidden units per channel in the feed-forward layers of the GPT


def layer_norm(channels: int, name: str, gain: str = "ones") -> keras.layers.LayerNormalization:
    """Normalisation over channels with gain and offset; `gain` is its initialiser."""
    layer = keras.layers.LayerNormalization(epsilon=1e-5, gamma_initializer=gain, name=name)
    layer.build((None, None, channels))
    return layer


def causal_bias(slots):
    """Bias (1, 1, S, S) that masks later slots."""
    slot = ops.arange(slots)
    return ops.where(slot[:, None] >= slot[None, :], 0.0, NEVER)[None, None]


def padding_bias(real):
    """Bias (B, 1, 1, S) that masks padded slots, where real (B, S) is zero."""
    return ops.where(real > 0, 0.0, NEVER)[:, None, None, :]


class PostNormBlock(keras.layers.Layer):
    """Attention without biases of query, key and value, then two dense layers; sums normalised."""

    def __init__(self, dim: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.attention = Attention(dim, heads, offsets=False, name="attention")
        self.norm1, self.norm2 = layer_norm(dim, "norm1"), layer_norm(dim, "norm2")
        self.first = dense(dim, WIDENING * dim, "first")
        self.second = dense(WIDENING * dim, dim, "second")
        self.built = True

    def call(self, x, bias=None):
        """x (B, S, D), bias (B or 1, 1, 1 or S, S) -> (B, S, D)."""
        return self.fed_forward(x, self.attention(x, bias=bias))

    def step(self, x, earlier, recent, is_current, bias):
        """One more slot: x (B, 1, D); see `jet_gpt.GPT.step`.

        earlier, recent: (keys, values), each (B, H, positions, D/H), of this block; is_current
        (1, 1, R, 1) is true at the position of the slot in `recent`; bias (1, 1, 1, T + R) hides
        later positions. Returns (B, 1, D) and `recent` with this slot.
        """
        query, *new = self.attention.projected(x)
        recent = tuple(
            ops.where(is_current, of_slot, of_all)
            for of_slot, of_all in zip(new, recent, strict=True)
        )
        parts = [*([earlier] if earlier else []), recent]
        return self.fed_forward(x, self.attention.attended_parts(query, parts, bias)), recent

    def fed_forward(self, x, update):
        """Add the output of attention, then that of the dense layers, and normalise both sums."""
        x = self.norm1(update + x)
        hidden = ops.relu(applied(self.first, x))
        return self.norm2(restored(applied(self.second, hidden)) + x)


class NormFormerBlock(keras.layers.Layer):
    """Attention and two dense layers on normalised slots, normalised again before they are added.

    The second dense layer and the gain of the first normalisation are initially zero, so that the
    block is the identity.
    """

    def __init__(self, dim: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.norm1 = layer_norm(dim, "norm1", gain="zeros")
        self.attention = Attention(dim, heads, name="attention")
        self.norm_attention = layer_norm(dim, "norm_attention")
        self.norm2 = layer_norm(dim, "norm2")
        self.first, self.second = dense(dim, dim, "first"), dense(dim, dim, "second")
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
    """Sets values to zero with this probability and scales the others to keep the mean.

    The random numbers depend on `seed` (2,) int32 and the number of the call alone, so that a
    repeated step drops the same values.
    """

    def __init__(self, rate: float, seed):
        self.rate, self.seeds = rate, StepSeeds(seed)

    def __call__(self, x):
        return keras.random.dropout(x, self.rate, seed=self.seeds)


class StepSeeds(keras.random.SeedGenerator):
    """Seeds for Keras' random numbers, counted up from that of a step, without a variable."""

    def __init__(self, seed):
        self.seed, self.calls = seed, 0

    def next(self, ordered=True):
        self.calls += 1
        return self.seed + ops.convert_to_tensor([0, self.calls], dtype="int32")
