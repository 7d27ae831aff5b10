"""Undo a user's settings of Keras and matplotlib for other work, before the two are loaded.

Every command imports this first. A notebook sets a matplotlib backend that only its kernel has, a
matplotlibrc may ask for LaTeX. `omnilearn.api`, which is used in notebooks and draws nothing, does
not change matplotlib.
"""

import os

import omnilearn.keras_settings  # noqa: F401 - sets those of Keras

os.environ["MATPLOTLIBRC"] = os.devnull  # the defaults of matplotlib
os.environ["MPLBACKEND"] = "agg"
