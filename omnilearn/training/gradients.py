"""Compiled functions and gradients, with TensorFlow.

Tracing a graph costs seconds, so batches of all shortened lengths share one graph with an open
number of slots, and the full length has another (see `model.pet.PET.slots`). With XLA
(`uses_xla`), every length has its own graph.
"""

from collections.abc import Callable

import tensorflow as tf

from omnilearn.keras_settings import uses_xla
from omnilearn.model.precision import FULL, in_precision

# Optimised graphs may add gradients in varying order, which changes the last bit of a sum between
# calls; the sign in Lion makes that a full step. "remapping" fuses products with the operations
# after them where there are no gradients; it made the inference of the token models twelve times
# slower (oneDNN, TensorFlow 2.18.1), and that of PET no faster. On CPUs all optimisations are off:
# it costs nothing (docs/performance.md) and makes a training reproducible bit for bit.
tf.config.optimizer.set_experimental_options(
    {
        "arithmetic_optimization": False,
        "remapping": False,
        "disable_meta_optimizer": not tf.config.list_physical_devices("GPU"),
    }
)

PER_SLOT = ("constituents", "mask", "noise", "code")  # arrays of a batch whose axis 1 counts slots


def gpu_name() -> str:
    """The name of the first GPU of TensorFlow, or an empty text."""
    return gpu_details().get("device_name", "")


def has_tf32() -> bool:
    """Whether there is a GPU with fast products of TF32 and bfloat16 (compute capability 8.0)."""
    return gpu_details().get("compute_capability", (0, 0)) >= (8, 0)


def gpu_details() -> dict:
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]) if gpus else {}


def allow_tf32(allowed: bool) -> None:
    """Allow float32 products with 10 bits of mantissa on GPUs where these are faster.

    TensorFlow allows them by default. The order of near neighbours may then change.
    """
    tf.config.experimental.enable_tensor_float_32_execution(allowed)


def forget_peak_memory() -> None:
    """Restart the count of the peak memory of the device."""
    if gpu_name():
        tf.config.experimental.reset_memory_stats("GPU:0")


def peak_memory() -> int | None:
    """Peak bytes of tensors on the first GPU since the last restart; None without a GPU."""
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpu_name() else None


def compiled(
    function: Callable, signature: Callable = lambda *arguments: arguments, xla: bool = False
) -> Callable:
    """The function with one graph for every set of names and shapes that it is called with.

    signature: turns the arguments into those that the graph is traced with. xla: compile with XLA,
    which is impossible for functions that communicate with other ranks.
    """
    graphs: dict[str, Callable] = {}

    def call(*arguments):
        traced = signature(*arguments)
        key = str(tf.nest.map_structure(lambda leaf: tuple(leaf.shape), traced))
        if key not in graphs:
            graph = tf.function(function, autograph=False, jit_compile=xla)
            graphs[key] = graph.get_concrete_function(*traced)
        return graphs[key](*arguments)

    return call


def compiled_for_batches(
    function: Callable, slots: int, precision: str = FULL, any_size: bool = False
) -> Callable:
    """A function of a batch (a dict) as two graphs: for `slots` slots, and for any fewer.

    With XLA, one graph for each number of slots. precision: of products (`model.precision`); with
    "bfloat16", TF32 is switched off in this process so that the other products are exact. any_size:
    the same graphs for any number of jets (without XLA), of which every array has one row each.
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
            if any_size and not xla:
                shape[0] = None
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
