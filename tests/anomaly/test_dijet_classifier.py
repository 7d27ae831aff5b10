"""The two-jet classifier: what may be exchanged, its literal twin, and where weights come from."""

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
    number = np.array([[14, 3], [5, 12], [1, 1], [9, 9]])
    mask = (np.arange(SHORT)[:, None] < number[:, None]).astype("float32")
    features = rng.normal(size=(4, SHORT, 2, 13)).astype("float32") * mask[..., None]
    return features, mask, rng.normal(size=(4, 2, 4)).astype("float32")


def classifier(padding: str = "released") -> DijetClassifier:
    keras.utils.set_random_seed(3)
    pet = PET(PETConfig(**SIZES, padding=padding))
    for name, weight in model_weights(pet).items():  # zeros and ones would hide what they touch
        if name.split(".")[-1] in ("bias", "beta", "gamma", "token"):
            weight.assign(weight + 0.3 * keras.random.normal(weight.shape, seed=len(name)))
    return DijetClassifier(pet)


def logits(model, *arrays) -> np.ndarray:
    return np.asarray(model.classify(*arrays))


def filled_up(array: np.ndarray) -> np.ndarray:
    """The same events in all slots."""
    return np.pad(array, [(0, 0), (0, SLOTS - SHORT), *[(0, 0)] * (array.ndim - 2)])


@pytest.mark.parametrize("padding", ["released", "masked"])
def test_order_of_constituents_and_of_jets_changes_nothing(events, padding):
    features, mask, jet = events
    model = classifier(padding)
    expected = logits(model, *events)
    order = np.random.default_rng(1).permutation(SHORT)
    found = logits(model, features[:, order], mask[:, order], jet)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    found = logits(model, features[:, :, ::-1], mask[:, :, ::-1], jet[:, ::-1])
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_constituents_belong_to_the_jet_whose_kinematics_they_are_told(events):
    features, mask, jet = events
    model = classifier()
    swapped = logits(model, features, mask, jet[:, ::-1])
    assert np.abs(swapped - logits(model, *events)).max() > 1e-3


@pytest.mark.parametrize("padding", ["released", "masked"])
def test_fewer_slots_give_the_logits_of_all_slots(events, padding):
    features, mask, jet = events
    model = classifier(padding)
    whole = logits(model, filled_up(features), filled_up(mask), jet)
    np.testing.assert_allclose(logits(model, *events), whole, atol=2e-5)


def test_the_model_equals_its_literal_twin(events):
    features, mask, jet = events
    model = classifier()
    pet, head = model.pet, model.classifier
    features, mask = filled_up(features), filled_up(mask)
    seen = []
    for number in range(2):  # one jet after the other through the body, all slots filled
        body = pet.encode(features[:, :, number], mask[:, :, number])
        kernel, bias = np.asarray(head.jet_film.kernel), np.asarray(head.jet_film.bias)
        film = np.asarray(ops.gelu(jet[:, number] @ kernel + bias, approximate=False))[:, None]
        scale, shift = film[..., :8], film[..., 8:]
        seen.append(np.asarray(body) * (1 + scale) + shift)
    together = np.concatenate(seen, axis=1)
    both = np.concatenate([mask[:, :, 0], mask[:, :, 1]], axis=1)[..., None]
    token = np.tile(np.asarray(head.token)[None], (len(jet), 1, 1))
    for layer in head.layers:
        token = layer(token, together, slots=Slots(np.pad(both, ((0, 0), (1, 0), (0, 0)))))
    expected = head.logits(head.norm_final(token)[:, 0])
    np.testing.assert_allclose(logits(model, *events), expected, atol=2e-5)


def test_weights_are_those_of_the_pet_under_the_same_names(events):
    keras.utils.set_random_seed(1)
    pet = PET(PETConfig(**SIZES))
    model = DijetClassifier(pet)
    ours, theirs = model_weights(model), model_weights(pet)
    assert ours.keys() == {name for name in theirs if not name.startswith("generator")}
    for name, weight in ours.items():
        assert weight is theirs[name]
