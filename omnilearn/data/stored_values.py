"""What is looked for in numbers as they are stored: filled slots, and values that are none."""

from pathlib import Path

import numpy as np

from omnilearn.errors import UserError


def filled_slots(data: np.ndarray) -> np.ndarray:
    """Slots (n, P) with any feature that is not zero."""
    return (data != 0).any(axis=-1)


def move_to_front(data: np.ndarray) -> None:
    """Close the gaps between filled slots in place, keeping their order."""
    filled = filled_slots(data)
    if (filled[:, 1:] > filled[:, :-1]).any():
        order = np.argsort(~filled, axis=1, kind="stable")
        data[...] = np.take_along_axis(data, order[..., None], axis=1)


def check_finite(values: np.ndarray, path: Path, key: str, start: int) -> None:
    # one pass that a NaN or an infinity survives; where it is, is looked up only then
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(np.sum(values)):
            return
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, *place = bad[0].tolist()
        raise UserError(
            f"{path}: {key!r} is {values[tuple(bad[0])]} in row {start + row} (element {place}), "
            f"expected finite numbers; {len(bad)} such values among these {len(values)} rows"
        )
