"""Mixed precision: bfloat16 products between float32 weights, normalisations and losses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from tiny_training import ARCHITECTURE, tiny_pet

from omnilearn.model import layers
from omnilearn.model.checkpoint import build_pet, load_checkpoint, model_weights, save_checkpoint
from omnilearn.model.precision import FULL, REDUCED, biased, in_precision, product
from omnilearn.training.gradients import compiled_for_batches, with_gradients
from omnilearn.training.objective import PETObjective

SLOTS = ARCHITECTURE.max_constituents
JETS = 64


@pytest.fixture(scope="module")
def pet():
    """Its layer scales are one, so that attention and feed-forward are felt."""
    pet = tiny_pet()
    for name, weight in model_weights(pet).items():
        if name.endswith("gamma"):
            weight.assign(np.ones(weight.shape))
    return pet


@pytest.fixture(scope="module")
def batch() -> dict:
    rng = np.random.default_rng(0)
    mask = (np.arange(SLOTS) < rng.integers(3, SLOTS + 1, JETS)[:, None]).astype("float32")
    return {
        "constituents": rng.normal(size=(JETS, SLOTS, 13)).astype("float32") * mask[:, :, None],
        "mask": mask,
        "jet": rng.normal(size=(JETS, 4)).astype("float32"),
        "label": np.eye(2, dtype="float32")[rng.integers(0, 2, JETS)],
        "weight": np.ones(JETS, "float32"),
        "time": rng.uniform(0.1, 0.9, size=(JETS, 1)).astype("float32"),
        "noise": rng.normal(size=(JETS, SLOTS, 3)).astype("float32"),
        "constituents_per_jet": np.float32(12.0),
    }


def losses_and_gradients(pet, batch, precision: str) -> tuple[dict, dict]:
    objective = PETObjective(pet, "all")
    trained = objective.trained()
    step = compiled_for_batches(
        with_gradients(objective.losses, list(trained.values())), SLOTS, precision
    )
    terms, gradients = step(batch)
    return (
        {name: np.asarray(term) for name, term in terms.items()},
        {name: np.asarray(g) for name, g in zip(trained, gradients, strict=True)},
    )


@pytest.fixture(scope="module")
def both(pet, batch):
    return {name: losses_and_gradients(pet, batch, name) for name in (FULL, REDUCED)}


def test_losses_agree_within_the_mantissa_of_bfloat16_and_are_float32(both):
    (exact, _), (rounded, _) = both[FULL], both[REDUCED]
    for name, value in exact.items():
        assert rounded[name].dtype == np.float32
        assert rounded[name] == pytest.approx(value, rel=2e-2), name
    assert rounded["loss"] != exact["loss"]  # something was rounded


def test_gradients_point_where_those_of_float32_do(both):
    """Every weight's: its direction within 5 degrees, and all together within one."""
    (_, exact), (_, rounded) = both[FULL], both[REDUCED]
    felt = {name: np.abs(g).max() for name, g in exact.items() if not name.endswith("key.bias")}
    for name, largest in felt.items():
        assert rounded[name].dtype == np.float32
        if largest > 1e-5:
            assert cosine(exact[name], rounded[name]) > np.cos(np.radians(5)), name
    together = [np.concatenate([g[name].ravel() for name in felt]) for g in (exact, rounded)]
    assert cosine(*together) > np.cos(np.radians(1))


def cosine(a, b) -> float:
    return float(np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_what_is_not_a_product_stays_float32(pet, batch, monkeypatch):
    """Normalisations, softmax and the search for neighbours are handed float32 alone."""
    seen = []

    def watched(function):
        def call(*arguments, **named):
            seen.append(
                (
                    function.__qualname__,
                    {
                        keras.backend.standardize_dtype(x.dtype)
                        for x in (*arguments, *named.values())
                        if hasattr(x, "dtype") and not isinstance(x, keras.layers.Layer)
                    },
                )
            )
            return function(*arguments, **named)

        return call

    for owner, name in (
        (layers.JetNormalization, "call"),
        (layers.LayerScale, "call"),
        (layers, "attention_shares"),
        (layers, "nearest_slots"),
    ):
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))
    in_precision(PETObjective(pet, "all").losses, REDUCED)(batch)
    assert {name for name, _ in seen} == {
        "JetNormalization.call",
        "LayerScale.call",
        "attention_shares",
        "nearest_slots",
    }
    assert {kind for _, kinds in seen for kind in kinds} == {"float32"}


