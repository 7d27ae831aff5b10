"""The iteration itself, on Gaussians, where every answer is known in closed form."""

import numpy as np
import pytest
from toy_unfolding import RESOLUTION, Gaussians

from omnilearn.errors import UserError
from omnilearn.unfolding.omnifold import unfold

EVENTS = 40_000


def unfolded(*arguments, **options):
    return list(unfold(*arguments, **options))


def mean_and_width(values, weights):
    mean = np.average(values, weights=weights)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=weights))


def test_unfolding_recovers_a_gaussian_shift():
    shift, toys = 0.4, Gaussians.of(EVENTS, 0.4)
    pushes = unfolded(toys.sample(), toys.fit, iterations=6)
    means = [mean_and_width(toys.simulation["gen"], push)[0] for push in pushes]
    # each iteration covers s^2 / (s^2 + r^2) of the remaining shift
    left = RESOLUTION**2 / (1 + RESOLUTION**2)
    assert means[0] == pytest.approx(shift * (1 - left), abs=0.03)
    assert means[1] == pytest.approx(shift * (1 - left**2), abs=0.03)
    mean, width = mean_and_width(toys.simulation["gen"], pushes[-1])
    assert mean == pytest.approx(shift, abs=0.03)
    assert width == pytest.approx(1.0, abs=0.03)


def test_data_of_the_simulated_distribution_give_weights_of_one_within_noise():
    toys = Gaussians.of(EVENTS, 0.0)
    push = unfolded(toys.sample(), toys.fit, iterations=3)[-1]
    # three free parameters, fitted to both samples
    assert np.sqrt(np.mean((push - 1) ** 2)) < 4 * np.sqrt(3 * 2 / EVENTS)
    assert push.mean() == pytest.approx(1.0, abs=1e-3)


def test_unfolding_recovers_a_known_reweighting():
    toys = Gaussians.of(EVENTS, 0.0)
    known = np.exp(0.3 * toys.data["gen"] - 0.1 * toys.data["gen"] ** 2)
    push = unfolded(toys.sample(data_weight=known), toys.fit, iterations=12)[-1]
    x = toys.simulation["gen"]
    expected = np.exp(0.3 * x - 0.1 * x**2)
    central = np.abs(x) < 1.5
    np.testing.assert_allclose(
        push[central] / push.mean(), expected[central] / expected.mean(), rtol=0.1
    )


def test_weights_of_the_simulated_events_are_part_of_the_simulation():
    toys = Gaussians.of(EVENTS, 0.0)
    weight = np.exp(0.4 * toys.simulation["gen"] - 0.08)  # mean 0.4, sum of weights unchanged
    data = toys.data | {level: values + 0.4 for level, values in toys.data.items()}
    toys = Gaussians(toys.simulation, data, [])
    push = unfolded(toys.sample(weight=weight), toys.fit, iterations=2)[-1]
    central = np.abs(toys.simulation["gen"]) < 1.5
    np.testing.assert_allclose(push[central], 1.0, atol=0.08)


def with_acceptance(toys: Gaussians, seed: int = 5):
    """Events that the detector accepts, few at low x, in simulation and in data."""
    rng = np.random.default_rng(seed)
    passing = []
    for events in (toys.simulation, toys.data):
        efficiency = 1 / (1 + np.exp(-2 * events["gen"] - 1))
        passing.append(rng.random(len(efficiency)) < efficiency)
    return passing


def test_misses_are_corrected_by_the_efficiency_at_particle_level():
    toys = Gaussians.of(EVENTS, 0.3)
    simulated, data = with_acceptance(toys)
    sample = toys.sample(passes_reco=simulated, data_weight=data.astype(float))
    push = unfolded(sample, toys.fit, iterations=6, misses="average")[-1]
    assert "iteration1_step1_misses" in toys.steps
    assert mean_and_width(toys.simulation["gen"], push)[0] == pytest.approx(0.3, abs=0.04)
    # the events of the data before the detector are as many as the simulated ones
    assert push.sum() * sample.normalisation == pytest.approx(EVENTS, rel=0.03)
    toys.steps.clear()
    prior_push = unfolded(sample, toys.fit, iterations=1, misses="prior")[-1]
    assert toys.steps == ["iteration1_step1", "iteration1_step2"]
    assert np.abs(prior_push - push).max() > 0.1


def test_fakes_take_the_average_weight_of_their_detector_level():
    toys = Gaussians.of(EVENTS, 0.3)
    fake = np.random.default_rng(1).random(EVENTS) < 0.1
    sample = toys.sample(passes_gen=~fake)
    push = unfolded(sample, toys.fit, iterations=6)[-1]
    x = toys.simulation["gen"]
    assert "iteration1_step2_fakes" in toys.steps
    assert mean_and_width(x[~fake], push[~fake])[0] == pytest.approx(0.3, abs=0.04)
    higher = x[fake] > 0
    assert push[fake][higher].mean() > 1.1 > 0.9 > push[fake][~higher].mean()


def test_an_interrupted_unfolding_resumes_after_its_last_step():
    toys = Gaussians.of(1000, 0.3)
    expected: dict = {}
    unfolded(toys.sample(), toys.fit, 2, expected)
    assert list(expected) == [f"iteration{i}_step{s}" for i in (1, 2) for s in (1, 2)]
    for finished in range(len(expected)):
        stored = dict(list(expected.items())[:finished])
        toys.steps.clear()
        unfolded(toys.sample(), toys.fit, 2, stored)
        assert toys.steps == list(expected)[finished:]
        np.testing.assert_equal(stored, expected)


def test_ratios_of_step_1_multiply_the_push_weights_and_those_of_step_2_are_the_weights():
    toys = Gaussians.of(1000, 0.3)
    simulated, _ = with_acceptance(toys)
    steps = []

    def recorded_fit(step):
        steps.append(step)
        return toys.fit(step)

    fake = np.random.default_rng(1).random(1000) < 0.1
    unfolded(toys.sample(passes_reco=simulated, passes_gen=~fake), recorded_fit, 2)
    assert {step.name: step.multiplies for step in steps} == {
        f"iteration{iteration}_step{step}": step.startswith("1")
        for iteration in (1, 2)
        for step in ("1", "1_misses", "2", "2_fakes")
    }
    first, second = (step for step in steps if step.name.endswith("step2"))
    np.testing.assert_array_equal(first.reference, second.reference)  # simulation as generated


def test_a_sample_without_events_at_a_level_is_refused_with_its_name():
    toys = Gaussians.of(10, 0.0)
    with pytest.raises(UserError, match="data at detector level add up to 0"):
        toys.sample(data_weight=np.zeros(10))
