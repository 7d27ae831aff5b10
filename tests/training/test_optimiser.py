"""Rates, weight decay, schedule and moving averages of the optimiser, by their definitions."""

from pathlib import Path

import keras
import numpy as np
import pytest

from omnilearn.training.optimiser import EMA_MOMENTUM, Lion, cosine_schedule, make_optimiser

STORED = Path(__file__).parents[1] / "data" / "extras_tiny.npz"  # numbers of the released code
RATE, DECAY, FACTOR = 1e-2, 0.1, 10.0


def variables(*starts):
    return [keras.Variable(np.float32(start), name=f"v{i}") for i, start in enumerate(starts)]


def steps(optimiser, weights, gradients):
    """Values of all weights after each step."""
    optimiser.build(weights)
    values = []
    for gradient in gradients:
        optimiser.apply([np.float32(part) for part in gradient], weights)
        values.append([np.array(weight) for weight in weights])
    return values


def test_the_rate_of_the_body_is_divided_by_its_factor():
    body, _ = weights = variables([0.0, 0.0], [0.0, 0.0])
    optimiser = Lion({id(body): 1 / FACTOR}, learning_rate=RATE)
    moved_body, moved_head = steps(optimiser, weights, [([3.0, -0.1], [3.0, -0.1])])[0]
    np.testing.assert_allclose(moved_head, [-RATE, RATE], rtol=1e-5)  # by the sign alone
    np.testing.assert_allclose(moved_body, [-RATE / FACTOR, RATE / FACTOR], rtol=1e-5)


def test_gradients_of_a_weight_array_are_scaled_down_to_the_norm_each_by_itself():
    """Lion's momentum after a step is (1 - beta2) times the clipped gradient."""
    weights = variables([0.0, 0.0], [0.0, 0.0])
    optimiser = make_optimiser("lion", {}, RATE, 0.0, clip_norm=1.0, beta2=0.97)
    steps(optimiser, weights, [([30.0, 40.0], [0.3, 0.4])])
    momenta = [np.array(each) for each in optimiser.variables if "momentum" in each.path]
    np.testing.assert_allclose(
        momenta, [[0.03 * 0.6, 0.03 * 0.8], [0.03 * 0.3, 0.03 * 0.4]], rtol=1e-5
    )


def test_adamw_scales_all_gradients_together():
    weights = variables([0.0], [0.0])
    optimiser = make_optimiser("adamw", {}, RATE, 0.0, clip_norm=5.0)
    steps(optimiser, weights, [([30.0], [40.0])])
    momenta = [np.array(each) for each in optimiser.variables if "momentum" in each.path]
    np.testing.assert_allclose(momenta, [[0.1 * 3.0], [0.1 * 4.0]], rtol=1e-5)


def test_without_a_norm_gradients_are_unchanged_and_momenta_the_published_ones():
    for name, momentum, squares in (("lion", 0.99, None), ("adamw", 0.9, 0.999)):
        optimiser = make_optimiser(name, {}, RATE, 0.0)
        (weight,) = variables([0.0])
        steps(optimiser, [weight], [([30.0],)])
        state = {
            variable.path.split("_")[-1]: float(np.array(variable)[0])
            for variable in optimiser.variables
            if variable.path.endswith(("momentum", "velocity"))
        }
        assert state["momentum"] == pytest.approx((1 - momentum) * 30)
        if squares:
            assert state["velocity"] == pytest.approx((1 - squares) * 900)


def test_rate_times_decay_is_the_same_in_body_and_heads():
    body, _ = weights = variables([1.0], [1.0])
    optimiser = Lion({id(body): 1 / FACTOR}, learning_rate=RATE, weight_decay=DECAY)
    decayed = steps(optimiser, weights, [([0.0], [0.0])])[0]  # without gradient only decay acts
    np.testing.assert_allclose(decayed, [[1 - RATE * DECAY]] * 2, rtol=1e-6)


@pytest.mark.parametrize("ranks", [1, 4])
def test_schedule_equals_the_released_one(ranks):
    numbers = np.load(STORED)
    schedule = cosine_schedule(3e-5, ranks, steps_per_epoch=10, epochs=200, warmup_epochs=3)
    rates = [float(schedule(step)) for step in numbers[f"lr.size{ranks}.steps"]]
    np.testing.assert_allclose(rates, numbers[f"lr.size{ranks}.lr"], rtol=1e-5, atol=1e-12)


def test_warm_up_ends_at_the_rate_times_the_root_of_the_ranks():
    schedule = cosine_schedule(1e-3, batches=16, steps_per_epoch=5, epochs=10, warmup_epochs=2)
    assert float(schedule(0)) == pytest.approx(1e-3)
    assert float(schedule(10)) == pytest.approx(4e-3)


def test_no_warm_up_starts_at_the_rate_of_all_ranks():
    schedule = cosine_schedule(1e-3, batches=4, steps_per_epoch=5, epochs=2, warmup_epochs=0)
    assert float(schedule(0)) == pytest.approx(2e-3)
    assert float(schedule(10)) == pytest.approx(0, abs=1e-9)


def test_averages_start_as_a_copy_and_follow_slowly():
    weights = variables([1.0, -2.0])
    optimiser = Lion(learning_rate=RATE, use_ema=True, ema_momentum=EMA_MOMENTUM)
    assert EMA_MOMENTUM == 0.999
    values = [step[0] for step in steps(optimiser, weights, [([1.0, 1.0],)])]
    np.testing.assert_array_equal(optimiser.averages()[0], values[0])
    expected = values[0]
    for sign in (1.0, -1.0, 1.0):
        optimiser.apply([np.float32([sign, sign])], weights)
        expected = 0.999 * expected + 0.001 * np.array(weights[0])
        np.testing.assert_allclose(optimiser.averages()[0], expected, rtol=1e-6)


def test_averages_do_not_replace_the_weights():
    weights = variables([0.0])
    optimiser = Lion(learning_rate=RATE, use_ema=True, ema_momentum=EMA_MOMENTUM)
    values = steps(optimiser, weights, [([1.0],)] * 5)
    np.testing.assert_allclose(values[-1][0], [-5 * RATE], rtol=1e-5)
