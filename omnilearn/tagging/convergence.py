"""Epochs that a training needs to reach a loss: fine-tuning against training from scratch."""

from collections.abc import Sequence

import numpy as np

from omnilearn.errors import UserError


def epochs_needed(validation_losses: Sequence[float], target: float) -> int | None:
    """First epoch, counted from 1, whose validation loss is at or below `target`; None if never.

    arXiv:2502.14652, Sections III to V, takes the best loss of the training from scratch as the
    target. Raises UserError if a loss or the target is not finite.
    """
    losses = np.asarray(validation_losses, dtype=np.float64)
    if not np.isfinite(target) or not np.all(np.isfinite(losses)):
        raise UserError(
            "a validation loss or the target loss is not finite, so epochs cannot be "
            "compared; look for the NaN in the training history"
        )
    reached = np.flatnonzero(losses <= target)
    return int(reached[0]) + 1 if reached.size else None
