"""Undo a user's settings of Keras for other work, before Keras is loaded.

~/.keras/keras.json or the shell may set another backend or half precision. Keras loads matplotlib,
which raises for a backend that only the kernel of a notebook has.
"""

import importlib.util
import os

from omnilearn.errors import UserError

OURS = {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": os.devnull,  # so that no keras.json is read
}
UNSET = (
    "TF_USE_LEGACY_KERAS",  # would give Horovod Keras 2
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
)

os.environ.update(OURS)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # start-up messages of TensorFlow
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
for name in UNSET:
    os.environ.pop(name, None)

backend = os.environ.get("MPLBACKEND", "")
if backend.startswith("module://"):
    package = backend.removeprefix("module://").partition(".")[0]
    if importlib.util.find_spec(package) is None:
        del os.environ["MPLBACKEND"]


def uses_xla() -> bool:
    """Whether XLA compiles the graphs, as with OMNILEARN_XLA=1; UserError unless it is 0 or 1."""
    value = os.environ.get("OMNILEARN_XLA", "0")
    if value not in ("0", "1"):
        raise UserError(f"OMNILEARN_XLA is {value!r}; expected 0 or 1, or unset")
    return value == "1"
