"""Compiled functions and gradients; the only file that names TensorFlow's tape.

One graph is traced per set of array shapes: the pipeline offers a handful of padded lengths.
"""

from collections.abc import Callable

import tensorflow as tf


def compiled(function: Callable) -> Callable:
    """The function as a graph of its own for every set of shapes it is called with."""
    graphs: dict[tuple, Callable] = {}

    def call(*arguments):
        key = tuple(tuple(leaf.shape) for leaf in tf.nest.flatten(arguments))
        if key not in graphs:
            graph = tf.function(function, autograph=False)
            graphs[key] = graph.get_concrete_function(*arguments)
        return graphs[key](*arguments)

    return call


def compiled_gradients(losses: Callable[[dict], dict], variables: list) -> Callable:
    """batch -> (terms, gradients of terms["loss"]), for the given Keras variables."""

    def terms_and_gradients(batch):
        with tf.GradientTape() as tape:
            terms = losses(batch)
        gradients = tape.gradient(
            terms["loss"],
            [variable.value for variable in variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return terms, [tf.convert_to_tensor(gradient) for gradient in gradients]

    return compiled(terms_and_gradients)
