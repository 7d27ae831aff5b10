"""Compiled functions and gradients; the only file that names TensorFlow's tape.

Tracing a graph costs seconds, so batches of all shortened lengths share one with an open number of
slots, and the full length has its own (see `model.pet.PET.slots`). Where XLA compiles the graphs
(`uses_xla`), every length has its own.
"""

import os
from collections.abc import Callable

import tensorflow as tf

from omnilearn.errors import UserError
from omnilearn.model.precision import FULL, in_precision

# Rewritings of graphs that add gradients in the order in which they arrive change the last bit of a
# sum from call to call, and Lion's sign makes a whole step of it. "remapping" fuses products with
# what follows them where there are no gradients; that made the inference of the token models twelve
# times slower (oneDNN, TensorFlow 2.18.1), and that of PET no faster. On CPUs all rewritings are
# off: that costs nothing (docs/performance.md) and makes a training the same bit for bit.
tf.config.optimizer.set_experimental_options(
    {
        "arithmetic_optimization": False,
        "remapping": False,
        "disable_meta_optimizer": not tf.config.list_physical_devices("GPU"),
    }
)

PER_SLOT = ("constituents", "mask", "noise", "code")  # arrays of a batch whose axis 1 counts slots


def uses_xla() -> bool:
    """Does XLA fuse the graphs, as OMNILEARN_XLA=1 asks for; raises UserError but for 0 and 1."""
    asked = os.environ.get("OMNILEARN_XLA", "0")
    if asked not in ("0", "1"):
        raise UserError(f"OMNILEARN_XLA is {asked!r}; expected 0 or 1, or unset")
    return asked == "1"


def gpu_name() -> str:
    """The first GPU that TensorFlow sees, or nothing."""
    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(found[0])["device_name"] if found else ""


def has_tf32() -> bool:
    """Is there a GPU with fast products of TF32 and bfloat16 (compute capability 8.0 on)?"""
    found = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(found[0]) if found else {}
    return details.get("compute_capability", (0, 0)) >= (8, 0)


def allow_tf32(allowed: bool) -> None:
    """May float32 products keep 10 bits of mantissa, on GPUs that are faster at it?

    TensorFlow's default is yes. Near neighbours may then change places.
    """
    tf.config.experimental.enable_tensor_float_32_execution(allowed)


def forget_peak_memory() -> None:
    """Count the device's peak memory anew, from what is allocated now."""
    if gpu_name():
        tf.config.experimental.reset_memory_stats("GPU:0")


def peak_memory() -> int | None:
    """Bytes of the first GPU that tensors took at most since it was forgotten; None without one."""
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpu_name() else None


def compiled(
    function: Callable, signature: Callable = lambda *arguments: arguments, xla: bool = False
) -> Callable:
    """The function as a graph of its own for every set of names and shapes it is called with.

    `signature` turns the arguments into those the graph is traced with, the same where absent.
    `xla` fuses it; functions that talk to other ranks cannot be.
    """
    graphs: dict[str, Callable] = {}

    def call(*arguments):
        wanted = signature(*arguments)
        key = str(tf.nest.map_structure(lambda leaf: tuple(leaf.shape), wanted))
        if key not in graphs:
            graph = tf.function(function, autograph=False, jit_compile=xla)
            graphs[key] = graph.get_concrete_function(*wanted)
        return graphs[key](*arguments)

    return call


def compiled_for_batches(function: Callable, slots: int, precision: str = FULL) -> Callable:
    """A function of a batch (a dict) as two graphs: for `slots` slots, and for any fewer.

    With XLA as one for each number of slots. `precision` is that of products (`model.precision`);
    where they are not float32, those that stay so are exact: TF32 ends for the process.
    """
    xla = uses_xla()
    if precision != FULL:
        allow_tf32(False)

    def signature(batch: dict) -> tuple[dict[str, tf.TensorSpec]]:
        is_open = batch["mask"].shape[1] != slots and not xla
        specs = {}
        for name, value in batch.items():
            shape = list(value.shape)
            if is_open and name in PER_SLOT:
                shape[1] = None
            specs[name] = tf.TensorSpec(shape, value.dtype)
        return (specs,)

    return compiled(in_precision(function, precision), signature, xla)


def traced_for_jets(function: Callable, shapes: dict[str, tuple]) -> tuple[Callable, list]:
    """A function of float32 arrays (B, *shape) by name as a graph for any B, and its signature."""
    signature = [
        tf.TensorSpec((None, *shape), tf.float32, name=name) for name, shape in shapes.items()
    ]
    return tf.function(function, input_signature=signature, autograph=False), signature


def with_gradients(losses: Callable[[dict], dict], variables: list) -> Callable:
    """batch -> (terms, gradients), for the given Keras variables.

    The gradients are those of terms["objective"] where there is one, else of terms["loss"].
    """

    def terms_and_gradients(batch):
        with tf.GradientTape() as tape:
            terms = losses(batch)
        gradients = tape.gradient(
            terms.get("objective", terms["loss"]),
            [variable.value for variable in variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return terms, [tf.convert_to_tensor(gradient) for gradient in gradients]

    return terms_and_gradients
