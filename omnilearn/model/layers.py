"""The layers of PET: normalisation, attention, feed-forward and local encoding over slots.

A jet has L slots, described by `Slots`. With released padding, padded slots enter attention and
normalisation, and one representative padded slot may stand for many, by its weight; with masked
padding their weight is zero. arXiv:2502.14652, Section II.
"""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from omnilearn.model.precision import biased, product, reduced, restored

NEVER = -1e9  # attention logit of a slot with weight zero
FAR_AWAY = 999.0  # added to the coordinates of padded slots, as in the released model
DISTANCE_OFFSET = 1e-5
NORM_EPSILON = 1e-3  # added to the variance
SQRT_HALF = math.sqrt(0.5)
LOG_ERF_SLOPE = math.log(2 / math.sqrt(math.pi))  # erf'(x) = exp(this - x^2)


@ops.custom_gradient
def scaled_gelu(x):
    """sqrt(2) gelu(sqrt(2) x) = x (1 + erf x), the exact form (the tanh form differs by 5e-4).

    Elementwise operations on edges take a third of a training step: so the constants belong to the
    weights before and after, and the derivative is written explicitly.
    """
    one_plus_erf = 1.0 + ops.erf(x)

    def gradient(*arguments, upstream=None):
        upstream = arguments[0] if upstream is None else upstream
        return upstream * (one_plus_erf + x * ops.exp(LOG_ERF_SLOPE - ops.square(x)))

    return x * one_plus_erf, gradient


def gelu(x):
    """x Phi(x), exact."""
    return SQRT_HALF * scaled_gelu(SQRT_HALF * x)


def two_layers(x, first: keras.layers.Dense, second: keras.layers.Dense):
    """second(gelu(first(x))) for x (N, D), with the constants of gelu in the weights."""
    hidden = biased(product(x, SQRT_HALF * first.kernel), SQRT_HALF * first.bias)
    return biased(restored(product(scaled_gelu(hidden), SQRT_HALF * second.kernel)), second.bias)


@dataclass(frozen=True)
class Slots:
    """The slots of a batch of jets.

    mask (B, S, 1): 1 real, 0 padded; weight (B or 1, S): number of slots that each represents, None
    if all are one; own_neighbour: padded slots are their own neighbours, as where one represents
    many; masked: padded slots change nothing.
    """

    mask: Any
    weight: Any = None
    own_neighbour: bool = False
    masked: bool = False

    def with_token(self) -> "Slots":
        """The same slots with a class token of weight one in front."""
        token = ops.ones_like(self.mask[:, :1])
        weight = self.weight
        if weight is not None:
            weight = ops.concatenate([ops.ones_like(weight[:, :1]), weight], axis=1)
        return Slots(ops.concatenate([token, self.mask], axis=1), weight)

    def together(self, jets: int) -> "Slots":
        """The slots of `jets` consecutive rows concatenated in one row."""
        mask = ops.reshape(self.mask, (-1, jets * ops.shape(self.mask)[1], 1))
        weight = self.weight
        if weight is not None and weight.shape[0] == 1:
            weight = ops.tile(weight, (1, jets))
        elif weight is not None:
            weight = mask[:, :, 0]
        return Slots(mask, weight, self.own_neighbour, self.masked)

    @property
    def attention_bias(self):
        """log(weight) per key, (B or 1, 1, 1, S): a key of weight w counts w times in softmax."""
        if self.weight is None:
            return None
        bias = ops.where(self.weight > 0, ops.log(ops.maximum(self.weight, 1e-9)), NEVER)
        return bias[:, None, None, :]


def dense(inputs: int, units: int, name: str, bias: bool = True) -> keras.layers.Dense:
    """A built layer from vectors of `inputs` numbers to vectors of `units`."""
    layer = keras.layers.Dense(units, use_bias=bias, name=name)
    layer.build((None, inputs))
    return layer


