"""Each fast piece of PET against a slow literal twin that states what it computes."""

import keras
import numpy as np
import pytest
from scipy.special import erf

from omnilearn.model.embedding import fourier_features
from omnilearn.model.layers import Attention, JetNormalization, LocalEncoding, Slots, gelu

JETS, SLOTS, DIM, HEADS, NEIGHBOURS = 3, 14, 8, 2, 4


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def filled(layer: keras.layers.Layer, rng) -> dict[str, np.ndarray]:
    """Give every weight of a layer random values; returns them by path."""
    values = {}
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
        values[weight.path] = np.asarray(weight, "float64")
    return values


def slow_gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def slow_attention(layer: Attention, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Head by head and query by query; a key of weight w stands w times in the softmax."""
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


@pytest.mark.parametrize("heavy", [1, 5])
def test_attention_equals_the_one_that_repeats_keys_by_their_weight(rng, heavy):
    layer = Attention(DIM, HEADS)
    filled(layer, rng)
    x = rng.normal(size=(JETS, SLOTS, DIM)).astype("float32")
    weight = np.float32([1] * (SLOTS - 1) + [heavy])
    slots = Slots(np.ones((JETS, SLOTS, 1), "float32"), weight[None])
    expected = slow_attention(layer, x.astype("float64"), weight)
    np.testing.assert_allclose(layer(x, bias=slots.attention_bias), expected, atol=2e-5)
    token = layer.token(x, bias=slots.attention_bias)
    np.testing.assert_allclose(token[:, 0], expected[:, 0], atol=2e-5)


def test_attention_equals_that_of_keras(rng):
    layer, theirs = Attention(DIM, HEADS), keras.layers.MultiHeadAttention(HEADS, DIM // HEADS)
    x = rng.normal(size=(JETS, SLOTS, DIM)).astype("float32")
    theirs(x, x)
    filled(layer, rng)
    for ours, name in (
        (layer.query, "query"),
        (layer.key, "key"),
        (layer.value, "value"),
        (layer.attention_output, "attention_output"),
    ):
        for array in (ours.kernel, ours.bias):
            twin = next(w for w in theirs.weights if w.path.endswith(f"/{name}/{array.name}"))
            twin.assign(array)
    np.testing.assert_allclose(layer(x), theirs(x, x), atol=2e-5)


def test_normalisation_equals_that_over_a_jet_of_repeated_slots(rng):
    layer = JetNormalization()
    layer.build((None, None, DIM))
    filled(layer, rng)
    x = rng.normal(size=(JETS, SLOTS, DIM)).astype("float32")
    weight = np.float32([1] * (SLOTS - 1) + [9])
    whole = np.repeat(x, weight.astype(int), axis=1)
    theirs = keras.layers.GroupNormalization(groups=1, epsilon=1e-3)
    theirs.build(whole.shape)
    theirs.gamma.assign(layer.gamma)
    theirs.beta.assign(layer.beta)
    found = np.asarray(layer(x, weight=weight[None]))
    np.testing.assert_allclose(found, theirs(whole)[:, :SLOTS], atol=2e-5)
    np.testing.assert_allclose(layer(whole), theirs(whole), atol=2e-5)


def slow_local(layer: LocalEncoding, coordinates, features, mask) -> np.ndarray:
    """Sort distances slot by slot, build [f_j - f_i, f_i] for each neighbour, average."""
    first, second = layer.first, layer.second
    weights = [
        np.asarray(w, "float64") for w in (first.kernel, first.bias, second.kernel, second.bias)
    ]
    result = np.zeros((*features.shape[:2], layer.dim))
    for jet in range(len(features)):
        where = coordinates[jet] + 999 * (1 - mask[jet])
        for slot in range(features.shape[1]):
            distance = np.square(where - where[slot]).sum(axis=-1)
            nearest = np.argsort(distance, kind="stable")[1 : layer.neighbours + 1]
            edges = []
            for other in nearest:
                pair = features[jet, other] - features[jet, slot], features[jet, slot]
                hidden = slow_gelu(np.concatenate(pair) @ weights[0] + weights[1])
                edges.append(slow_gelu(hidden @ weights[2] + weights[3]))
            result[jet, slot] = np.mean(edges, axis=0)
    return result


def test_local_encoding_equals_the_one_that_builds_every_edge(rng):
    layer = LocalEncoding(5, DIM, NEIGHBOURS)
    filled(layer, rng)
    mask = (np.arange(SLOTS) < np.array([4, 9, 14])[:, None]).astype("float32")[:, :, None]
    features = (rng.normal(size=(JETS, SLOTS, 5)) * mask).astype("float32")
    found = np.asarray(layer(features[:, :, :2], features, slots=Slots(mask)))
    expected = slow_local(layer, features[:, :, :2].astype("float64"), features, mask)
    real = mask[:, :, 0] > 0
    np.testing.assert_allclose(found[real], expected[real], atol=2e-5)


def test_padded_slots_are_their_own_neighbours_when_enough_of_them_are_absent(rng):
    layer = LocalEncoding(5, DIM, NEIGHBOURS)
    filled(layer, rng)
    mask = (np.arange(SLOTS) < 6).astype("float32")[None, :, None]
    features = (rng.normal(size=(1, SLOTS, 5)) * mask).astype("float32")
    literal = np.asarray(layer(features[:, :, :2], features, slots=Slots(mask)))
    own = np.asarray(layer(features[:, :, :2], features, slots=Slots(mask, own_neighbour=True)))
    np.testing.assert_allclose(own, literal, atol=1e-6)


def test_gelu_is_the_exact_one(rng):
    x = rng.normal(size=1000).astype("float32") * 3
    np.testing.assert_allclose(gelu(x), slow_gelu(x.astype("float64")), atol=1e-6)


def test_time_embedding_vanishes_at_time_zero_and_equals_its_formula():
    time = np.float32([[0.0], [0.3], [1.0]])
    found = np.asarray(fourier_features(time))
    assert not found[0].any()
    frequency = np.exp(-np.log(1e4) / 31 * np.arange(32))
    angle = 1000 * time.astype("float64") * frequency
    expected = np.concatenate([np.sin(angle), np.cos(angle)], axis=1) * time
    np.testing.assert_allclose(found, expected, atol=2e-4)  # float32 angles up to 1000
