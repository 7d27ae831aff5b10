"""Transformer blocks normalised slot by slot: those of the tokeniser and of the jet GPT.

arXiv:2403.05618: the tokeniser has the additional normalisations of NormFormer (arXiv:2110.09456,
without its scales per head), the GPT is plain.
"""

import keras
from keras import ops

from omnilearn.model.layers import NEVER, Attention, dense, gelu
from omnilearn.model.precision import applied, restored

WIDENING = 4  # hidden units of the feed-forward part per channel


def layer_norm(channels: int, name: str) -> keras.layers.LayerNormalization:
    layer = keras.layers.LayerNormalization(epsilon=1e-5, name=name)
    layer.build((None, None, channels))
    return layer


def causal_bias(slots):
    """Bias (1, 1, S, S) that hides from a slot those behind it."""
    place = ops.arange(slots)
    return ops.where(place[:, None] >= place[None, :], 0.0, NEVER)[None, None]


class TransformerBlock(keras.layers.Layer):
    """Attention, then two dense layers, each on normalised slots and added to them."""

    def __init__(self, dim: int, heads: int, normformer: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.norm1, self.norm2 = layer_norm(dim, "norm1"), layer_norm(dim, "norm2")
        self.attention = Attention(dim, heads, name="attention")
        self.first, self.second = dense(WIDENING * dim, "first"), dense(dim, "second")
        self.first.build((None, None, dim))
        self.second.build((None, None, WIDENING * dim))
        self.norm_attention = layer_norm(dim, "norm_attention") if normformer else None
        self.norm_hidden = layer_norm(WIDENING * dim, "norm_hidden") if normformer else None
        self.built = True

    def call(self, x, bias=None):
        """x (B, S, D), bias (B or 1, 1, 1 or S, S) -> (B, S, D)."""
        return self.fed_forward(x, self.attention(self.norm1(x), bias=bias))

    def step(self, x, keys, values, here, bias):
        """One more slot: x (B, 1, D); keys, values (B, H, T, D/H) of the T places of a cache.

        here (T,) is 1 at the place of the slot, bias (1, 1, 1, T) hides the places behind it.
        Returns (B, 1, D) and the cache with this slot in it.
        """
        query, key, value = self.attention.projected(self.norm1(x))
        chosen = here[None, None, :, None] > 0
        keys, values = ops.where(chosen, key, keys), ops.where(chosen, value, values)
        return self.fed_forward(x, self.attention.attended(query, keys, values, bias)), keys, values

    def fed_forward(self, x, update):
        """What attention found is added, then the dense layers."""
        x = x + (self.norm_attention(update) if self.norm_attention else update)
        hidden = gelu(applied(self.first, self.norm2(x)))
        if self.norm_hidden:
            hidden = self.norm_hidden(restored(hidden))
        return x + restored(applied(self.second, hidden))
