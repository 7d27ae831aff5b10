"""A user's settings for other work do not change ours: undone before Keras and matplotlib load.

Every command imports this first. A notebook may ask for a backend of matplotlib that its kernel
alone has, matplotlibrc for LaTeX. `omnilearn.api`, which is used in notebooks and draws nothing,
leaves matplotlib alone.
"""

import os

import omnilearn.keras_settings  # noqa: F401 - sets those of Keras

os.environ["MATPLOTLIBRC"] = os.devnull  # where matplotlibrc is looked for: the defaults hold
os.environ["MPLBACKEND"] = "agg"
