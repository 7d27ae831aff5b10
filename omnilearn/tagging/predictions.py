"""Predictions stored in a run directory, for evaluation without the model and the data."""

from pathlib import Path

import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import array, atomic_file, stored_file
from omnilearn.hdf5_sums import attributes

ARRAYS = ("logits", "label", "weight", "index")


def write_predictions(path: Path, predicted: dict[str, np.ndarray], about: dict[str, str]) -> None:
    """Write logits (N, C), label, weight, index in the split (N,), and any other arrays (N,).

    `about` describes run and data and is stored as attributes of the file.
    """
    with atomic_file(path) as file:
        for name in dict.fromkeys((*ARRAYS, *predicted)):
            file[name] = predicted[name]
        file.attrs.update(about)


def read_predictions(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the description that `write_predictions` wrote.

    Raises UserError with the file, and the array if it is missing or has a wrong shape.
    """
    mend = f"make it again with: python evaluate.py {path.parent}"
    with stored_file(path, "a file of predictions", mend) as file:
        arrays = {name: array(file, name) for name in dict.fromkeys((*ARRAYS, *file))}
        about = {key: str(value) for key, value in attributes(file).items()}
    jets = arrays["index"].size
    for name, values in arrays.items():
        if values.ndim != 1 + (name == "logits") or len(values) != jets:
            raise UserError(
                f"{path}: {name!r} has shape {values.shape}, expected one row for each of "
                f"{jets} jets; {mend}"
            )
    return arrays, about
