"""A user's settings for other work do not change ours: undone before Keras and matplotlib load.

Every command imports this first. ~/.keras/keras.json may ask for another backend or for half
precision, a notebook for a backend of matplotlib that its kernel alone has, matplotlibrc for LaTeX.
"""

import os

OURS = {
    "KERAS_BACKEND": "tensorflow",
    # where keras.json and matplotlibrc are looked for: there are none, so the defaults hold
    "KERAS_HOME": os.devnull,
    "MATPLOTLIBRC": os.devnull,
    "MPLBACKEND": "agg",
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
