"""Mixed precision: matrix products of bfloat16 in a network whose weights are float32.

With "bfloat16" the products over constituents and edges, and elementwise operations between two
products, have 8 bits of mantissa; on a GPU they are fast and take half of the memory. All else is
float32: weights, optimiser, normalisations, softmax, residual sums, losses, operations once per
jet, the last layers of the heads, coordinates and distances of the neighbour search, and the
differences of neighbours in an edge. Precision is a setting of the training, not of the
architecture; checkpoints hold the same arrays with both.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras
from keras import ops

FULL, REDUCED = "float32", "bfloat16"
_of_products = ContextVar("precision of products", default=FULL)


def in_precision(function: Callable, precision: str) -> Callable:
    """The function with the products of all layers that it calls in "float32" or "bfloat16".

    Layers read the precision while they are called; a graph keeps that of its tracing.
    """

    def call(*arguments):
        token = _of_products.set(precision)
        try:
            return function(*arguments)
        finally:
            _of_products.reset(token)

    return call


@contextmanager
def float32_layers() -> Iterator[None]:
    """Layers that are made within are float32, also where a notebook has set another policy."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(FULL)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def reduced(x):
    """x in the precision of products: unchanged, or rounded to bfloat16."""
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
    """x (..., D) + bias (D,) in the precision of x."""
    return with_bias(x, reduced(bias)) if is_reduced(x) else ops.add(x, bias)


@ops.custom_gradient
def with_bias(x, bias):
    """x (..., D) + bias (D,), both bfloat16.

    The gradient of the bias is a product with ones, because products are summed in float32; a sum
    in bfloat16 stops growing at 256 times a term.
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
