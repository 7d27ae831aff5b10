"""Each layer of PET against a slow literal implementation."""

import keras
import numpy as np
import pytest
from scipy.special import erf

from omnilearn.model.embedding import fourier_features
from omnilearn.model.layers import Attention, JetNormalization, LocalEncoding, Slots, gelu

JETS, SLOTS, DIM, HEADS, NEIGHBOURS = 3, 14, 8, 2, 4


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def randomise(layer: keras.layers.Layer, rng) -> None:
    """Give every weight of a layer random values."""
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)


def slow_gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def slow_attention(layer: Attention, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Head by head and query by query; a key of weight w is repeated w times in the softmax."""
    result = np.zeros_like(x)
    for jet in range(len(x)):
        copies = np.repeat(np.arange(x.shape[1]), weight.astype(int))
        for slot in range(x.shape[1]):
            mixed = []
            for head in range(layer.heads):
                query, key, value = (
                    x[jet] @ np.asarray(part.kernel)[:, head] + np.asarray(part.bias)[head]
                    for part in (layer.query, layer.key, layer.value)
                )
                share = softmax(key[copies] @ query[slot] / np.sqrt(layer.head_dim))
                mixed.append(share @ value[copies])
            kernel = np.asarray(layer.attention_output.kernel)
            result[jet, slot] = np.einsum("hk,hkd->d", np.array(mixed), kernel)
            result[jet, slot] += np.asarray(layer.attention_output.bias)
    return result


@pytest.mark.parametrize("heaviest", [1, 5])
def test_attention_equals_that_with_keys_repeated_by_their_weight(rng, heaviest):
    layer = Attention(DIM, HEADS)
    randomise(layer, rng)
    x = rng.normal(size=(JETS, SLOTS, DIM)).astype("float32")
    weight = np.float32([1] * (SLOTS - 1) + [heaviest])
    slots = Slots(np.ones((JETS, SLOTS, 1), "float32"), weight[None])
    expected = slow_attention(layer, x.astype("float64"), weight)
    np.testing.assert_allclose(layer(x, bias=slots.attention_bias), expected, atol=2e-5)
    token = layer.token(x, bias=slots.attention_bias)
    np.testing.assert_allclose(token[:, 0], expected[:, 0], atol=2e-5)


def test_attention_equals_that_of_keras(rng):
    layer, keras_layer = Attention(DIM, HEADS), keras.layers.MultiHeadAttention(HEADS, DIM // HEADS)
    x = rng.normal(size=(JETS, SLOTS, DIM)).astype("float32")
    keras_layer(x, x)
    randomise(layer, rng)
    for name in ("query", "key", "value", "attention_output"):
        part = getattr(layer, name)
        for array in (part.kernel, part.bias):
            ending = f"/{name}/{array.name}"
            next(w for w in keras_layer.weights if w.path.endswith(ending)).assign(array)
    np.testing.assert_allclose(layer(x), keras_layer(x, x), atol=2e-5)


def test_normalisation_equals_that_over_a_jet_of_repeated_slots(rng):
    layer = JetNormalization(DIM)
    randomise(layer, rng)
    x = rng.normal(size=(JETS, SLOTS, DIM)).astype("float32")
    weight = np.float32([1] * (SLOTS - 1) + [9])
    repeated = np.repeat(x, weight.astype(int), axis=1)
    keras_layer = keras.layers.GroupNormalization(groups=1, epsilon=1e-3)
    keras_layer.build(repeated.shape)
    keras_layer.gamma.assign(layer.gamma)
    keras_layer.beta.assign(layer.beta)
    expected = keras_layer(repeated)
    np.testing.assert_allclose(layer(x, weight=weight[None]), expected[:, :SLOTS], atol=2e-5)
    np.testing.assert_allclose(layer(repeated), expected, atol=2e-5)


def slow_local(layer: LocalEncoding, coordinates, features, mask) -> np.ndarray:
    """Sort distances slot by slot, build [f_j - f_i, f_i] for each neighbour, average."""
    first, second = layer.first, layer.second
    weights = [
        np.asarray(w, "float64") for w in (first.kernel, first.bias, second.kernel, second.bias)
    ]
    result = np.zeros((*features.shape[:2], layer.dim))
    for jet in range(len(features)):
        points = coordinates[jet] + 999 * (1 - mask[jet])
        for slot in range(features.shape[1]):
            distance = np.square(points - points[slot]).sum(axis=-1)
            nearest = np.argsort(distance, kind="stable")[1 : layer.neighbours + 1]
            edges = []
            for neighbour in nearest:
                pair = features[jet, neighbour] - features[jet, slot], features[jet, slot]
                hidden = slow_gelu(np.concatenate(pair) @ weights[0] + weights[1])
                edges.append(slow_gelu(hidden @ weights[2] + weights[3]))
            result[jet, slot] = np.mean(edges, axis=0)
    return result


def test_local_encoding_equals_that_which_builds_every_edge(rng):
    layer = LocalEncoding(5, DIM, NEIGHBOURS)
    randomise(layer, rng)
    mask = (np.arange(SLOTS) < np.array([4, 9, 14])[:, None]).astype("float32")[:, :, None]
    features = (rng.normal(size=(JETS, SLOTS, 5)) * mask).astype("float32")
    encoded = np.asarray(layer(features[:, :, :2], features, slots=Slots(mask)))
    expected = slow_local(layer, features[:, :, :2].astype("float64"), features, mask)
    real = mask[:, :, 0] > 0
    np.testing.assert_allclose(encoded[real], expected[real], atol=2e-5)


def test_padded_slots_are_their_own_neighbours_when_enough_of_them_are_absent(rng):
    layer = LocalEncoding(5, DIM, NEIGHBOURS)
    randomise(layer, rng)
    mask = (np.arange(SLOTS) < 6).astype("float32")[None, :, None]
    features = (rng.normal(size=(1, SLOTS, 5)) * mask).astype("float32")
    literal = np.asarray(layer(features[:, :, :2], features, slots=Slots(mask)))
    slots = Slots(mask, own_neighbour=True)
    np.testing.assert_allclose(layer(features[:, :, :2], features, slots=slots), literal, atol=1e-6)


def test_gelu_is_exact(rng):
    x = rng.normal(size=1000).astype("float32") * 3
    np.testing.assert_allclose(gelu(x), slow_gelu(x.astype("float64")), atol=1e-6)


def test_time_embedding_vanishes_at_time_zero_and_equals_its_formula():
    time = np.float32([[0.0], [0.3], [1.0]])
    embedded = np.asarray(fourier_features(time))
    assert not embedded[0].any()
    frequency = np.exp(-np.log(1e4) / 31 * np.arange(32))
    angle = 1000 * time.astype("float64") * frequency
    expected = np.concatenate([np.sin(angle), np.cos(angle)], axis=1) * time
    np.testing.assert_allclose(embedded, expected, atol=2e-4)  # float32 angles up to 1000
