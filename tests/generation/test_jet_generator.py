"""The network of jet kinematics has the outputs of the released one, within rounding."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from released_numbers import TINY, pet_with, stored

from benchmarks.sampling import diffusion, write_model
from omnilearn.data.catalogue import JETNET30
from omnilearn.data.streams import JetStreams
from omnilearn.diffusion import EVALUATIONS, guided, sample, sample_deterministic
from omnilearn.generation import sampling
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.generation.sampling import Sampler, Solver
from omnilearn.model.checkpoint import model_weights
from omnilearn.model.pet import PET, PETConfig
from omnilearn.recipes import ARCHITECTURES
from omnilearn.training.gradients import compiled
from omnilearn.training.random_streams import Stream

NAMES = {
    "dense": "time.first",
    "dense_1": "time.second",
    "dense_2": "label",
    "dense_3": "film",
    "dense_4": "inputs",
    "dense_5": "block0.residual",
    "dense_6": "block0.first",
    "dense_7": "block0.second",
    "dense_8": "block1.residual",
    "dense_9": "block1.first",
    "dense_10": "block1.second",
    "dense_11": "velocity",
    "layer_normalization": "block0.norm",
    "layer_normalization_1": "block1.norm",
    "layer_normalization_2": "norm",
    "layer_scale": "block0.layer_scale",
    "layer_scale_1": "block1.layer_scale",
}
SMALL = JetGeneratorConfig(projection_dim=16, num_classes=3)


def released_network(numbers) -> JetGenerator:
    network = JetGenerator(SMALL)
    weights = model_weights(network)
    for key in numbers.files:
        if key.startswith("jetw."):
            layer, kind = key.split(".", 2)[2].rsplit(".", 1)
            weights.pop(f"jets.{NAMES[layer]}.{kind}").assign(numbers[key])
    assert not weights
    return network


def test_velocity_of_jets_equals_the_released_one():
    numbers = stored("sampler_tiny")
    velocity = released_network(numbers)(
        numbers["jet.in.x"], numbers["jet.in.t"], numbers["in.label"]
    )
    np.testing.assert_allclose(velocity, numbers["jet.out.velocity"], atol=2e-5)


@pytest.mark.parametrize("steps", [8, 64])
def test_sampled_jets_equal_the_released_ones(steps):
    numbers = stored("sampler_tiny")
    network, label = released_network(numbers), numbers["in.label"]

    def velocity(x, time):
        return network(x, np.full((len(label), 1), time, "float32"), label)

    sampled = sample_deterministic(velocity, numbers["jet.in.noise"], steps)
    reference = numbers[f"jet.out.sample_{steps}"]
    np.testing.assert_allclose(sampled, reference, atol=1e-4 * np.abs(reference).max())


@pytest.mark.parametrize("solver", EVALUATIONS)
def test_all_steps_in_one_graph_give_the_jets_of_single_steps(solver):
    numbers = stored("sampler_tiny")
    network, label = released_network(numbers), numbers["in.label"]
    noise, steps = numbers["jet.in.noise"], 8
    fresh = np.random.default_rng(0).normal(size=(steps, *noise.shape)).astype("float32")

    def velocity(x, time):
        return network(x, np.full((len(label), 1), time, "float32"), label)

    reference = sample(solver, velocity, noise, steps, lambda step: fresh[step - 1])
    in_graph = compiled(
        partial(Sampler._solved_jets, SimpleNamespace(network=network), solver, steps)
    )
    np.testing.assert_allclose(in_graph(noise, label, fresh), reference, rtol=1e-5, atol=1e-5)


def test_another_solver_of_the_same_sampler_has_its_own_graph(tmp_path):
    sampler = diffusion(JETNET30, "small", 4, tmp_path / "run")
    noise = np.random.default_rng(1).normal(size=(4, 4)).astype("float32")
    samples = []
    for solver in (Solver(jet_steps=2), Solver(jet_steps=3), Solver("stochastic", jet_steps=3)):
        sampler.solver = solver
        samples.append(sampler.solve_jets(noise, np.eye(5, dtype="float32")[:4], np.arange(4)))
    assert not np.allclose(samples[0], samples[1])
    assert not np.allclose(samples[1], samples[2])


def test_a_diffused_log_pt_becomes_the_stored_feature(tmp_path, monkeypatch):
    shape = {"num_classes": 5, "max_constituents": 30, "diffused_pt": "log_pt"}
    diffusion(JETNET30, "small", 4, tmp_path / "run")
    write_model(tmp_path / "run" / "best.h5", PET(PETConfig(**ARCHITECTURES["small"], **shape)))
    sampler = Sampler(tmp_path / "run", JETNET30, Solver(), 4)
    monkeypatch.setattr(sampling, "sample", lambda name, velocity, noise, *_: noise)
    jet = np.tile([1000.0, 0.0, 100.0, 20.0], (4, 1))
    features, mask = sampler.features(np.arange(4), np.zeros(4, int), jet)
    streams = JetStreams((0, Stream.SAMPLED_CONSTITUENTS), np.arange(4))
    noise = streams.standard_normal((4, 30, 3), "float32")[:, :20]
    names = ("eta_rel", "phi_rel", "log_pt")
    drawn = sampler.scale.original_constituents(noise, np.ones((4, 20)), names)
    np.testing.assert_allclose(features[:, :20, :2], drawn[..., :2], rtol=1e-5)
    pt_rel = np.exp(drawn[..., 2].astype("float64")) / 1000
    np.testing.assert_allclose(features[:, :20, 2], np.log1p(-pt_rel), rtol=1e-4)
    assert not features[~mask].any()


def test_guided_constituents_equal_the_released_ones():
    numbers = stored("sampler_tiny")
    pet = pet_with(numbers, TINY)
    mask, jet, label = (numbers[f"in.{key}"] for key in ("mask", "jet", "label"))
    diffused = np.float32([1, 1, 1] + [0] * 10)

    def velocity(x, time, label):
        column = np.full((len(mask), 1), time, "float32")
        return pet.velocity(x * mask[:, :, None] * diffused, mask, jet, column, label)

    sampled = sample_deterministic(guided(velocity, 0.1, label, 0 * label), numbers["in.noise"], 8)
    sampled = (np.asarray(sampled) * mask[:, :, None])[:, :, :3]
    reference, unguided, perturbed = (
        numbers[f"out.sample_8{suffix}"][:, :, :3]
        for suffix in ("_w0.1", "", "_input_perturbed_1e-6")
    )
    tolerance = 5 * np.abs(unguided - perturbed).max()
    assert np.abs(sampled - reference).max() <= tolerance
    assert tolerance < 0.1 * np.abs(reference - unguided).max()


def test_a_new_network_predicts_zero_velocity():
    jet, time, label = np.ones((2, 4), "float32"), np.ones((2, 1), "float32"), np.eye(3)[:2]
    assert not np.asarray(JetGenerator(SMALL)(jet, time, label)).any()
