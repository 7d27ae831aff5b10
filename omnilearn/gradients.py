"""Loss and gradients of a batch as one compiled function; the only file that names TensorFlow's tape.

One function is traced per batch shape: the pipeline offers a handful of padded lengths.
"""

from collections.abc import Callable

import tensorflow as tf


def compiled_gradients(losses: Callable[[dict], dict], variables: list) -> Callable:
    """batch -> (terms, gradients of terms["loss"]), for the given Keras variables."""

    @tf.function
    def terms_and_gradients(batch):
        with tf.GradientTape() as tape:
            terms = losses(batch)
        gradients = tape.gradient(terms["loss"], [variable.value for variable in variables])
        dense = [
            tf.zeros_like(variable.value) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        return terms, dense

    return terms_and_gradients


def compiled(function: Callable) -> Callable:
    """The function as a graph, traced once per shape of its arrays."""
    return tf.function(function)
