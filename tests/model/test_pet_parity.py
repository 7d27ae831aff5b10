"""The forward pass equals the stored numbers of the released code to float noise."""

import numpy as np
import pytest
from released_numbers import TINY, arrays_of, pet_with, stored

from omnilearn.diffusion import alpha_sigma, log_snr, sample_deterministic
from omnilearn.model.pet import PETConfig
from omnilearn.training.gradients import compiled, with_gradients
from omnilearn.training.objective import PETObjective
from omnilearn.training.optimiser import Lion


def outputs(pet, numbers, when: str) -> dict[str, np.ndarray]:
    features, mask, jet, label = (numbers[f"in.{k}"] for k in ("features", "mask", "jet", "label"))
    time = numbers["in.t_zero" if when == "t0" else "in.t_pos"]
    heads = pet.classify_and_velocity(features, mask, jet, time, label)
    values = dict(zip(("logits", "regression", "velocity"), heads, strict=True))
    values["body"] = pet.encode(features, mask, time)
    values["velocity_nolabel"] = pet.velocity(features, mask, jet, time, 0 * label)
    return {name: np.asarray(value) for name, value in values.items()}


def largest_per_jet(difference: np.ndarray) -> np.ndarray:
    return np.abs(difference).reshape(len(difference), -1).max(axis=1)


@pytest.mark.parametrize("when", ["t0", "tpos"])
@pytest.mark.parametrize(("size", "config"), [("tiny", TINY), ("full", PETConfig())])
def test_forward_pass_equals_the_released_numbers(size, config, when):
    numbers, noise = stored(f"forward_{size}"), stored(f"float64_check_{size}")
    for name, value in outputs(pet_with(numbers, config), numbers, when).items():
        error = noise[f"ref_float32_error_per_jet.{when}.{name.removesuffix('_nolabel')}"]
        allowed = np.maximum(2e-5, 5 * error)
        assert (largest_per_jet(value - numbers[f"out.{when}.{name}"]) <= allowed).all(), name


def test_the_same_jets_padded_further_equal_the_released_numbers():
    numbers, wider = stored("forward_tiny"), stored("extras_tiny")
    config = PETConfig(**{**vars(TINY), "max_constituents": 40})
    pet = pet_with(numbers, config)
    padding = ((0, 0), (0, 16), (0, 0))
    features = np.pad(numbers["in.features"], padding)
    mask = np.pad(numbers["in.mask"], padding[:2])
    heads = pet.classify_and_velocity(
        features, mask, numbers["in.jet"], numbers["in.t_pos"], numbers["in.label"]
    )
    for name, value in zip(("logits", "regression", "velocity"), heads, strict=True):
        np.testing.assert_allclose(value, wider[f"pad40.tpos.{name}"], atol=5e-4, rtol=1e-4)


def loss_batch(numbers) -> dict:
    mask = numbers["in.mask"]
    return {
        "constituents": numbers["in.features"],
        "mask": mask,
        "jet": numbers["in.jet"],
        "label": numbers["in.label"],
        "weight": np.ones(len(mask), "float32"),
        "time": numbers["in.t"],
        "noise": numbers["in.eps_raw"][:, :, :3],
        "constituents_per_jet": np.float32(mask.sum() / len(mask)),
    }


def terms_and_gradients(numbers, *mode: str) -> tuple[dict, dict]:
    objective = PETObjective(pet_with(numbers, TINY), *mode)
    trained = objective.trained()
    step = compiled(with_gradients(objective.losses, list(trained.values())))
    terms, gradients = step(loss_batch(numbers))
    return terms, dict(zip(trained, gradients, strict=True))


def test_pretraining_loss_and_gradients_equal_the_stored_ones():
    numbers = stored("loss_tiny")
    terms, gradients = terms_and_gradients(numbers)
    expected = {
        "cross_entropy": numbers["loss.ce_clean"].mean(),
        "regression": numbers["loss.mse_clean"].mean(),
        "velocity": numbers["loss.velocity"],
        "loss": numbers["loss.total_persample_alpha_mean"],
    }
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-5), name
    compared = 0
    for name, expected in arrays_of(numbers, "grad_persample_mean").items():
        if name.endswith("key.bias"):  # mathematically zero: only float noise to compare
            assert np.abs(gradients[name]).max() < 1e-6
            continue
        tolerance = 2e-4 * np.abs(expected).max() + 1e-7
        np.testing.assert_allclose(gradients[name], expected, atol=tolerance, err_msg=name)
        compared += 1
    assert compared == 142