class JetNormalization(keras.layers.Layer):
    """Group normalisation with one group: mean and variance over slots and channels together."""

    def __init__(self, dim: int, **kwargs):
        super().__init__(**kwargs)
        self.gamma = self.add_weight(shape=(dim,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(dim,), initializer="zeros", name="beta")
        self.built = True

    def call(self, x, weight=None):
        """x (B, S, D), weight (B or 1, S) or None -> (B, S, D)."""
        mean = weighted_mean(ops.mean(x, axis=-1), weight)  # (B, 1, 1)
        variance = weighted_mean(ops.mean(ops.square(x - mean), axis=-1), weight)
        scale = ops.rsqrt(variance + NORM_EPSILON) * self.gamma
        return x * scale + (self.beta - mean * scale)


def weighted_mean(values, weight):
    """Mean of values (B, S) over slots with weight (B or 1, S) or None -> (B, 1, 1)."""
    if weight is None:
        mean = ops.mean(values, axis=-1)
    else:
        total = ops.sum(weight, axis=-1)
        mean = ops.sum(values * weight, axis=-1) / ops.maximum(total, 1.0)
    return mean[:, None, None]


class LayerScale(keras.layers.Layer):
    """One trainable factor per channel, small at the start (arXiv:2103.17239, Eq. 3)."""

    def __init__(self, dim: int, initial: float, **kwargs):
        super().__init__(**kwargs)
        start = keras.initializers.Constant(initial)
        self.gamma = self.add_weight(shape=(dim,), initializer=start, name="gamma")
        self.built = True

    def call(self, x):
        return x * self.gamma


class Projection(keras.layers.Layer):
    """Kernel and bias of one attention projection, stored as (D, H, D/H) or (H, D/H, D).

    bias_shape None: there is no bias.
    """

    def __init__(self, kernel_shape, bias_shape, **kwargs):
        super().__init__(**kwargs)
        self.kernel = self.add_weight(
            shape=kernel_shape, initializer="glorot_uniform", name="kernel"
        )
        if bias_shape is not None:
            self.bias = self.add_weight(shape=bias_shape, initializer="zeros", name="bias")
        self.built = True


class Attention(keras.layers.Layer):
    """Multi-head attention with scale 1/sqrt(D/H).

    offsets: query, key and value have biases, as in PET; the output always has one.
    """

    def __init__(self, dim: int, heads: int, offsets: bool = True, **kwargs):
        super().__init__(**kwargs)
        if dim % heads:
            raise ValueError(f"projection_dim {dim} is not a multiple of num_heads {heads}")
        self.dim, self.heads, self.head_dim = dim, heads, dim // heads
        self.offsets = offsets
        split = (dim, heads, self.head_dim)
        bias_shape = split[1:] if offsets else None
        self.query = Projection(split, bias_shape, name="query")
        self.key = Projection(split, bias_shape, name="key")
        self.value = Projection(split, bias_shape, name="value")
        self.attention_output = Projection((*split[1:], dim), (dim,), name="attention_output")
        self.built = True

    def call(self, x, bias=None, drop=None):
        """Self-attention of x (B, S, D), with bias (B or 1, 1, 1 or S, S) on the logits.

        A bias with a row per query can hide keys from some queries, as a causal mask does.
        drop: dropout of the attention shares in training.
        """
        return self.attended(*self.projected(x), bias, drop)

    def projected(self, x):
        """Query, key and value of every slot: x (B, S, D) -> three times (B, H, S, D/H)."""
        parts = (self.query, self.key, self.value)
        kernel = [ops.reshape(part.kernel, (self.dim, self.dim)) for part in parts]
        flat = ops.reshape(x, (-1, self.dim))  # (B S, D): product and bias become one operation
        fused = product(flat, ops.concatenate(kernel, axis=1))
        if self.offsets:
            offset = [ops.reshape(part.bias, (self.dim,)) for part in parts]
            fused = biased(fused, ops.concatenate(offset))
        split = (-1, ops.shape(x)[1], self.heads, self.head_dim)
        return [
            ops.transpose(ops.reshape(part, split), (0, 2, 1, 3))  # (B, H, S, D/H)
            for part in ops.split(fused, 3, axis=-1)
        ]

    def attended(self, query, key, value, bias=None, drop=None):
        """query (B, H, Q, D/H), key and value (B, H, S, D/H) -> (B, Q, D)."""
        shares = attention_shares(self.logits(query, key), bias)
        mixed = product(drop(shares) if drop else shares, value)  # (B, H, Q, D/H)
        return self.project(ops.transpose(mixed, (0, 2, 1, 3)), ops.shape(query)[2])

    def logits(self, query, key):
        """query (B, H, Q, D/H) and key (B, H, S, D/H) -> (B, H, Q, S), scaled."""
        return restored(product(query * self.head_dim**-0.5, ops.transpose(key, (0, 1, 3, 2))))

    def attended_parts(self, query, parts, bias):
        """The same over the slots of all parts, (key, value) each, which are not copied together.

        bias (B or 1, 1, 1 or Q, slots of all parts).
        """
        logits = [self.logits(query, key) for key, _ in parts]
        shares = attention_shares(ops.concatenate(logits, axis=-1), bias)
        mixed, first = 0.0, 0  # (B, H, Q, D/H)
        for key, value in parts:
            behind = first + key.shape[2]
            mixed, first = mixed + product(shares[..., first:behind], value), behind
        return self.project(ops.transpose(mixed, (0, 2, 1, 3)), ops.shape(query)[2])

    def token(self, x, bias=None):
        """Attention of slot 0 to all slots: x (B, S, D) -> (B, 1, D).

        Keys and values are not computed per slot: q.(W x_j + b) = (W^T q).x_j + q.b, whose last
        term is the same for all keys and drops out of the softmax; the values are projected after
        they are averaged.
        """
        query = ops.einsum("bd,dhk->bhk", x[:, 0], self.query.kernel) + self.query.bias
        query = ops.einsum("bhk,dhk->bhd", query * self.head_dim**-0.5, self.key.kernel)  # W^T q
        logits = restored(product(query, ops.transpose(x, (0, 2, 1))))[:, :, None]  # (B, H, 1, S)
        mean = restored(product(attention_shares(logits, bias)[:, :, 0], x))  # (B, H, D)
        mixed = ops.einsum("bhd,dhk->bhk", mean, self.value.kernel) + self.value.bias
        return self.project(mixed, 1)

    def project(self, mixed, slots):
        """The heads' outputs, (B, S, H, D/H) in memory, projected to (B, S, D)."""
        kernel = ops.reshape(self.attention_output.kernel, (self.dim, self.dim))
        flat = restored(product(ops.reshape(mixed, (-1, self.dim)), kernel))
        return ops.reshape(biased(flat, self.attention_output.bias), (-1, slots, self.dim))


def attention_shares(logits, bias):
    """softmax over keys of logits (B, H, Q, S) plus log-weights (B or 1, 1, 1, S)."""
    return ops.softmax(logits if bias is None else logits + bias, axis=-1)


class FeedForward(keras.layers.Layer):
    """Dense 2D, gelu, Dense D; with a second gelu for the embedding of the constituents."""

    def __init__(self, in_dim: int, dim: int, last_gelu: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.last_gelu = last_gelu
        self.first = dense(in_dim, 2 * dim, "first")
        self.second = dense(2 * dim, dim, "second")
        self.built = True

    def call(self, x):
        flat = two_layers(ops.reshape(x, (-1, x.shape[-1])), self.first, self.second)
        x = ops.reshape(flat, (-1, ops.shape(x)[1], flat.shape[-1]))
        return gelu(x) if self.last_gelu else x


class LocalEncoding(keras.layers.Layer):
    """Edge convolution over the k nearest neighbours (arXiv:1801.07829).

    The first layer acts on [f_j - f_i, f_i]; before its gelu it is linear, so it is computed once
    per slot: W [f_j - f_i, f_i] = W_a f_j + (W_b - W_a) f_i.
    """

    def __init__(self, in_dim: int, dim: int, neighbours: int, **kwargs):
        super().__init__(**kwargs)
        self.in_dim, self.dim, self.neighbours = in_dim, dim, neighbours
        self.first = dense(2 * in_dim, 2 * dim, "first")
        self.second = dense(2 * dim, dim, "second")
        self.built = True

    def call(self, coordinates, features, slots: Slots):
        """coordinates (B, S, C), features (B, S, F) -> (B, S, D), the mean over neighbours."""
        nearest = nearest_slots(coordinates, slots, self.neighbours)  # (B, S, K)
        kernel, bias = SQRT_HALF * self.first.kernel, SQRT_HALF * self.first.bias
        of_neighbour, of_self = kernel[: self.in_dim], kernel[self.in_dim :]
        centre = biased(ops.matmul(features, of_self - of_neighbour), bias)
        # in float32, for neighbours differ little
        hidden = reduced(take(ops.matmul(features, of_neighbour), nearest) + centre[:, :, None])
        flat = ops.reshape(scaled_gelu(hidden), (-1, 2 * self.dim))  # (B S K, 2D)
        flat = biased(product(flat, 0.5 * self.second.kernel), SQRT_HALF * self.second.bias)
        flat = restored(scaled_gelu(flat))
        edges = ops.reshape(flat, (*ops.shape(nearest), self.dim))  # (B, S, K, D)
        if not slots.masked:
            return SQRT_HALF * ops.mean(edges, axis=2)
        real = take(slots.mask, nearest)  # (B, S, K, 1)
        mean = ops.sum(edges * real, axis=2) / ops.maximum(ops.sum(real, axis=2), 1.0)
        return SQRT_HALF * mean


def nearest_slots(coordinates, slots: Slots, neighbours: int):
    """Indices (B, S, K) of the nearest slots without the first, which is the slot itself."""
    shifted = coordinates + FAR_AWAY * (1.0 - slots.mask)
    square = ops.sum(ops.square(shifted), axis=-1, keepdims=True)  # (B, S, 1)
    product = ops.matmul(shifted, ops.transpose(shifted, (0, 2, 1)))
    distance = square - 2 * product + ops.transpose(square, (0, 2, 1)) + DISTANCE_OFFSET
    nearest = ops.top_k(-distance, neighbours + 1)[1][:, :, 1:]
    if slots.own_neighbour:
        itself = ops.arange(ops.shape(nearest)[1], dtype=nearest.dtype)[None, :, None]
        nearest = ops.where(slots.mask > 0, nearest, itself)
    return nearest


def take(values, indices):
    """values (B, S, D) at indices (B, S, K) -> (B, S, K, D)."""
    jets, slots, channels = ops.shape(values)
    first = ops.arange(jets, dtype=indices.dtype)[:, None, None] * slots
    flat = ops.reshape(values, (-1, channels))
    return ops.take(flat, first + indices, axis=0)
