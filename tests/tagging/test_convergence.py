"""Epochs needed to reach a loss."""

import math

import pytest

from omnilearn.errors import UserError
from omnilearn.tagging.convergence import epochs_needed


def test_epochs_are_counted_from_one():
    assert epochs_needed([0.3, 0.2, 0.1], target=0.3) == 1
    assert epochs_needed([0.5, 0.4, 0.2, 0.3], target=0.25) == 3

    assert epochs_needed([0.5, 0.2, 0.3, 0.2], target=0.2) == 2


def test_a_loss_that_no_epoch_reaches_gives_none():
    assert epochs_needed([0.5, 0.4], target=0.3) is None
    assert epochs_needed([], target=0.3) is None


@pytest.mark.parametrize(("losses", "target"), [([0.3, math.nan], 0.2), ([0.3], math.inf)])
def test_losses_that_are_not_finite_are_refused(losses, target):
    with pytest.raises(UserError, match="not finite"):
        epochs_needed(losses, target)
