"""Checks of stored numbers: filled slots, classes, values that are not finite."""

from pathlib import Path

import numpy as np

from omnilearn.data.layout import remedy
from omnilearn.data.spec import FEATURES, DatasetSpec
from omnilearn.errors import UserError

DELTA_R = FEATURES.index("delta_r")


def filled_slots(data: np.ndarray) -> np.ndarray:
    """Slots (n, P) with any feature that is not zero."""
    return (data != 0).any(axis=-1)


def count_filled(data: np.ndarray, path: Path, key: str, rows: np.ndarray) -> np.ndarray:
    """Filled slots (n,) of these rows, from their features (n, P, F).

    Raises UserError for a slot at a negative distance from the jet, which would count as filled.
    """
    delta_r = data[..., DELTA_R:][..., :1]
    wrong = (delta_r < 0).any(axis=(1, 2))
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"{path}: {key!r} has a delta_r of {delta_r[row].min():g} in row {rows[row]}, "
            "expected 0 or more, and zeros in empty slots; write the features without fillers such "
            "as -999, and not standardised"
        )
    return filled_slots(data).sum(axis=1)


def move_to_front(data: np.ndarray) -> None:
    """Close the gaps between filled slots in place, keeping their order."""
    filled = filled_slots(data)
    if (filled[:, 1:] > filled[:, :-1]).any():
        order = np.argsort(~filled, axis=1, kind="stable")
        data[...] = np.take_along_axis(data, order[..., None], axis=1)


def check_finite(values: np.ndarray, path: Path, key: str, start: int) -> None:
    # the sum keeps any NaN or infinity, in one pass; only then is its place looked up
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(np.sum(values)):
            return
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, *element = bad[0].tolist()
        raise UserError(
            f"{path}: {key!r} is {values[tuple(bad[0])]} in row {start + row} (element {element}), "
            f"expected finite numbers; {len(bad)} such values among these {len(values)} rows"
        )


def one_hot(pid: np.ndarray, spec: DatasetSpec, path: Path, start: int) -> np.ndarray:
    """Labels (n, C), from (n,) class numbers or (n, C) as they are.

    Raises UserError naming file, row and classes of a value that is no class.
    """
    if pid.ndim == 1:
        label = (pid[:, None] == np.arange(spec.num_classes)).astype(np.float32)
    else:
        label = pid * np.isin(pid, (0, 1))
    wrong = label.sum(axis=1) != 1
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(
            f"{path}: 'pid' is {pid[row].tolist()} in row {start + row}, {spec.name} has "
            f"classes 0 to {spec.num_classes - 1} ({', '.join(spec.class_names)}), {remedy(spec)}"
        )
    return label
