"""Predictions of a run, kept beside it: evaluation is repeatable without model and data."""

from pathlib import Path

import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import array, atomic_file, stored_file
from omnilearn.hdf5_sums import attributes

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
    with stored_file(path, "a file of predictions", mend) as file:
        found = {name: array(file, name) for name in dict.fromkeys((*ARRAYS, *file))}
        about = {key: str(value) for key, value in attributes(file).items()}
    for name in found:
        shape = found[name].shape
        if len(shape) != 1 + (name == "logits") or shape[0] != found["index"].size:
            raise UserError(
                f"{path}: {name!r} has shape {shape}, one row per jet of "
                f"{found['index'].size} expected; {mend}"
            )
    return found, about
