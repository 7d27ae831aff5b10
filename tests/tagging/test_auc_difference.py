"""The difference of two AUCs on the same jets, with the uncertainty that is left of it."""

import numpy as np
import pytest

from omnilearn.statistics.uncertainty import bootstrap_error
from omnilearn.tagging.metrics import auc, auc_difference


def tagger(rng: np.random.Generator, jets: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit Gaussian scores, those of signal shifted, and their labels."""
    labels = rng.integers(0, 2, jets)
    return rng.normal(1.5 * labels, 1.0), labels


def test_the_error_of_a_difference_of_aucs_contains_what_the_models_share():
    rng = np.random.default_rng(12)
    first, labels = tagger(rng, 400)
    second = first + rng.normal(0.0, 0.3, 400)
    weights = rng.gamma(1.0, 1.0, 400)

    def differences(replicas):
        pairs = ((auc(first, labels, row), auc(second, labels, row)) for row in replicas)
        return np.array([one.value - other.value for one, other in pairs])

    difference = auc_difference([(first, second)], labels, weights)
    assert difference.value == pytest.approx(differences([weights])[0], rel=1e-12)
    expected = bootstrap_error(differences, weights, seed=8, replicas=400)
    assert difference.error == pytest.approx(expected, rel=0.15)
    assert difference.error < 0.6 * auc(second, labels, weights).error
    assert auc_difference([(first, first)], labels).error is None
    weights[:3] = 0  # these jets are not counted
    assert auc_difference([(first, second)], labels, weights).n == 397


def test_the_error_of_a_mean_difference_has_the_spread_over_trainings():
    scores, labels = tagger(np.random.default_rng(13), 4000)
    noise = np.random.default_rng(14).normal(size=4000)
    pairs = [(scores, scores + width * noise) for width in (0.5, 1.0, 1.5)]
    single = [auc_difference([pair], labels).value for pair in pairs]
    mean = auc_difference(pairs, labels)
    assert mean.value == pytest.approx(np.mean(single))
    of_jets = mean.error**2 - np.var(single, ddof=1) / 3
    assert 0 < np.sqrt(of_jets) < auc_difference([pairs[-1]], labels).error