def test_neighbours_are_those_of_float32(pet, batch, monkeypatch):
    """Those of the first edge layer; the second one searches among what products gave."""
    search, found = layers.nearest_slots, []
    monkeypatch.setattr(
        layers, "nearest_slots", lambda *given: found.append(search(*given)) or found[-1]
    )
    for precision in (FULL, REDUCED):
        in_precision(pet.call, precision)(batch)
    np.testing.assert_array_equal(found[0], found[2])


def test_weights_and_checkpoint_are_float32_and_load_under_either_precision(pet, batch, tmp_path):
    path = tmp_path / "last.h5"
    logits = {}
    for precision in (FULL, REDUCED):
        losses_and_gradients(pet, batch, precision)
        weights = {name: np.asarray(weight) for name, weight in model_weights(pet).items()}
        assert {array.dtype for array in weights.values()} == {np.dtype("float32")}
        save_checkpoint(path, ARCHITECTURE, weights, {})
        again = load_checkpoint(path)
        for name, array in again.weights.items():
            np.testing.assert_array_equal(array, weights[name])
        assert again.weights.keys() == weights.keys()
        assert again.model_config == ARCHITECTURE
        other = build_pet(again)
        logits[precision] = [
            np.asarray(in_precision(other.call, each)(batch)) for each in (FULL, REDUCED)
        ]
    np.testing.assert_array_equal(logits[FULL], logits[REDUCED])


def test_float32_casts_nothing(pet, batch, monkeypatch):
    """The float32 path is the operations it was: no cast to or from bfloat16 is even asked for."""
    plain = np.asarray(pet.call(batch))
    cast = ops.cast

    def only_float32(x, dtype):
        assert dtype != REDUCED
        return cast(x, dtype)

    monkeypatch.setattr(ops, "cast", only_float32)
    np.testing.assert_array_equal(in_precision(pet.call, FULL)(batch), plain)
    a, b = np.float32([[1.00390625]]), np.float32([[1.0]])
    assert float(product(a, b)[0, 0]) == a[0, 0]


def test_float32_beside_bfloat16_is_exact_on_a_gpu_too():
    """TensorFlow's float32 products there have 10 bits, too few to tell near neighbours apart."""
    is_on = tf.config.experimental.tensor_float_32_execution_enabled
    for precision, expected in ((FULL, True), (REDUCED, False)):
        tf.config.experimental.enable_tensor_float_32_execution(True)
        compiled_for_batches(lambda batch: batch, SLOTS, precision)
        assert is_on() is expected
    tf.config.experimental.enable_tensor_float_32_execution(True)


def test_precision_ends_with_the_call_also_with_one_that_fails():
    def fails():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        in_precision(fails, REDUCED)()
    assert keras.backend.standardize_dtype(product(np.eye(2), np.eye(2)).dtype) != REDUCED


def test_the_gradient_of_a_bias_sums_many_rows_without_losing_them():
    """Sums of bfloat16 stop at 256: there a further 1 is rounded away."""
    rows = 5000
    bias = keras.Variable(np.zeros(3, "float32"))

    def losses(batch):
        return {"loss": ops.sum(ops.cast(biased(ops.cast(batch["x"], REDUCED), bias), FULL))}

    step = with_gradients(in_precision(losses, REDUCED), [bias])
    (gradient,) = step({"x": ops.zeros((rows, 3))})[1]
    np.testing.assert_allclose(gradient, np.full(3, rows), rtol=2**-8)
