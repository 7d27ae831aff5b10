"""The two-jet classifier: symmetries, comparison with a literal version, and its weights."""

import keras
import numpy as np
import pytest
from keras import ops

from omnilearn.anomaly.dijet_classifier import DijetClassifier
from omnilearn.model.checkpoint import model_weights
from omnilearn.model.layers import Slots
from omnilearn.model.pet import PET, PETConfig

SLOTS, SHORT = 40, 14
SIZES = {
    "projection_dim": 8,
    "num_layers": 1,
    "num_heads": 2,
    "num_classes": 2,
    "max_constituents": SLOTS,
    "classifier_layers": 2,
    "generator_layers": 1,
    "layer_scale": 1.0,
}


@pytest.fixture
def events():
    """Four events of two jets in SHORT slots: features, mask, jet."""
    rng = np.random.default_rng(0)
    multiplicity = np.array([[14, 3], [5, 12], [1, 1], [9, 9]])
    mask = (np.arange(SHORT)[:, None] < multiplicity[:, None]).astype("float32")
    features = rng.normal(size=(4, SHORT, 2, 13)).astype("float32") * mask[..., None]
    return features, mask, rng.normal(size=(4, 2, 4)).astype("float32")


def classifier(padding: str = "released") -> DijetClassifier:
    keras.utils.set_random_seed(3)
    pet = PET(PETConfig(**SIZES, padding=padding))
    for name, weight in model_weights(pet).items():  # zeros and ones would hide errors
        if name.split(".")[-1] in ("bias", "beta", "gamma", "token"):
            weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=len(name)))
    return DijetClassifier(pet)


def logits(model, *arrays) -> np.ndarray:
    return np.asarray(model.classify(*arrays))


def padded(array: np.ndarray) -> np.ndarray:
    """The events with all slots."""
    return np.pad(array, [(0, 0), (0, SLOTS - SHORT), *[(0, 0)] * (array.ndim - 2)])


@pytest.mark.parametrize("padding", ["released", "masked"])
def test_order_of_constituents_and_of_jets_changes_nothing(events, padding):
    features, mask, jet = events
    model = classifier(padding)
    expected = logits(model, *events)
    order = np.random.default_rng(1).permutation(SHORT)
    permuted = logits(model, features[:, order], mask[:, order], jet)
    np.testing.assert_allclose(permuted, expected, atol=2e-5)
    swapped = logits(model, features[:, :, ::-1], mask[:, :, ::-1], jet[:, ::-1])
    np.testing.assert_allclose(swapped, expected, atol=2e-5)


def test_constituents_are_conditioned_on_the_kinematics_of_their_jet(events):
    features, mask, jet = events
    model = classifier()
    swapped = logits(model, features, mask, jet[:, ::-1])
    assert np.abs(swapped - logits(model, *events)).max() > 1e-3


@pytest.mark.parametrize("padding", ["released", "masked"])
def test_fewer_slots_give_the_logits_of_all_slots(events, padding):
    features, mask, jet = events
    model = classifier(padding)
    expected = logits(model, padded(features), padded(mask), jet)
    np.testing.assert_allclose(logits(model, *events), expected, atol=2e-5)


def test_the_two_jet_classifier_equals_its_literal_version(events):
    features, mask, jet = events
    model = classifier()
    pet, head = model.pet, model.classifier
    features, mask = padded(features), padded(mask)
    conditioned = []
    for index in range(2):  # each jet separately through the body, with all slots
        body = pet.encode(features[:, :, index], mask[:, :, index])
        kernel, bias = np.asarray(head.jet_film.kernel), np.asarray(head.jet_film.bias)
        film = np.asarray(ops.gelu(jet[:, index] @ kernel + bias, approximate=False))[:, None]
        scale, shift = film[..., :8], film[..., 8:]
        conditioned.append(np.asarray(body) * (1 + scale) + shift)
    constituents = np.concatenate(conditioned, axis=1)
    slots = Slots(np.pad(mask.swapaxes(1, 2).reshape(len(jet), -1, 1), ((0, 0), (1, 0), (0, 0))))
    token = np.tile(np.asarray(head.token)[None], (len(jet), 1, 1))
    for layer in head.layers:
        token = layer(token, constituents, slots=slots)
    expected = head.logits(head.norm_final(token)[:, 0])
    np.testing.assert_allclose(logits(model, *events), expected, atol=2e-5)


def test_weights_are_those_of_the_pet_under_the_same_names():
    keras.utils.set_random_seed(1)
    pet = PET(PETConfig(**SIZES))
    model = DijetClassifier(pet)
    weights, pet_weights = model_weights(model), model_weights(pet)
    assert weights.keys() == {name for name in pet_weights if not name.startswith("generator")}
    for name, weight in weights.items():
        assert weight is pet_weights[name]
