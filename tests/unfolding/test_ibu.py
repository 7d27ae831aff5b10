"""Binned unfolding: cases known by hand, misses and fakes, toys of data and response, signs."""

import numpy as np
import pytest

from omnilearn.unfolding.ibu import OUTSIDE, Binned, bins_of, unfolded
from omnilearn.unfolding.spectrum_distances import Spectrum, triangular_discriminator

EDGES = np.array([0.0, 1.0, 2.0])


def all_accepted(values):
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
    response = Binned.of(*[all_accepted(gen)] * 3, EDGES).response(np.ones(100))
    np.testing.assert_allclose(unfolded(np.array([7.0, 3.0]), response, 1), [7, 3])


def test_binned_unfolding_recovers_a_gaussian_shift_with_misses_and_fakes():
    edges = np.linspace(-3, 3.6, 23)
    rng = np.random.default_rng(7)

    def accepted(gen):
        return rng.random(len(gen)) < 1 / (1 + np.exp(-2 * gen - 2)), rng.random(len(gen)) < 0.9

    reco, gen = smeared(100_000, 0.0, 1)
    passes_reco, passes_gen = accepted(gen)
    data_reco, data_gen = smeared(100_000, 0.4, 2)
    data_passes_reco, data_passes_gen = accepted(data_gen)
    bins = Binned.of((reco, passes_reco), (gen, passes_gen), (data_reco, data_passes_reco), edges)
    ones = np.ones(100_000)
    spectrum = bins.unfolded(ones, ones, 5, poisson(5, 100_000, 100_000))
    truth = Spectrum.of(data_gen, 1.0 * data_passes_gen, edges)
    prior = Spectrum.of(gen, 1.0 * passes_gen, edges)
    before = triangular_discriminator(prior, truth).value
    assert triangular_discriminator(spectrum, truth).value < 0.05 * before
    assert spectrum.sums.sum() == pytest.approx(truth.sums.sum(), rel=0.02)
    assert (spectrum.variances[5:-5] > 0).all()


def test_the_uncertainty_from_toys_is_the_spread_over_repeated_experiments():
    """There are few simulated events: most of the uncertainty is that of the response."""
    edges, simulated, observed = np.linspace(-2, 2, 6), 800, 4000
    ones = np.ones(simulated), np.ones(observed)
    results, variances = [], []
    for experiment in range(60):
        reco, gen = smeared(simulated, 0.0, 2 * experiment)
        data, _ = smeared(observed, 0.2, 2 * experiment + 1)
        bins = Binned.of(all_accepted(reco), all_accepted(gen), all_accepted(data), edges)
        toys = poisson(40 if experiment < 8 else 2, simulated, observed)
        spectrum = bins.unfolded(*ones, 3, toys)
        results.append(spectrum.sums)
        if experiment < 8:
            variances.append(spectrum.variances)
            data_only = bins.unfolded(*ones, 3, [(ones[0], counts) for _, counts in toys])
    spread = np.std(results, axis=0, ddof=1)
    np.testing.assert_allclose(np.sqrt(np.mean(variances, axis=0)), spread, rtol=0.35)
    assert (np.sqrt(data_only.variances) < 0.75 * spread).all()


def test_signed_weights_unfold_to_the_spectrum_of_positive_ones():
    edges = np.linspace(-2, 2, 9)
    rng = np.random.default_rng(5)
    reco, gen = smeared(200_000, 0.0, 3)
    data, _ = smeared(50_000, 0.3, 4)
    bins = Binned.of(all_accepted(reco), all_accepted(gen), all_accepted(data), edges)
    signed = np.where(rng.random(len(gen)) < 1 / 6, -1.0, 1.0)
    toys = poisson(3, len(gen), len(data))
    spectra = [
        bins.unfolded(weights, np.ones(len(data)), 3, toys)
        for weights in (signed, np.ones(len(gen)))
    ]
    np.testing.assert_allclose(spectra[0].sums, spectra[1].sums, rtol=0.08)


def test_a_bin_whose_weights_cancel_stays_empty_and_the_others_finite():
    gen = np.array([0.5, 0.5, 1.5, 1.5])
    bins = Binned.of(*[all_accepted(gen)] * 3, EDGES)
    sums = unfolded(np.array([4.0, 6.0]), bins.response(np.array([1.0, -1.0, 1.0, 1.0])), 3)
    assert sums.tolist() == [0.0, 6.0]
