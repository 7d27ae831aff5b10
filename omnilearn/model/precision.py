"""Mixed precision: matrix products of bfloat16 in a network whose weights are float32.

With "bfloat16" the products over constituents and edges, and what is elementwise between two of
them, have 8 bits of mantissa; on a GPU they are fast and take half of the memory. All else stays
float32: weights, optimiser, normalisations, softmax, residual sums, losses, what is computed once
per jet, the heads' last layers, coordinates and distances of the neighbour search, and the
differences of neighbours that enter an edge. Precision belongs to a training, not to the
architecture: a checkpoint holds the same arrays either way.
"""

from collections.abc import Callable
from contextvars import ContextVar

import keras
from keras import ops

FULL, REDUCED = "float32", "bfloat16"
_of_products = ContextVar("precision of products", default=FULL)


def in_precision(function: Callable, precision: str) -> Callable:
    """The function with the products of all layers it calls in "float32" or "bfloat16".

    Layers ask while they are called, so a graph keeps the precision it was traced in.
    """

    def call(*arguments):
        token = _of_products.set(precision)
        try:
            return function(*arguments)
        finally:
            _of_products.reset(token)

    return call


def reduced(x):
    """x in the precision of products: as it is, or rounded to bfloat16."""
    return x if _of_products.get() == FULL else ops.cast(x, REDUCED)


def restored(x):
    """x in float32."""
    return ops.cast(x, FULL) if is_reduced(x) else x


def is_reduced(x) -> bool:
    return keras.backend.standardize_dtype(x.dtype) == REDUCED


def product(a, b):
    """Matrix product of a (..., M, N) and b (N, K) or (..., N, K), in the precision of products."""
    return ops.matmul(reduced(a), reduced(b))


def biased(x, bias):
    """x (..., D) + bias (D,) in the precision of x; TensorFlow sums the bias's gradient quickly."""
    return with_bias(x, reduced(bias)) if is_reduced(x) else ops.add(x, bias)


@ops.custom_gradient
def with_bias(x, bias):
    """x (..., D) + bias (D,), both bfloat16.

    The gradient of the bias is a product with ones: products sum in float32, other sums over so
    many rows would stop to grow at 256 times a term.
    """

    def gradient(*arguments, upstream=None):
        upstream = arguments[0] if upstream is None else upstream
        rows = ops.reshape(upstream, (-1, upstream.shape[-1]))
        ones = ops.transpose(ops.ones_like(rows[:, :1]))
        return upstream, ops.matmul(ones, rows)[0]

    return x + bias, gradient


def applied(layer: keras.layers.Dense, x):
    """layer(x) of a Dense layer without activation, in the precision of products."""
    if _of_products.get() == FULL:
        return layer(x)
    return biased(product(x, layer.kernel), layer.bias)
