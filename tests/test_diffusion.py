"""The cosine diffusion: exact identities, and a Gaussian whose velocity is known in closed form."""

import numpy as np
import pytest

from omnilearn.diffusion import (
    EVALUATIONS,
    alpha_sigma,
    denoise,
    exact_alpha_sigma,
    guided,
    log_snr,
    perturb,
    sample,
    sample_deterministic,
)

TIMES = np.linspace(0, 1, 201).astype("float32")


def test_signal_and_noise_power_sum_to_one():
    alpha, sigma = alpha_sigma(TIMES)
    np.testing.assert_allclose(np.square(alpha) + np.square(sigma), 1.0, rtol=1e-6)


def test_signal_to_noise_falls_monotonically_from_20_to_minus_20():
    snr = np.asarray(log_snr(TIMES))
    assert (np.diff(snr) < 0).all()
    assert snr[0] == pytest.approx(20, abs=1e-3)
    assert snr[-1] == pytest.approx(-20, abs=5e-2)  # tan is steep where float32 ends
    assert snr[100] == pytest.approx(0, abs=1e-3)


def test_a_jet_is_itself_at_time_zero_and_pure_noise_at_time_one():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    start, _ = perturb(x, noise, np.zeros((3, 1), "float32"))
    end, _ = perturb(x, noise, np.ones((3, 1), "float32"))
    np.testing.assert_allclose(start, x, atol=5e-4)
    np.testing.assert_allclose(end, noise, atol=5e-4)


@pytest.mark.parametrize("shape", [(6, 4), (6, 5, 3)])
def test_denoising_inverts_the_perturbation(shape):
    rng = np.random.default_rng(1)
    x, noise = rng.normal(size=(2, *shape)).astype("float32")
    time = np.linspace(0, 1, 6, dtype="float32")[:, None]
    perturbed, velocity = perturb(x, noise, time)
    column = time.reshape(-1, *[1] * (len(shape) - 1))
    clean, eps = denoise(np.asarray(perturbed), np.asarray(velocity), column)
    np.testing.assert_allclose(clean, x, atol=1e-5)
    np.testing.assert_allclose(eps, noise, atol=1e-5)


def test_every_jet_is_perturbed_at_its_own_time():
    rng = np.random.default_rng(2)
    x, noise = rng.normal(size=(2, 2, 5, 3)).astype("float32")
    together, _ = perturb(x, noise, np.float32([[0.2], [0.8]]))
    for jet, time in enumerate((0.2, 0.8)):
        alone, _ = perturb(x[jet : jet + 1], noise[jet : jet + 1], np.float32([[time]]))
        np.testing.assert_allclose(together[jet], alone[0], atol=1e-6)


MEAN, WIDTH = np.float32([1.5, -0.5]), np.float32([0.7, 0.1])


def velocity_of_a_gaussian(x, time):
    """E[alpha eps - sigma x0 | x] for x0 ~ N(MEAN, WIDTH), known in closed form."""
    alpha, sigma = (np.float32(value) for value in alpha_sigma(np.float32(time)))
    x = np.asarray(x)
    clean = MEAN + alpha * WIDTH**2 * (x - alpha * MEAN) / (alpha**2 * WIDTH**2 + sigma**2)
    return (alpha * x - clean) / sigma


@pytest.mark.parametrize("solver", EVALUATIONS)
def test_every_solver_turns_noise_into_the_gaussian_of_the_exact_velocity(solver):
    rng = np.random.default_rng(6)
    noise = rng.normal(size=(5_000, 2)).astype("float32")

    def fresh_noise(step):
        return rng.normal(size=noise.shape).astype("float32")

    steps = 512 if solver == "stochastic" else 64  # of first order, the others of second
    sampled = np.asarray(sample(solver, velocity_of_a_gaussian, noise, steps, fresh_noise))
    np.testing.assert_allclose(sampled.mean(axis=0), MEAN, atol=0.04)
    np.testing.assert_allclose(sampled.std(axis=0), WIDTH, rtol=0.08)
    # a stochastic sample is independent of the initial noise
    correlation = np.corrcoef(sampled[:, 0], noise[:, 0])[0, 1]
    assert abs(correlation) < 0.2 if solver == "stochastic" else correlation > 0.9999


@pytest.mark.parametrize("solver", EVALUATIONS)
def test_the_number_of_evaluations_per_step_is_as_listed(solver):
    times = []

    def velocity(x, time):
        times.append(time)
        return velocity_of_a_gaussian(x, time)

    noise = np.zeros((3, 2), "float32")
    sample(solver, velocity, noise, 5, lambda step: noise)
    assert len(times) == 5 * EVALUATIONS[solver]


def test_the_few_step_solver_is_closer_than_the_released_one_at_the_same_cost():
    noise = np.random.default_rng(7).normal(size=(500, 2)).astype("float32")
    exact = MEAN + WIDTH * noise
    released, multistep = (
        np.abs(np.asarray(sample(solver, velocity_of_a_gaussian, noise, steps, None)) - exact)
        for solver, steps in (("released", 8), ("multistep", 16))
    )
    assert multistep.mean() < 0.5 * released.mean()


def test_the_few_step_solver_is_of_second_order():
    noise = np.random.default_rng(8).normal(size=(500, 2)).astype("float32")
    exact = MEAN + WIDTH * noise
    few, more = (
        np.abs(np.asarray(sample("multistep", velocity_of_a_gaussian, noise, steps, None)) - exact)
        for steps in (20, 40)
    )
    assert few.mean() > 3 * more.mean()


def test_amplitudes_in_double_precision_equal_those_of_float32():
    for time in (0.0, 0.3, 0.9):
        np.testing.assert_allclose(
            exact_alpha_sigma(time)[:2], alpha_sigma(np.float64(time)), rtol=1e-5
        )
    assert exact_alpha_sigma(1.0)[2] == pytest.approx(-10)


def test_guidance_of_strength_zero_evaluates_the_network_once():
    def velocity(x, time, condition):
        assert condition == "top"
        return x

    assert guided(velocity, 0.0, "top", "nothing")(2.0, 0.5) == 2.0


def test_guidance_extrapolates_the_effect_of_the_class():
    velocity = guided(lambda x, time, label: x + label, 0.5, 1.0, 0.0)
    assert velocity(0.0, 0.5) == pytest.approx(1.5)


def test_the_released_sampler_improves_with_more_steps():
    noise = np.random.default_rng(4).normal(size=(500, 2)).astype("float32")
    exact = MEAN + WIDTH * noise
    errors = []
    for steps in (4, 16, 64):
        sample = np.asarray(sample_deterministic(velocity_of_a_gaussian, noise, steps))
        errors.append(np.abs(sample - exact).mean())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_the_sampler_returns_the_one_jet_of_its_velocity_for_any_noise():
    jet = np.float32([[0.3, -1.2, 2.0]])

    def velocity(x, time):
        alpha, sigma = (np.float32(value) for value in alpha_sigma(np.float32(time)))
        return (alpha * np.asarray(x) - jet) / sigma

    noise = np.random.default_rng(5).normal(size=(10, 3)).astype("float32")
    sample = np.asarray(sample_deterministic(velocity, noise, 8))
    np.testing.assert_allclose(sample, np.repeat(jet, 10, axis=0), atol=1e-3)
