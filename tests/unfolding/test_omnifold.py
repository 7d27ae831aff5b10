"""The iteration itself, on Gaussians, where every answer is known in closed form."""

import numpy as np
import pytest
from toy_unfolding import RESOLUTION, Gaussians

from omnilearn.errors import UserError
from omnilearn.unfolding.omnifold import Step, unfold


def unfolded(*arguments, **more):
    return list(unfold(*arguments, **more))


EVENTS = 40_000


def mean_and_width(values, weights):
    mean = np.average(values, weights=weights)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=weights))


def test_the_ratio_of_two_shifted_gaussians_is_the_known_one():
    shift, toys = 0.4, Gaussians.of(EVENTS, 0.4)
    ones = np.ones(EVENTS)
    ratio = toys.fit(Step("ratio", "gen", ones, ones, against_data=True))
    x = toys.simulation["gen"]
    central = np.abs(x) < 2
    expected = np.exp(shift * x - shift**2 / 2)
    np.testing.assert_allclose(ratio[central], expected[central], rtol=0.06)


def test_unfolding_recovers_a_gaussian_shift():
    shift, toys = 0.4, Gaussians.of(EVENTS, 0.4)
    pushes = unfolded(toys.sample(), toys.fit, iterations=6)
    means = [mean_and_width(toys.simulation["gen"], push)[0] for push in pushes]
    # one iteration goes s^2 / (s^2 + r^2) of the way, as each that follows does of the rest
    left = RESOLUTION**2 / (1 + RESOLUTION**2)
    assert means[0] == pytest.approx(shift * (1 - left), abs=0.03)
    assert means[1] == pytest.approx(shift * (1 - left**2), abs=0.03)
    mean, width = mean_and_width(toys.simulation["gen"], pushes[-1])
    assert mean == pytest.approx(shift, abs=0.03)
    assert width == pytest.approx(1.0, abs=0.03)


def test_data_like_the_simulation_leave_weights_of_one_within_their_noise():
    toys = Gaussians.of(EVENTS, 0.0)
    push = unfolded(toys.sample(), toys.fit, iterations=3)[-1]
    # three free numbers, fitted to as many events each
    assert np.sqrt(np.mean((push - 1) ** 2)) < 4 * np.sqrt(3 * 2 / EVENTS)
    assert push.mean() == pytest.approx(1.0, abs=1e-3)


def test_a_simulation_reweighted_by_a_known_function_is_unfolded_back():
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
    weight = np.exp(0.4 * toys.simulation["gen"] - 0.08)  # of mean 0.4, with 1 event in it
    data = toys.data | {level: values + 0.4 for level, values in toys.data.items()}
    toys = Gaussians(toys.simulation, data, [])
    push = unfolded(toys.sample(weight=weight), toys.fit, iterations=2)[-1]
    central = np.abs(toys.simulation["gen"]) < 1.5
    np.testing.assert_allclose(push[central], 1.0, atol=0.08)


def with_acceptance(toys: Gaussians, seed: int = 5):
    """The detector misses events at low x, and reports some of what particle level refuses."""
    rng = np.random.default_rng(seed)
    passing = []
    for events in (toys.simulation, toys.data):
        efficiency = 1 / (1 + np.exp(-2 * events["gen"] - 1))
        passing.append(rng.random(len(efficiency)) < efficiency)
    return passing


def test_misses_are_added_by_the_efficiency_at_their_particle_level():
    toys = Gaussians.of(EVENTS, 0.3)
    simulated, data = with_acceptance(toys)
    sample = toys.sample(passes_reco=simulated, data_weight=data.astype(float))
    push = unfolded(sample, toys.fit, iterations=6, misses="average")[-1]
    assert "iteration1_step1_misses" in toys.steps
    assert mean_and_width(toys.simulation["gen"], push)[0] == pytest.approx(0.3, abs=0.04)
    # events of the data before the detector: as many as there were simulated
    assert push.sum() * sample.normalisation == pytest.approx(EVENTS, rel=0.03)
    toys.steps.clear()
    kept_as_they_were = unfolded(sample, toys.fit, iterations=1, misses="prior")[-1]
    assert toys.steps == ["iteration1_step1", "iteration1_step2"]
    assert np.abs(kept_as_they_were - push).max() > 0.1


def test_fakes_share_the_weights_of_their_detector_level_and_not_the_result():
    toys = Gaussians.of(EVENTS, 0.3)
    fake = np.random.default_rng(1).random(EVENTS) < 0.1
    sample = toys.sample(passes_gen=~fake)
    push = unfolded(sample, toys.fit, iterations=6)[-1]
    x = toys.simulation["gen"]
    assert "iteration1_step2_fakes" in toys.steps
    assert mean_and_width(x[~fake], push[~fake])[0] == pytest.approx(0.3, abs=0.04)
    higher = x[fake] > 0
    assert push[fake][higher].mean() > 1.1 > 0.9 > push[fake][~higher].mean()


def test_an_unfolding_that_was_stopped_goes_on_after_its_last_step():
    toys = Gaussians.of(1000, 0.3)
    whole: dict = {}
    unfolded(toys.sample(), toys.fit, 2, whole)
    assert list(whole) == [f"iteration{i}_step{s}" for i in (1, 2) for s in (1, 2)]
    for done in range(len(whole)):
        part = dict(list(whole.items())[:done])
        toys.steps.clear()
        unfolded(toys.sample(), toys.fit, 2, part)
        assert toys.steps == list(whole)[done:]
        for name, weights in whole.items():
            np.testing.assert_array_equal(part[name], weights)


def test_ratios_of_step_1_multiply_the_push_weights_and_those_of_step_2_are_the_weights():
    toys = Gaussians.of(1000, 0.3)
    simulated, _ = with_acceptance(toys)
    seen = []

    def remembering(step):
        seen.append(step)
        return toys.fit(step)

    fake = np.random.default_rng(1).random(1000) < 0.1
    unfolded(toys.sample(passes_reco=simulated, passes_gen=~fake), remembering, 2)
    assert {step.name: step.multiplies for step in seen} == {
        f"iteration{iteration}_step{step}": step.startswith("1")
        for iteration in (1, 2)
        for step in ("1", "1_misses", "2", "2_fakes")
    }
    first, second = (step for step in seen if step.name.endswith("step2"))
    np.testing.assert_array_equal(first.reference, second.reference)  # simulation as generated


def test_from_converged_weights_a_step_of_ratio_one_leaves_the_weights_as_they_are():
    toys = Gaussians.of(1000, 0.3)
    kept = {}
    push = unfolded(toys.sample(), toys.fit, 3, kept)[-1]

    def learns_nothing(step):
        """Step 1 starts at ratio one, step 2 from the whole ratio of the iteration before."""
        return np.ones(1000) if step.multiplies else push

    again = unfolded(toys.sample(), learns_nothing, 4, kept)[-1]
    np.testing.assert_allclose(again, push, rtol=1e-12)


def test_a_sample_without_events_at_a_level_is_refused_with_its_name():
    toys = Gaussians.of(10, 0.0)
    with pytest.raises(UserError, match="data at detector level add up to 0"):
        toys.sample(data_weight=np.zeros(10))
