"""Graphs: few of them, the same gradient at every padded length, and no number baked in."""

import numpy as np
import pytest
from tiny_training import ARCHITECTURE, tiny_pet

from omnilearn.config import Config
from omnilearn.errors import UserError
from omnilearn.model.checkpoint import model_weights
from omnilearn.training.gradients import compiled, compiled_for_batches, uses_xla, with_gradients
from omnilearn.training.objective import PETObjective
from omnilearn.training.optimiser import make_optimiser

SLOTS = ARCHITECTURE.max_constituents


@pytest.fixture(scope="module")
def objective():
    pet = tiny_pet()
    for name, weight in model_weights(pet).items():
        if name.endswith("gamma"):
            weight.assign(np.ones(weight.shape))  # so that attention is felt
    return PETObjective(pet, "all")


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
    second = losses(
        {
            **batch,
            "constituents_per_jet": np.float32(12.0),
            "weight": np.zeros_like(batch["weight"]),
        }
    )
    third = losses({**batch, "constituents_per_jet": np.float32(12.0)})
    assert float(first["velocity"]) == pytest.approx(2 * float(third["velocity"]), rel=1e-5)
    assert float(second["loss"]) == 0


def test_a_weight_that_is_not_felt_has_gradient_zero(objective, batch):
    named = objective.trained()
    classifier = PETObjective(objective.model, "classifier")
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


def update(optimiser, weights):
    return compiled(lambda found: optimiser.apply(found, weights), xla=uses_xla())


def test_a_training_step_fused_by_xla_is_the_same_step(objective, batch, monkeypatch):
    """Losses, gradients and the weights after one step, with the graphs of every length fused."""
    config = Config(lr=1e-3)
    weights = list(objective.trained().values())
    start = [np.array(weight) for weight in weights]
    after = {}
    for asked in ("0", "1"):
        monkeypatch.setenv("OMNILEARN_XLA", asked)
        for weight, value in zip(weights, start, strict=True):
            weight.assign(value)
        optimiser = make_optimiser("adamw", {}, config.lr, 0.0)
        optimiser.build(weights)
        step = compiled_for_batches(with_gradients(objective.losses, weights), SLOTS)
        terms, gradients = step(shortened(batch, 12))
        update(optimiser, weights)(gradients)
        after[asked] = (
            float(terms["loss"]),
            [np.array(gradient) for gradient in gradients],
            [np.array(weight) for weight in weights],
        )
    (loss, gradients, moved), (fused_loss, fused_gradients, fused_moved) = after["0"], after["1"]
    assert fused_loss == pytest.approx(loss, rel=1e-5)
    for found, wanted in zip(fused_gradients, gradients, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max() + 1e-6)
    for found, wanted, before in zip(fused_moved, moved, start, strict=True):
        certain = np.abs(wanted - before) > 0.9 * config.lr  # where the gradient is not rounding
        np.testing.assert_allclose(found[certain], wanted[certain], atol=0.02 * config.lr)
    assert any(
        (np.abs(wanted - before) > 0).any() for wanted, before in zip(moved, start, strict=True)
    )


def test_another_wish_for_xla_is_refused(monkeypatch):
    monkeypatch.setenv("OMNILEARN_XLA", "yes")
    with pytest.raises(UserError, match="OMNILEARN_XLA is 'yes'; expected 0 or 1"):
        uses_xla()


def test_the_same_batch_gives_the_same_gradient_bit_for_bit_in_every_call(objective, batch):
    """On a CPU; with the rewritings of TensorFlow on, six of 108 calls differed."""
    variables = list(objective.trained().values())
    call = compiled_for_batches(with_gradients(objective.losses, variables), SLOTS)

    def bits() -> bytes:
        return b"".join(np.asarray(gradient).tobytes() for gradient in call(batch)[1])

    assert len({bits() for _ in range(200)}) == 1
