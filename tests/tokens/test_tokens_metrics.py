"""Power laws, use of codes and resolutions, against closed forms or scipy."""

import numpy as np
import pytest
from scipy.stats import linregress, norm

from omnilearn.statistics.results import Result
from omnilearn.tokens.metrics import codebook_use, resolution
from omnilearn.tokens.power_law import power_law

SIZES = (100, 1000, 10_000, 100_000)


def test_the_fit_recovers_amplitude_and_exponent_of_a_power_law():
    values = [3.0 * jets**-0.35 for jets in SIZES]
    law = power_law(SIZES, [Result(value, 0.1 * value, 50) for value in values])
    assert law.exponent.value == pytest.approx(0.35)
    assert law.amplitude == pytest.approx(3.0)
    np.testing.assert_allclose(law(SIZES), values)
    assert law.chi2 == pytest.approx(0.0, abs=1e-9)
    spread = np.sqrt(np.sum((np.log(SIZES) - np.mean(np.log(SIZES))) ** 2))
    assert law.exponent.error == pytest.approx(0.1 / spread)


def test_the_exponent_of_scattered_points_is_that_of_a_line_in_the_logarithms():
    rng = np.random.default_rng(0)
    values = [2.0 * jets**-0.3 * np.exp(rng.normal(0, 0.3)) for jets in SIZES]
    law = power_law(SIZES, [Result(value, 0.05 * value, 50) for value in values])
    line = linregress(np.log(SIZES), np.log(values))
    assert law.exponent.value == pytest.approx(-line.slope)
    assert law.chi2 > 1
    assert law.exponent.error == pytest.approx(line.stderr)  # scaled to the scatter


def test_exponents_have_pulls_of_unit_width():
    rng, pulls = np.random.default_rng(1), []
    for _ in range(300):
        values = [jets**-0.3 * np.exp(rng.normal(0, 0.1)) for jets in SIZES]
        exponent = power_law(SIZES, [Result(value, 0.1 * value, 9) for value in values]).exponent
        pulls.append((exponent.value - 0.3) / exponent.error)
    assert 0.6 < np.std(pulls) < 1.1  # errors never shrink below those of the points


def test_one_point_has_no_exponent():
    law = power_law([100, 1000], [Result(1.0, 0.1, 9), Result(0.0, 0.1, 9)])
    assert np.isnan(law.exponent.value)
    assert "a line needs two" in law.exponent.reason


def test_the_perplexity_of_equally_frequent_codes_is_their_number():
    equal = codebook_use(np.repeat(np.arange(8), 5), 16)
    assert equal["codes_used"].value == pytest.approx(0.5)
    assert equal["code_perplexity"].value == pytest.approx(0.5)
    unequal = codebook_use(np.array([0] * 99 + [1]), 16)
    assert unequal["codes_used"].value == pytest.approx(2 / 16)
    assert unequal["code_perplexity"].value < 1.1 / 16


def test_the_resolution_of_a_gaussian_is_its_width():
    deviations = np.random.default_rng(2).normal(0.1, 0.03, 20_000)
    width, bias = resolution(deviations, 0)
    assert width.value == pytest.approx(0.03 * norm.ppf(0.84), rel=0.03)
    assert abs(width.value - 0.03 * norm.ppf(0.84)) < 4 * width.error
    assert abs(bias.value - 0.1) < 4 * bias.error < 0.002
