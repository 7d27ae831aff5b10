"""Uncertainties have the stated coverage, measured on toy experiments."""

import numpy as np
import pytest
from scipy.stats import binom

from omnilearn.statistics import uncertainty
from omnilearn.statistics.uncertainty import (
    ONE_SIGMA,
    bootstrap_error,
    effective_size,
    efficiency_upper_limit,
    fraction,
)


def weighted_means(sample):
    return lambda weights: weights @ sample / weights.sum(axis=1)


def test_the_effective_size_of_equal_weights_is_the_number_of_jets():
    assert effective_size(np.full(17, 0.3)) == pytest.approx(17)
    assert effective_size(np.array([1.0, 0.0, 1.0])) == pytest.approx(2)
    assert effective_size(np.zeros(3)) == 0


def test_unit_weights_give_the_binomial_error():
    value, error = fraction(np.arange(100) < 20, np.ones(100))
    assert value == 0.2
    assert error == pytest.approx(np.sqrt(0.2 * 0.8 / 100))


def test_a_fraction_of_one_is_still_uncertain():
    value, error = fraction(np.ones(50, bool), np.ones(50))
    assert value == 1
    assert error == pytest.approx(1 - (1 - ONE_SIGMA) ** (1 / 50))


def test_pulls_of_a_weighted_fraction_have_width_one():
    rng = np.random.default_rng(5)
    pulls = []
    for _ in range(500):
        value, error = fraction(rng.random(400) < 0.3, rng.gamma(2.0, 1.0, 400))
        pulls.append((value - 0.3) / error)
    assert np.std(pulls) == pytest.approx(1, abs=0.1)
    assert np.mean(pulls) == pytest.approx(0, abs=0.15)


def test_limits_where_none_or_all_jets_pass_are_known():
    # none pass: (1 - limit)^n = 1 - confidence
    assert efficiency_upper_limit(0, 100) == pytest.approx(1 - (1 - ONE_SIGMA) ** 0.01)
    assert efficiency_upper_limit(5, 5) == 1


@pytest.mark.parametrize("efficiency", [0.001, 0.004, 0.02])
def test_upper_limit_covers_at_least_its_confidence(efficiency):
    counts = np.arange(0, 60)
    covers = [efficiency_upper_limit(k, 500) >= efficiency for k in counts]
    assert np.sum(binom.pmf(counts, 500, efficiency) * covers) >= ONE_SIGMA


def test_bootstrap_of_a_mean_agrees_with_sigma_over_root_n():
    sample = np.random.default_rng(1).normal(0, 2, 1000)
    error = bootstrap_error(weighted_means(sample), np.ones(1000), seed=3, replicas=1000)
    assert error == pytest.approx(np.std(sample) / np.sqrt(1000), rel=0.1)


def test_bootstrap_depends_on_the_seed_and_not_on_the_memory_bound(monkeypatch):
    sample, weights = np.random.default_rng(1).normal(size=(2, 50)) ** 2
    expected = bootstrap_error(weighted_means(sample), weights, seed=3, replicas=30)
    monkeypatch.setattr(uncertainty, "BOOTSTRAP_CELLS", 120)  # two replicas at a time
    assert bootstrap_error(weighted_means(sample), weights, seed=3, replicas=30) == expected
    assert bootstrap_error(weighted_means(sample), weights, seed=4, replicas=30) != expected


def test_a_bootstrap_of_one_replica_is_refused():
    with pytest.raises(ValueError, match="two replicas"):
        bootstrap_error(weighted_means(np.ones(3)), np.ones(3), seed=0, replicas=1)
