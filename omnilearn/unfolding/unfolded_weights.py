"""The result of an unfolding as it is published: one weight per simulated event, self-described."""

import json
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import array, atomic_file, attributes, stored_file

FORMAT, FORMAT_VERSION = "omnilearn-unfolded-weights", 2
ARRAYS = ("weight", "event_weight", "passes_reco", "passes_gen", "file", "row")


def write_weights(path: Path, arrays: dict[str, np.ndarray], about: dict) -> None:
    """Write the arrays of simulated events, each (S,), and `about` as attributes.

    weight: what the unfolding multiplies event_weight by; file, row: where the event stands in
    the inputs; replicas (R, S) and trainings (T, S), if any: the weights of bootstrap replicas of
    data and simulation, and of trainings with other seeds, in place of `weight`. They contain how
    often an event was drawn. Lists and dictionaries of `about` are JSON.
    """
    with atomic_file(path) as file:
        for name, values in arrays.items():
            file[name] = values
        file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION})
        for key, value in about.items():
            file.attrs[key] = json.dumps(value) if isinstance(value, dict | list) else value


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """What `write_weights` wrote; raises UserError naming the file and what is missing."""
    mend = "make it again with: python finetune.py omnifold"
    with stored_file(path, "a file of weights", mend) as file:
        about = attributes(file)
        arrays = {name: array(file, name) for name in file}
    if about.get("format") != FORMAT:
        raise UserError(f"{path} is HDF5 but no file of unfolded weights; {mend}")
    if about.get("format_version") != FORMAT_VERSION:
        raise UserError(
            f"{path} has version {about.get('format_version')} of unfolded weights, expected "
            f"{FORMAT_VERSION}: weights were not cross-fitted before; {mend}"
        )
    for name in ARRAYS:
        if name not in arrays:
            raise UserError(f"{path}: no {name!r} among its keys; {mend}")
    return arrays, about
