"""Terms of the objective where their value is known exactly."""

import math

import numpy as np
import pytest

from omnilearn.training import losses


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_cross_entropy_of_a_uniform_guess_is_log_of_the_number_of_classes(classes):
    label = np.eye(classes, dtype="float32")
    entropy = losses.cross_entropy(label, np.full((classes, classes), 0.3, "float32"))
    np.testing.assert_allclose(entropy, math.log(classes), rtol=1e-6)


def test_cross_entropy_of_certainty_is_zero_or_the_gap_of_the_logits():
    label = np.float32([[1, 0], [0, 1]])
    entropy = losses.cross_entropy(label, np.float32([[50, -50], [1000, 0]]))
    np.testing.assert_allclose(entropy, [0.0, 1000.0], atol=1e-6)  # finite for large logits


def test_regression_error_is_the_mean_square_over_the_jet_inputs():
    error = losses.regression_error(np.float32([[1, 2, 3, 4]]), np.float32([[1, 2, 3, 0]]))
    np.testing.assert_allclose(error, [4.0])


def test_velocity_error_ignores_padding():
    rng = np.random.default_rng(0)
    target, predicted = rng.normal(size=(2, 3, 8, 3)).astype("float32")
    mask = (np.arange(8) < np.array([[2], [5], [8]])).astype("float32")
    error = losses.velocity_error(target, predicted, mask)
    expected = [np.sum((target - predicted)[jet, :n] ** 2) for jet, n in enumerate((2, 5, 8))]
    np.testing.assert_allclose(error, expected, rtol=1e-5)
    with_padding = predicted + 1e3 * (1 - mask[:, :, None])
    np.testing.assert_array_equal(losses.velocity_error(target, with_padding, mask), error)
