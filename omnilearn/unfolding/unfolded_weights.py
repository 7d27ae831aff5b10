"""The published result of an unfolding: a file of one weight per simulated event."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import array, atomic_file, stored_file
from omnilearn.hdf5_sums import attributes

FORMAT, FORMAT_VERSION = "omnilearn-unfolded-weights", 2
ARRAYS = ("weight", "event_weight", "passes_reco", "passes_gen", "file", "row")


@dataclass(frozen=True)
class UnfoldedWeights:
    """One weight per simulated event (S,), and the weights that give its uncertainty.

    A spectrum at particle level takes events of `passes_gen`, each with event_weight * weight; its
    spread over `replicas` is the statistical uncertainty, over `trainings` that of training.
    """

    weight: np.ndarray  # (S,) factor of event_weight
    event_weight: np.ndarray  # (S,) of the simulation
    passes_reco: np.ndarray  # (S,) bool: detector level accepts the event
    passes_gen: np.ndarray  # (S,) bool: particle level accepts it
    file: np.ndarray  # (S,) number of the input file, counted from 0
    row: np.ndarray  # (S,) row of the event in that file
    replicas: np.ndarray  # (R, S) in place of `weight`, of bootstrap replicas; R = 0 without any
    trainings: np.ndarray  # (T, S) in place of `weight`, of other seeds; T = 0 without any
    about: dict  # inputs, origin, level, versions and settings of the unfolding

    @staticmethod
    def read(path: Path) -> "UnfoldedWeights":
        """The content of a weights.h5; raises UserError as `read_weights`."""
        arrays, about = read_weights(path)
        empty = np.zeros((0, len(arrays["weight"])), arrays["weight"].dtype)
        arrays = {"replicas": empty, "trainings": empty, **arrays}
        for name in ("passes_reco", "passes_gen"):
            arrays[name] = arrays[name].astype(bool)
        names = (*ARRAYS, "replicas", "trainings")
        return UnfoldedWeights(**{name: arrays[name] for name in names}, about=about)


def write_weights(path: Path, arrays: dict[str, np.ndarray], about: dict) -> None:
    """Write the arrays of simulated events, each (S,), and `about` as attributes.

    The arrays are the fields of `UnfoldedWeights`; replicas (R, S) and trainings (T, S) are
    optional. Weights of a replica contain the counts of its events. Lists and dictionaries of
    `about` are stored as JSON.
    """
    with atomic_file(path) as file:
        for name, values in arrays.items():
            file[name] = values
        file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION})
        for key, value in about.items():
            file.attrs[key] = json.dumps(value) if isinstance(value, dict | list) else value


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and attributes of a weights.h5; raises UserError for other content."""
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
