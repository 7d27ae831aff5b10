"""Distances of spectra on cases computed by hand."""

import numpy as np
import pytest

from omnilearn.data.catalogue import OMNIFOLD
from omnilearn.unfolding.spectrum_distances import (
    BINNING,
    Spectrum,
    chi2_per_bin,
    merged_bins,
    noise_floor,
    triangular_discriminator,
)

EDGES = np.array([0.0, 1.0, 2.0])


def two_bins(first: float, second: float) -> Spectrum:
    sums = np.array([first, second])
    return Spectrum(EDGES, sums, sums, int(first + second))


def test_every_observable_of_the_dataset_has_its_binning():
    assert set(BINNING) == set(OMNIFOLD.observables)


def test_equal_spectra_have_distance_zero_and_disjoint_ones_the_largest():
    assert triangular_discriminator(two_bins(30, 70), two_bins(30, 70)).value == 0
    assert triangular_discriminator(two_bins(10, 0), two_bins(0, 10)).value == 1000


def test_the_discriminator_of_two_bins_is_the_one_computed_by_hand():
    # 1/2 (0.2^2 / 1.2 + 0.2^2 / 0.8)
    result = triangular_discriminator(two_bins(50, 50), two_bins(7, 3))
    assert result.value == pytest.approx(1000 * 0.5 * (0.04 / 1.2 + 0.04 / 0.8))
    assert result.n == 100


def test_the_discriminator_does_not_depend_on_the_scale_of_the_weights():
    rng = np.random.default_rng(0)
    values, weights = rng.random(500) * 2, rng.random(500)
    once, twice = (Spectrum.of(values, scale * weights, EDGES) for scale in (1, 2))
    truth = two_bins(40, 60)
    first, second = (triangular_discriminator(spectrum, truth) for spectrum in (once, twice))
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


def test_bins_of_few_events_are_merged_before_the_chi2():
    edges = np.arange(7.0)
    sums = np.array([20.0, 3.0, 8.0, 2.0, 30.0, 4.0])
    spectrum = Spectrum(edges, sums, sums, 67)
    assert merged_bins([spectrum]).tolist() == [0, 1, 3]
    assert chi2_per_bin(spectrum, spectrum).value == 0


def test_events_in_one_bin_have_no_chi2():
    assert "one bin" in chi2_per_bin(two_bins(20, 0), two_bins(20, 0)).reason


def test_a_spectrum_without_a_positive_sum_has_undefined_distances_and_is_written():
    empty = Spectrum.of(np.array([5.0]), np.ones(1), EDGES)
    cancelling = Spectrum.of(np.array([0.5, 1.5]), np.array([1.0, -1.5]), EDGES)
    for spectrum, sums in ((empty, "0"), (cancelling, "-0.5")):
        for distance in (triangular_discriminator, chi2_per_bin):
            for pair in ((spectrum, two_bins(1, 1)), (two_bins(1, 1), spectrum)):
                result = distance(*pair)
                assert np.isnan(result.value)
                assert f"between 0 and 2 add up to {sums}, not to more than zero" in result.reason
        assert noise_floor(spectrum, two_bins(1, 1)) is None
        assert np.isfinite(spectrum.plotted()["density"]).all()
        assert "add up to" in spectrum.plotted()["undefined"]


def test_negative_weights_are_added_with_their_sign():
    rng = np.random.default_rng(3)
    edges, values = np.linspace(0, 1, 11), rng.random(40_000)
    weights = np.where(rng.random(len(values)) < 0.2, -1.0, 1.0)
    signed = Spectrum.of(values, weights, edges)
    assert signed.total == pytest.approx(0.6 * 40_000, rel=0.05)
    np.testing.assert_allclose(signed.variances, 4000, rtol=0.1)  # of all events, not of the sum
    # the distance to an unweighted sample of the same distribution is that of statistics
    unweighted = Spectrum.of(rng.random(40_000), np.ones(40_000), edges)
    assert chi2_per_bin(signed, unweighted).value == pytest.approx(1.0, abs=1.2)
    floor = noise_floor(signed, unweighted)
    assert triangular_discriminator(signed, unweighted).value == pytest.approx(floor, rel=1.2)


def test_bins_with_negative_sums_leave_all_distances_finite():
    sums = np.array([50.0, -2.0, 30.0, 22.0])
    signed = Spectrum(np.arange(5.0), sums, np.abs(sums) + 5, 100)
    flat = Spectrum(np.arange(5.0), np.full(4, 25.0), np.full(4, 25.0), 100)
    for result in (triangular_discriminator(signed, flat), chi2_per_bin(signed, flat)):
        assert np.isfinite([result.value, result.error]).all()
