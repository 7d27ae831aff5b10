"""Binned unfolding: cases known by hand, misses and fakes, toys of data and response, signs."""

import numpy as np
import pytest

from omnilearn.statistics.results import Result
from omnilearn.unfolding.ibu import OUTSIDE, Binned, bins_of, chosen_iterations, unfolded
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


def test_toys_that_differ_in_their_total_alone_have_no_variance_of_the_shape():
    reco, gen = smeared(500, 0.0, 1)
    data, _ = smeared(400, 0.3, 2)
    bins = Binned.of(*map(all_accepted, (reco, gen, data)), np.linspace(-2, 2, 6))
    totals = np.random.default_rng(3).uniform(0.5, 2.0, 20)
    toys = [(np.ones(500), np.full(400, total)) for total in totals]
    spectrum = bins.unfolded(np.ones(500), np.ones(400), 3, toys)
    np.testing.assert_allclose(np.sqrt(spectrum.variances) / spectrum.sums, 0, atol=1e-12)


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


def gaussians(resolution: float, shift: float, simulated: int, observed: int, seed: int):
    """Binned Gaussians of width 1, the data shifted, and the particle level of the data."""
    rng = np.random.default_rng(seed)
    edges = np.linspace(-4, 4, 33)
    gen, truth = rng.normal(0, 1, simulated), rng.normal(shift, 1, observed)
    reco, data = (values + rng.normal(0, resolution, len(values)) for values in (gen, truth))
    bins = Binned.of(all_accepted(reco), all_accepted(gen), all_accepted(data), edges)
    return bins, truth


def chosen(bins: Binned, seed: int = 0) -> int:
    ones = np.ones(len(bins.reco)), np.ones(len(bins.data))
    return chosen_iterations(bins.refolded_chi2(*ones, seed))


def test_detector_level_chooses_one_iteration_where_it_equals_the_simulation():
    assert chosen(gaussians(0.5, 0.0, 10_000, 10_000, seed=1)[0]) == 1
    assert chosen(gaussians(1e-6, 0.7, 10_000, 10_000, seed=1)[0]) == 1


def test_detector_level_chooses_more_iterations_for_a_wider_response():
    narrow, wide = (
        chosen(gaussians(resolution, 0.7, 20_000, 20_000, seed=2)[0]) for resolution in (0.5, 1.0)
    )
    assert 1 < narrow < wide < 20


def test_chosen_iterations_are_nearly_as_close_to_the_truth_as_the_best():
    bins, truth = gaussians(0.7, 0.7, 20_000, 20_000, seed=3)
    ones = np.ones(20_000)
    expected = np.histogram(truth, bins.edges)[0]
    distance = [
        np.sum((unfolded(bins.sums(bins.data, ones), bins.response(ones), count) - expected) ** 2)
        for count in range(1, 31)
    ]
    assert distance[chosen(bins) - 1] < min(1.5 * min(distance), 0.2 * distance[0], distance[-1])


def test_refolded_data_of_the_other_half_have_a_chi2_of_one_and_a_wrong_response_has_not():
    bins, _ = gaussians(0.5, 0.3, 20_000, 20_000, seed=4)
    ones = np.ones(20_000)
    chi2 = bins.refolded_chi2(ones, ones, seed=0)
    assert 0.5 < chi2[4].value < 1.8
    assert chi2[0].value > chi2[4].value + chi2[4].error
    assert chi2[0].error == pytest.approx(np.sqrt(2 / 30) / np.sqrt(2), rel=0.3)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([9.0, 3.0, 1.15, 1.0, 1.4], 3),
        ([9.0, 3.0, 1.3, 1.0, 1.4], 4),
        ([np.nan, 2.0, 1.9], 2),
        ([np.nan, np.nan], 1),
    ],
)
def test_the_first_chi2_within_the_uncertainty_of_the_lowest_is_chosen(values, count):
    undefined = Result(np.nan, None, 5, reason="the weights add up to -1")
    chi2 = [Result(value, 0.2, 5) if np.isfinite(value) else undefined for value in values]
    assert chosen_iterations(chi2) == count
