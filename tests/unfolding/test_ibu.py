"""Binned unfolding: cases known by hand, misses and fakes, toys of data and response, signs."""

import numpy as np
import pytest

from omnilearn.unfolding.ibu import OUTSIDE, Binned, bins_of, unfolded
from omnilearn.unfolding.spectrum_distances import Spectrum, triangular_discriminator

EDGES = np.array([0.0, 1.0, 2.0])


def everything(values):
    return values, np.ones(len(values), bool)


def smeared(events: int, shift: float, seed: int):
    rng = np.random.default_rng(seed)
    gen = rng.normal(shift, 1.0, events)
    return gen + rng.normal(0, 0.5, events), gen


def poisson(toys: int, *sizes: int):
    rng = np.random.default_rng(11)
    return [tuple(rng.poisson(1.0, size).astype(float) for size in sizes) for _ in range(toys)]


def test_bins_are_those_of_a_histogram():
    values = np.array([-0.1, 0.0, 0.5, 1.0, 2.0, 2.1, 0.5])
    accepted = np.array([True] * 6 + [False])
    bins = bins_of(values, accepted, EDGES)
    assert bins.tolist() == [OUTSIDE, 0, 0, 1, 1, OUTSIDE, OUTSIDE]
    counts = np.histogram(values[accepted], EDGES)[0]
    np.testing.assert_array_equal(np.bincount(bins[bins != OUTSIDE]), counts)


def test_a_perfect_detector_is_unfolded_in_one_iteration():
    gen = np.random.default_rng(0).random(100) * 2
    response = Binned.of(*[everything(gen)] * 3, EDGES).response(np.ones(100))
    np.testing.assert_allclose(unfolded(np.array([7.0, 3.0]), response, 1), [7, 3])


def test_binned_unfolding_recovers_a_gaussian_shift_with_misses_and_fakes():
    edges = np.linspace(-3, 3.6, 23)
    rng = np.random.default_rng(7)

    def accepted(gen):
        return rng.random(len(gen)) < 1 / (1 + np.exp(-2 * gen - 2)), rng.random(len(gen)) < 0.9

    reco, gen = smeared(100_000, 0.0, 1)
    passes = accepted(gen)
    seen, true = smeared(100_000, 0.4, 2)
    of_data = accepted(true)
    bins = Binned.of((reco, passes[0]), (gen, passes[1]), (seen, of_data[0]), edges)
    ones = np.ones(100_000)
    found = bins.unfolded(ones, ones, 5, poisson(5, 100_000, 100_000))
    truth = Spectrum.of(true, 1.0 * of_data[1], edges)
    prior = Spectrum.of(gen, 1.0 * passes[1], edges)
    far = triangular_discriminator(prior, truth).value
    assert triangular_discriminator(found, truth).value < 0.05 * far
    assert found.sums.sum() == pytest.approx(truth.sums.sum(), rel=0.02)
    assert (found.variances[5:-5] > 0).all()


def test_the_spread_over_repeated_experiments_is_the_uncertainty_that_toys_give():
    """Few simulated events: without those of the response the uncertainty would be half of it."""
    edges, simulated, seen = np.linspace(-2, 2, 6), 800, 4000
    ones = np.ones(simulated), np.ones(seen)
    results, estimates = [], []
    for number in range(60):
        reco, gen = smeared(simulated, 0.0, 2 * number)
        data, _ = smeared(seen, 0.2, 2 * number + 1)
        bins = Binned.of(everything(reco), everything(gen), everything(data), edges)
        found = bins.unfolded(
            *ones, 3, poisson(40, simulated, seen) if number < 8 else poisson(2, simulated, seen)
        )
        results.append(found.sums)
        if number < 8:
            estimates.append(found.variances)
            of_data = bins.unfolded(
                *ones, 3, [(ones[0], toy[1]) for toy in poisson(40, simulated, seen)]
            )
    spread = np.std(results, axis=0, ddof=1)
    np.testing.assert_allclose(np.sqrt(np.mean(estimates, axis=0)), spread, rtol=0.35)
    assert (np.sqrt(of_data.variances) < 0.75 * spread).all()


def test_negative_weights_unfold_to_the_same_spectrum_as_without():
    edges = np.linspace(-2, 2, 9)
    rng = np.random.default_rng(5)
    reco, gen = smeared(200_000, 0.0, 3)
    data, _ = smeared(50_000, 0.3, 4)
    bins = Binned.of(everything(reco), everything(gen), everything(data), edges)
    signed = np.where(rng.random(len(gen)) < 1 / 6, -1.0, 1.0)
    toys = poisson(3, len(gen), len(data))
    with_signs, without = (
        bins.unfolded(weights, np.ones(len(data)), 3, toys)
        for weights in (signed, np.ones(len(gen)))
    )
    np.testing.assert_allclose(with_signs.sums, without.sums, rtol=0.08)


def test_a_bin_whose_weights_cancel_gets_nothing_and_the_others_stay_finite():
    gen = np.array([0.5, 0.5, 1.5, 1.5])
    bins = Binned.of(everything(gen), everything(gen), everything(np.array([0.5, 1.5])), EDGES)
    found = unfolded(np.array([4.0, 6.0]), bins.response(np.array([1.0, -1.0, 1.0, 1.0])), 3)
    assert found.tolist() == [0.0, 6.0]
