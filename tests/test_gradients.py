"""Graphs: few of them, the same gradient at every padded length, and no number baked in."""

import numpy as np
import pytest
from tiny_training import ARCHITECTURE, tiny_pet

from omnilearn.gradients import compiled, compiled_for_batches, with_gradients
from omnilearn.model.checkpoint import pet_weights
from omnilearn.tasks.pretraining import Objective

SLOTS = ARCHITECTURE.max_constituents


@pytest.fixture(scope="module")
def objective():
    pet = tiny_pet()
    for name, weight in pet_weights(pet).items():
        if name.endswith("gamma"):
            weight.assign(np.ones(weight.shape))  # so that attention is felt
    return Objective(pet, "all")


@pytest.fixture(scope="module")
def batch():
    """Four prepared jets of up to 11 constituents in all slots."""
    rng = np.random.default_rng(0)
    mask = (np.arange(SLOTS) < np.array([[1], [4], [8], [11]])).astype("float32")
    jets = {
        "constituents": rng.normal(size=(4, SLOTS, 13)).astype("float32") * mask[:, :, None],
        "mask": mask,
        "jet": rng.normal(size=(4, 4)).astype("float32"),
        "label": np.eye(2, dtype="float32")[[0, 1, 1, 0]],
        "weight": np.float32([1, 1, 0.5, 1.5]),
    }
    return {
        **jets,
        "time": np.float32([[0.1], [0.3], [0.5], [0.9]]),
        "noise": rng.normal(size=(4, SLOTS, 3)).astype("float32"),
        "constituents_per_jet": np.float32(6.0),
    }


def shortened(batch: dict, slots: int) -> dict:
    per_slot = ("constituents", "mask", "noise")
    return {name: value[:, :slots] if name in per_slot else value for name, value in batch.items()}


def test_all_shortened_lengths_share_one_graph_and_give_the_gradient_of_the_full_one(
    objective, batch
):
    traced = []

    def losses(batch):
        traced.append(batch["mask"].shape)
        return objective.losses(batch)

    named = objective.trained()
    step = compiled_for_batches(with_gradients(losses, list(named.values())), SLOTS)
    expected, full = step(batch)
    for slots in (11, 12, 13):
        terms, gradients = step(shortened(batch, slots))
        for name, value in expected.items():
            assert float(terms[name]) == pytest.approx(float(value), rel=1e-4), name
        for name, found, wanted in zip(named, gradients, full, strict=True):
            scale = np.abs(wanted).max()
            np.testing.assert_allclose(found, wanted, atol=1e-3 * scale + 1e-6, err_msg=name)
    assert len(traced) == 2


def test_the_same_batch_has_the_same_gradient_to_the_last_bit(objective, batch):
    weights = list(objective.trained().values())
    step = compiled_for_batches(with_gradients(objective.losses, weights), SLOTS)
    first = [np.array(gradient) for gradient in step(batch)[1]]
    for _ in range(60):  # sums in the order of arrival differ about once in ten
        for again, gradient in zip(step(batch)[1], first, strict=True):
            np.testing.assert_array_equal(again, gradient)


def test_numbers_of_a_batch_are_not_baked_into_its_graph(objective, batch):
    losses = compiled_for_batches(objective.losses, SLOTS)
    first = losses(batch)
    second = losses({**batch, "constituents_per_jet": np.float32(12.0), "weight": np.zeros_like(
        batch["weight"])})  # fmt: skip
    third = losses({**batch, "constituents_per_jet": np.float32(12.0)})
    assert float(first["velocity"]) == pytest.approx(2 * float(third["velocity"]), rel=1e-5)
    assert float(second["loss"]) == 0


def test_a_weight_that_is_not_felt_has_gradient_zero(objective, batch):
    named = objective.trained()
    classifier = Objective(objective.pet, "classifier")
    gradients = compiled(with_gradients(classifier.losses, list(named.values())))(batch)[1]
    found = {name: np.abs(gradient).max() for name, gradient in zip(named, gradients, strict=True)}
    assert all(size == 0 for name, size in found.items() if name.startswith("generator."))
    assert found["classifier.logits.kernel"] > 0
    assert found["body.embedding.first.kernel"] > 0


def test_a_function_is_traced_once_per_set_of_shapes():
    traced = []
    double = compiled(lambda x: traced.append(x.shape) or 2 * x)
    for rows in (2, 3, 2, 3):
        np.testing.assert_array_equal(double(np.ones(rows, "float32")), np.full(rows, 2.0))
    assert len(traced) == 2
