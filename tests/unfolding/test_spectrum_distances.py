"""Distances of spectra, and binned unfolding, on cases known by hand."""

import numpy as np
import pytest

from omnilearn.data.catalogue import OMNIFOLD
from omnilearn.errors import UserError
from omnilearn.unfolding.ibu import Response, unfolded, unfolded_spectrum
from omnilearn.unfolding.spectrum_distances import (
    BINNING,
    Spectrum,
    chi2_per_bin,
    joined_bins,
    noise_floor,
    triangular_discriminator,
)

EDGES = np.array([0.0, 1.0, 2.0])


def two_bins(first: float, second: float) -> Spectrum:
    sums = np.array([first, second])
    return Spectrum(EDGES, sums, sums, int(first + second))


def test_every_observable_of_the_dataset_has_its_binning():
    assert set(BINNING) == set(OMNIFOLD.observables)


def test_a_spectrum_is_at_no_distance_from_itself_and_disjoint_ones_at_one():
    assert triangular_discriminator(two_bins(30, 70), two_bins(30, 70)).value == 0
    assert triangular_discriminator(two_bins(10, 0), two_bins(0, 10)).value == 1000


def test_the_discriminator_of_two_bins_is_the_one_computed_by_hand():
    # 1/2 (0.2^2 / 1.2 + 0.2^2 / 0.8)
    found = triangular_discriminator(two_bins(50, 50), two_bins(7, 3))
    assert found.value == pytest.approx(1000 * 0.5 * (0.04 / 1.2 + 0.04 / 0.8))
    assert found.n == 100


def test_the_discriminator_does_not_depend_on_the_scale_of_the_weights():
    rng = np.random.default_rng(0)
    values, weights = rng.random(500) * 2, rng.random(500)
    once, twice = (Spectrum.of(values, scale * weights, EDGES) for scale in (1, 2))
    truth = two_bins(40, 60)
    first, second = (triangular_discriminator(one, truth) for one in (once, twice))
    assert first.value == pytest.approx(second.value)
    assert first.error == pytest.approx(second.error)
    assert noise_floor(once, truth) == pytest.approx(noise_floor(twice, truth))


def test_samples_of_one_distribution_are_at_the_noise_floor_and_have_chi2_of_one():
    rng = np.random.default_rng(1)
    edges = np.linspace(0, 1, 21)
    distances, floors, chi2 = [], [], []
    for _ in range(200):
        pair = [Spectrum.of(rng.random(2000), np.ones(2000), edges) for _ in range(2)]
        distances.append(triangular_discriminator(*pair).value)
        floors.append(noise_floor(*pair))
        chi2.append(chi2_per_bin(*pair).value)
    assert np.mean(distances) == pytest.approx(np.mean(floors), rel=0.1)
    assert np.mean(chi2) == pytest.approx(1.0, abs=0.06)


def test_bins_of_few_events_are_joined_before_the_chi2():
    edges = np.arange(7.0)
    sums = np.array([20.0, 3.0, 8.0, 2.0, 30.0, 4.0])
    one = Spectrum(edges, sums, sums, 67)
    assert joined_bins([one]).tolist() == [0, 1, 3]
    assert chi2_per_bin(one, one).value == 0


def test_events_in_one_bin_have_no_chi2():
    assert "one bin" in chi2_per_bin(two_bins(20, 0), two_bins(20, 0)).reason


def test_a_histogram_without_events_is_refused():
    empty = Spectrum.of(np.array([5.0]), np.ones(1), EDGES)
    with pytest.raises(UserError, match="between 0 and 2 has the sum 0"):
        triangular_discriminator(empty, two_bins(1, 1))


def gaussian_response(events: int, shift: float, seed: int):
    rng = np.random.default_rng(seed)
    gen = rng.normal(shift, 1.0, events)
    return gen + rng.normal(0, 0.5, events), gen, np.ones(events)


def test_a_perfect_detector_is_unfolded_in_one_iteration():
    gen = np.random.default_rng(0).random(100) * 2
    everything = np.ones(100, bool)
    response = Response.of(gen, gen, np.ones(100), (everything, everything), EDGES)
    np.testing.assert_allclose(unfolded(np.array([7.0, 3.0]), response, 1), [7, 3])


def test_binned_unfolding_recovers_a_gaussian_shift_with_misses_and_fakes():
    edges = np.linspace(-3, 3.6, 23)
    rng = np.random.default_rng(7)

    def accepted(gen):
        return rng.random(len(gen)) < 1 / (1 + np.exp(-2 * gen - 2)), rng.random(len(gen)) < 0.9

    reco, gen, weights = gaussian_response(100_000, 0.0, 1)
    response = Response.of(reco, gen, weights, accepted(gen), edges)
    reco, gen, weights = gaussian_response(100_000, 0.4, 2)
    passes = accepted(gen)
    data = Spectrum.of(reco[passes[0]], weights[passes[0]], edges)
    truth = Spectrum.of(gen[passes[1]], weights[passes[1]], edges)
    prior = Spectrum(edges, response.gen, response.gen, 1)
    found = unfolded_spectrum(data, response, iterations=5)
    far = triangular_discriminator(prior, truth).value
    assert triangular_discriminator(found, truth).value < 0.05 * far
    assert found.sums.sum() == pytest.approx(truth.sums.sum(), rel=0.02)
    assert (found.variances[5:-5] > 0).all()
