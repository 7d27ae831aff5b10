"""DeepSets: invariance under order and padding of constituents, and the number of weights."""

import keras
import numpy as np
import pytest

from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig

CONFIG = DeepSetsConfig(widths=(6, 5), classifier_widths=(4,), max_constituents=12)


@pytest.fixture
def jets():
    rng = np.random.default_rng(0)
    mask = (np.arange(12) < rng.integers(2, 12, (5, 1))).astype("float32")
    features = rng.normal(size=(5, 12, 13)).astype("float32")
    return features, mask, rng.normal(size=(5, 4)).astype("float32")


def logits(network, *jets):
    return np.asarray(network.classify(*jets)[0])


def test_order_and_padding_of_constituents_change_nothing(jets):
    keras.utils.set_random_seed(1)
    network = DeepSets(CONFIG)
    features, mask, jet = jets
    expected = logits(network, features, mask, jet)
    order = np.random.default_rng(1).permutation(12)
    np.testing.assert_allclose(
        logits(network, features[:, order], mask[:, order], jet), expected, atol=1e-6
    )
    longer = np.pad(features, ((0, 0), (0, 9), (0, 0)), constant_values=3.0)
    padded = logits(network, longer, np.pad(mask, ((0, 0), (0, 9))), jet)
    np.testing.assert_allclose(padded, expected, atol=1e-6)
    features[:, 0] += 1.0
    assert np.abs(logits(network, features, mask, jet) - expected).max() > 1e-4


def test_the_number_of_weights_is_the_one_computed_by_hand():
    body = 13 * 6 + 6 + 6 * 5 + 5
    assert DeepSets(CONFIG).body.count_params() == body
    head = (5 + 4) * 4 + 4 + 4 * 2 + 2 + 4 * 4 + 4
    assert DeepSets(CONFIG).classifier.count_params() == head
