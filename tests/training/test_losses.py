"""Terms of the objective where their value is known without a computer."""

import math

import numpy as np
import pytest

from omnilearn.training import losses


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_cross_entropy_of_a_uniform_guess_is_log_of_the_number_of_classes(classes):
    label = np.eye(classes, dtype="float32")
    found = losses.cross_entropy(label, np.full((classes, classes), 0.3, "float32"))
    np.testing.assert_allclose(found, math.log(classes), rtol=1e-6)


def test_cross_entropy_of_certainty_is_zero_or_the_gap_of_the_logits():
    label = np.float32([[1, 0], [0, 1]])
    found = np.asarray(losses.cross_entropy(label, np.float32([[50, -50], [1000, 0]])))
    np.testing.assert_allclose(found, [0.0, 1000.0], atol=1e-6)  # finite, also when far off


def test_regression_error_is_the_mean_square_over_the_jet_inputs():
    found = losses.regression_error(np.float32([[1, 2, 3, 4]]), np.float32([[1, 2, 3, 0]]))
    np.testing.assert_allclose(found, [4.0])


def test_velocity_error_ignores_padding():
    rng = np.random.default_rng(0)
    target, predicted = rng.normal(size=(2, 3, 8, 3)).astype("float32")
    mask = (np.arange(8) < np.array([[2], [5], [8]])).astype("float32")
    found = np.asarray(losses.velocity_error(target, predicted, mask))
    by_hand = [np.sum((target - predicted)[jet, :n] ** 2) for jet, n in enumerate((2, 5, 8))]
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    rubbish = predicted + 1e3 * (1 - mask[:, :, None])
    np.testing.assert_array_equal(losses.velocity_error(target, rubbish, mask), found)


def test_a_jet_of_weight_two_counts_as_two_jets():
    twice = losses.weighted_mean(np.float32([1, 3]), np.float32([2, 1]))
    three = losses.weighted_mean(np.float32([1, 1, 3]), np.ones(3, "float32"))
    assert 2 * float(twice) == pytest.approx(3 * float(three))  # per jet of the batch
