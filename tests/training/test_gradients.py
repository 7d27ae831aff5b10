"""There are few graphs; gradients are equal at every padded length and reproducible."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_training import ARCHITECTURE, set_scales_to_one, tiny_pet

from omnilearn.errors import UserError
from omnilearn.keras_settings import uses_xla
from omnilearn.training.gradients import compiled, compiled_for_batches, with_gradients
from omnilearn.training.objective import PETObjective
from omnilearn.training.optimiser import make_optimiser

SLOTS = ARCHITECTURE.max_constituents


@pytest.fixture(scope="module")
def objective():
    return PETObjective(set_scales_to_one(tiny_pet()), "all")


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


def test_no_integers_are_transposed_for_a_gradient(objective, batch):
    """Of them oneDNN prints an error in every training on a CPU."""
    variables = list(objective.trained().values())
    gradients = tf.function(with_gradients(objective.losses, variables), autograph=False)
    operations = gradients.get_concrete_function(batch).graph.get_operations()
    kinds = {operation.get_attr("T") for operation in operations if operation.type == "Transpose"}
    assert kinds == {tf.float32}


def test_all_shortened_lengths_share_one_graph_and_give_the_gradient_of_the_full_one(
    objective, batch
):
    traced = []

    def losses(batch):
        traced.append(batch["mask"].shape)
        return objective.losses(batch)

    weights = objective.trained()
    step = compiled_for_batches(with_gradients(losses, list(weights.values())), SLOTS)
    expected, full = step(batch)
    for slots in (11, 12, 13):
        terms, gradients = step(shortened(batch, slots))
        for name, value in expected.items():
            assert float(terms[name]) == pytest.approx(float(value), rel=1e-4), name
        for name, gradient, expected_gradient in zip(weights, gradients, full, strict=True):
            tolerance = 1e-3 * np.abs(expected_gradient).max() + 1e-6
            np.testing.assert_allclose(gradient, expected_gradient, atol=tolerance, err_msg=name)
    assert len(traced) == 2


def test_jets_of_any_number_share_the_graphs(objective, batch):
    jets = {name: value for name, value in batch.items() if np.ndim(value)}
    traced = []

    def logits(batch):
        traced.append(batch["mask"].shape)
        return objective.model(batch)

    call = compiled_for_batches(logits, SLOTS, any_size=True)
    for slots in (12, SLOTS):
        of_all = np.asarray(call(shortened(jets, slots)))
        for first, stop in ((0, 1), (1, 4)):
            few = {name: value[first:stop] for name, value in jets.items()}
            alone = np.asarray(call(shortened(few, slots)))
            np.testing.assert_allclose(alone, of_all[first:stop], atol=1e-5)
    assert len(traced) == 2


def test_numbers_of_a_batch_are_inputs_of_its_graph(objective, batch):
    losses = compiled_for_batches(objective.losses, SLOTS)
    longer = {**batch, "constituents_per_jet": np.float32(12.0)}
    velocity = float(losses(batch)["velocity"])
    assert velocity == pytest.approx(2 * float(losses(longer)["velocity"]), rel=1e-5)
    assert float(losses({**longer, "weight": np.zeros_like(batch["weight"])})["loss"]) == 0


def test_an_unused_weight_has_gradient_zero(objective, batch):
    weights = objective.trained()
    classifier = PETObjective(objective.model, "classifier")
    gradients = compiled(with_gradients(classifier.losses, list(weights.values())))(batch)[1]
    sizes = {name: np.abs(g).max() for name, g in zip(weights, gradients, strict=True)}
    assert all(size == 0 for name, size in sizes.items() if name.startswith("generator."))
    assert sizes["classifier.logits.kernel"] > 0
    assert sizes["body.embedding.first.kernel"] > 0


def test_a_function_is_traced_once_per_set_of_shapes():
    traced = []
    double = compiled(lambda x: traced.append(x.shape) or 2 * x)
    for rows in (2, 3, 2, 3):
        np.testing.assert_array_equal(double(np.ones(rows, "float32")), np.full(rows, 2.0))
    assert len(traced) == 2


def update(optimiser, weights):
    return compiled(lambda gradients: optimiser.apply(gradients, weights), xla=uses_xla())


@pytest.mark.slow
def test_a_training_step_compiled_by_xla_is_the_same_step(objective, batch, monkeypatch):
    """Loss, gradients and the weights after one step."""
    rate = 1e-3
    weights = list(objective.trained().values())
    start = [np.array(weight) for weight in weights]
    after = {}
    for xla in ("0", "1"):
        monkeypatch.setenv("OMNILEARN_XLA", xla)
        for weight, value in zip(weights, start, strict=True):
            weight.assign(value)
        optimiser = make_optimiser("adamw", {}, rate, 0.0)
        optimiser.build(weights)
        step = compiled_for_batches(with_gradients(objective.losses, weights), SLOTS)
        terms, gradients = step(shortened(batch, 12))
        update(optimiser, weights)(gradients)
        after[xla] = (
            float(terms["loss"]),
            [np.array(gradient) for gradient in gradients],
            [np.array(weight) for weight in weights],
        )
    (loss, gradients, moved), (xla_loss, xla_gradients, xla_moved) = after["0"], after["1"]
    assert xla_loss == pytest.approx(loss, rel=1e-5)
    for gradient, expected in zip(xla_gradients, gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-3 * np.abs(expected).max() + 1e-6)
    for weight, expected, before in zip(xla_moved, moved, start, strict=True):
        certain = np.abs(expected - before) > 0.9 * rate  # where the gradient is not rounding
        np.testing.assert_allclose(weight[certain], expected[certain], atol=0.02 * rate)
    assert any((weight != before).any() for weight, before in zip(moved, start, strict=True))


def test_another_value_for_xla_is_refused(monkeypatch):
    monkeypatch.setenv("OMNILEARN_XLA", "yes")
    with pytest.raises(UserError, match="OMNILEARN_XLA is 'yes'; expected 0 or 1"):
        uses_xla()


@pytest.mark.slow
def test_the_same_batch_gives_the_same_gradient_bit_for_bit_in_every_call(objective, batch):
    """On a CPU; with the graph optimisations of TensorFlow six of 108 calls differed."""
    variables = list(objective.trained().values())
    call = compiled_for_batches(with_gradients(objective.losses, variables), SLOTS)

    def bits() -> bytes:
        return b"".join(np.asarray(gradient).tobytes() for gradient in call(batch)[1])

    assert len({bits() for _ in range(200)}) == 1
