"""Mixed precision: bfloat16 products between float32 weights, normalisations and losses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from tiny_training import ARCHITECTURE, set_scales_to_one, tiny_pet

from omnilearn.model import layers
from omnilearn.model.checkpoint import build_pet, load_checkpoint, save_checkpoint, weight_arrays
from omnilearn.model.precision import FULL, REDUCED, biased, in_precision, product
from omnilearn.training.gradients import compiled_for_batches, with_gradients
from omnilearn.training.objective import PETObjective

SLOTS = ARCHITECTURE.max_constituents
JETS = 64


@pytest.fixture(scope="module")
def pet():
    """A PET with layer scales of one, so that attention and feed-forward contribute."""
    return set_scales_to_one(tiny_pet())


@pytest.fixture(scope="module")
def batch():
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


@pytest.mark.slow
def test_losses_agree_within_the_mantissa_of_bfloat16_and_are_float32(both):
    (exact, _), (rounded, _) = both[FULL], both[REDUCED]
    for name, value in exact.items():
        assert rounded[name].dtype == np.float32
        assert rounded[name] == pytest.approx(value, rel=2e-2), name
    assert rounded["loss"] != exact["loss"]  # something was rounded


def test_gradients_have_the_direction_of_those_of_float32(both):
    """Of every weight within 5 degrees, and of all together within one."""
    (_, exact), (_, rounded) = both[FULL], both[REDUCED]
    names = [name for name in exact if not name.endswith("key.bias")]
    for name in names:
        assert rounded[name].dtype == np.float32
        if np.abs(exact[name]).max() > 1e-5:
            assert cosine(exact[name], rounded[name]) > np.cos(np.radians(5)), name
    together = [np.concatenate([g[name].ravel() for name in names]) for g in (exact, rounded)]
    assert cosine(*together) > np.cos(np.radians(1))


def cosine(a, b) -> float:
    return float(np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_other_operations_than_products_stay_float32(pet, batch, monkeypatch):
    """The inputs of normalisations, softmax and the search for neighbours are float32."""
    calls = []

    def watched(function):
        def call(*arguments, **named):
            types = {
                keras.backend.standardize_dtype(x.dtype)
                for x in (*arguments, *named.values())
                if hasattr(x, "dtype") and not isinstance(x, keras.layers.Layer)
            }
            calls.append((function.__qualname__, types))
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
    assert {name for name, _ in calls} == {
        "JetNormalization.call",
        "LayerScale.call",
        "attention_shares",
        "nearest_slots",
    }
    assert {kind for _, types in calls for kind in types} == {"float32"}


def test_neighbours_are_those_of_float32(pet, batch, monkeypatch):
    """Those of the first edge layer; coordinates of the second one are outputs of products."""
    search, nearest = layers.nearest_slots, []
    monkeypatch.setattr(
        layers, "nearest_slots", lambda *given: nearest.append(search(*given)) or nearest[-1]
    )
    for precision in (FULL, REDUCED):
        in_precision(pet.call, precision)(batch)
    np.testing.assert_array_equal(nearest[0], nearest[2])


@pytest.mark.slow
def test_weights_and_checkpoint_are_float32_and_load_under_either_precision(pet, batch, tmp_path):
    path = tmp_path / "last.h5"
    logits = {}
    for precision in (FULL, REDUCED):
        losses_and_gradients(pet, batch, precision)
        weights = weight_arrays(pet)
        assert {array.dtype for array in weights.values()} == {np.dtype("float32")}
        save_checkpoint(path, ARCHITECTURE, weights, {})
        checkpoint = load_checkpoint(path)
        for name, array in checkpoint.weights.items():
            np.testing.assert_array_equal(array, weights[name])
        assert checkpoint.weights.keys() == weights.keys()
        assert checkpoint.model_config == ARCHITECTURE
        loaded = build_pet(checkpoint)
        logits[precision] = [
            np.asarray(in_precision(loaded.call, each)(batch)) for each in (FULL, REDUCED)
        ]
    np.testing.assert_array_equal(logits[FULL], logits[REDUCED])


def test_float32_casts_nothing(pet, batch, monkeypatch):
    """Without a cast to bfloat16, the float32 path is that of a plain call."""
    plain = np.asarray(pet.call(batch))
    cast = ops.cast

    def only_float32(x, dtype):
        assert dtype != REDUCED
        return cast(x, dtype)

    monkeypatch.setattr(ops, "cast", only_float32)
    np.testing.assert_array_equal(in_precision(pet.call, FULL)(batch), plain)
    a, b = np.float32([[1.00390625]]), np.float32([[1.0]])
    assert float(product(a, b)[0, 0]) == a[0, 0]


def test_bfloat16_switches_tensor_float_32_off():
    """Its float32 products on a GPU have 10 bits, too few to order near neighbours."""
    is_on = tf.config.experimental.tensor_float_32_execution_enabled
    for precision, expected in ((FULL, True), (REDUCED, False)):
        tf.config.experimental.enable_tensor_float_32_execution(True)
        compiled_for_batches(lambda batch: batch, SLOTS, precision)
        assert is_on() is expected
    tf.config.experimental.enable_tensor_float_32_execution(True)


def test_precision_ends_with_the_call_even_if_it_raises():
    def fails():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        in_precision(fails, REDUCED)()
    assert keras.backend.standardize_dtype(product(np.eye(2), np.eye(2)).dtype) != REDUCED


def test_the_gradient_of_a_bias_sums_many_rows():
    """A sum of ones in bfloat16 would stop at 256."""
    rows = 5000
    bias = keras.Variable(np.zeros(3, "float32"))

    def losses(batch):
        return {"loss": ops.sum(ops.cast(biased(ops.cast(batch["x"], REDUCED), bias), FULL))}

    step = with_gradients(in_precision(losses, REDUCED), [bias])
    (gradient,) = step({"x": ops.zeros((rows, 3))})[1]
    np.testing.assert_allclose(gradient, np.full(3, rows), rtol=2**-8)
