"""Predictions of a run, kept beside it: evaluation is repeatable without model and data."""

from pathlib import Path

import h5py
import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import atomic_file, attributes, open_for_reading

ARRAYS = ("logits", "label", "weight", "index")


def write_predictions(path: Path, predicted: dict[str, np.ndarray], about: dict[str, str]) -> None:
    """Write logits (N, C), label, weight, index (N,), the row of each jet, and what made them.

    Whatever else is predicted or known of each jet (N,) is kept too.
    """
    with atomic_file(path) as file:
        for name in (*ARRAYS, *(name for name in predicted if name not in ARRAYS)):
            file[name] = predicted[name]
        file.attrs.update(about)


def read_predictions(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the description that `write_predictions` wrote.

    Raises UserError naming the file, and the array that is missing or of another length.
    """
    mend = f"make it again with: python evaluate.py {path.parent}"
    try:
        with open_for_reading(path) as file:
            found = {name: array[()] for name, array in file.items()
                     if isinstance(array, h5py.Dataset)}  # fmt: skip
            about = {key: str(value) for key, value in attributes(file).items()}
    except OSError as error:
        raise UserError(f"{path}: no readable file of predictions ({error}); {mend}") from error
    for name in ARRAYS:
        if name not in found:
            raise UserError(f"{path}: no {name!r} among its keys; {mend}")
    for name in found:
        if found[name].ndim != 1 + (name == "logits") or len(found[name]) != len(found["index"]):
            raise UserError(f"{path}: {name!r} has shape {found[name].shape}, one row per jet of "
                            f"{len(found['index'])} expected; {mend}")  # fmt: skip
    return found, about