def test_a_classifier_alone_minimises_the_cross_entropy_as_the_released_code_does():
    numbers, modes = stored("loss_tiny"), stored("loss_modes_tiny")
    terms, gradients = terms_and_gradients(numbers, "classifier")
    expected = float(modes["classifier.train_step_loss"])
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["loss"]) == pytest.approx(modes["classifier.ce"].mean(), rel=1e-5)
    jets, expected = len(modes["classifier.ce"]), arrays_of(modes, "classifier.sum_grad")
    compared = 0
    for name, gradient in gradients.items():
        if name == "classifier.token" or name.endswith("key.bias"):
            continue  # not trained in the released code; mathematically zero
        mean = expected[name] / jets
        tolerance = 2e-4 * np.abs(mean).max() + 1e-7
        np.testing.assert_allclose(gradient, mean, atol=tolerance, err_msg=name)
        compared += 1
    untrained = set(expected) - set(gradients)
    assert untrained == {"classifier.regression.kernel", "classifier.regression.bias"}
    assert all(not expected[name].any() for name in untrained)
    assert compared == len(gradients) - 5  # the class token, four attentions' key biases


def test_alpha_squared_weighs_each_jet_by_its_own_time():
    numbers = stored("loss_tiny")
    alpha = numbers["loss.alpha"][:, 0]
    terms = PETObjective(pet_with(numbers, TINY)).losses(loss_batch(numbers))
    per_jet = np.mean(alpha**2 * numbers["loss.ce_smeared"])
    batch_mean = np.mean(alpha**2) * np.mean(numbers["loss.ce_smeared"])
    assert float(terms["cross_entropy_perturbed"]) == pytest.approx(per_jet, rel=1e-5)
    assert abs(per_jet - batch_mean) > 0.01


def test_lion_makes_the_steps_of_the_released_optimiser():
    numbers = stored("loss_tiny")
    pet = pet_with(numbers, TINY)
    trained = PETObjective(pet).trained()
    optimiser = Lion(learning_rate=1e-3, weight_decay=1e-5, beta_1=0.95, beta_2=0.99)
    optimiser.build(list(trained.values()))
    for step, source in ((1, "grad_sum"), (2, "lion.grad2")):
        gradients = arrays_of(numbers, source)
        optimiser.apply(
            [
                gradients[name] if name in gradients else np.zeros_like(weight)
                for name, weight in trained.items()
            ],
            list(trained.values()),
        )
        for name, expected in arrays_of(numbers, f"lion.w_after{step}").items():
            np.testing.assert_allclose(trained[name], expected, atol=1e-7, err_msg=name)


def test_noise_schedule_equals_the_released_one():
    numbers = stored("loss_tiny")
    time = numbers["schedule.t"]
    alpha, sigma = alpha_sigma(time)
    np.testing.assert_allclose(log_snr(time), numbers["schedule.logsnr"], rtol=2e-6, atol=1e-5)
    np.testing.assert_allclose(alpha, numbers["schedule.alpha"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(sigma, numbers["schedule.sigma"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("steps", [8, 64])
def test_sampler_follows_the_released_trajectory(steps):
    numbers = stored("sampler_tiny")
    pet = pet_with(numbers, TINY)
    mask, jet, label = (numbers[f"in.{key}"] for key in ("mask", "jet", "label"))
    diffused = np.float32([1, 1, 1] + [0] * 10)

    @compiled
    def network(x, time):
        return pet.velocity(x * diffused, mask, jet, time, label)

    def velocity(x, time):
        return network(x * mask[:, :, None], np.full((len(mask), 1), time, "float32"))

    sample = sample_deterministic(velocity, numbers["in.noise"], steps)
    sample = (np.asarray(sample) * mask[:, :, None])[:, :, :3]
    reference = numbers[f"out.sample_{steps}"][:, :, :3]
    perturbed = numbers[f"out.sample_{steps}_input_perturbed_1e-6"][:, :, :3]
    allowed = 5 * np.abs(reference - perturbed).max()  # the effect of noise x (1 + 1e-6)
    assert np.abs(sample - reference).max() <= allowed
    assert (sample[mask == 0] == 0).all()
