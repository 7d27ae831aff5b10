"""A user's settings of Keras for other work do not change ours: undone before Keras is loaded.

~/.keras/keras.json or the shell may ask for another backend or for half precision. Keras loads
matplotlib, which refuses a backend that the kernel of a notebook alone has.
"""

import importlib.util
import os

OURS = {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": os.devnull,  # where keras.json is looked for: there is none
}
UNSET = (
    "TF_USE_LEGACY_KERAS",  # Keras 2, which Horovod would be handed instead of Keras 3
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
)

os.environ.update(OURS)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # greetings of TensorFlow and its network
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
for name in UNSET:
    os.environ.pop(name, None)

backend = os.environ.get("MPLBACKEND", "")
if backend.startswith("module://"):
    package = backend.removeprefix("module://").partition(".")[0]
    if importlib.util.find_spec(package) is None:
        del os.environ["MPLBACKEND"]
