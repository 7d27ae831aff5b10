"""Significance improvement of known distributions; bump hunts with and without a resonance."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from toy_dijets import RESONANCE, WIDTH, falling_masses

from omnilearn.anomaly.bump_hunt import CUTS, hunt, limits
from omnilearn.anomaly.dijet_mass import FallingSpectrum
from omnilearn.anomaly.metrics import SCANNED, cell_metrics, scan, scan_point
from omnilearn.anomaly.significance import Improvement, excess_significance, maximum_improvement
from omnilearn.data.catalogue import LHCO
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result

TOYS = 150


def scores(signal: int, background: int, shift: float, seed: int = 0):
    """Unit Gaussian scores, those of signal shifted, and their labels."""
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], [signal, background])
    return rng.normal(size=len(label)) + shift * label, label


def test_improvement_of_shifted_gaussians_is_the_known_one():
    improvement = Improvement.of(*scores(20_000, 200_000, 2.0))
    for efficiency in (0.1, 0.01, 0.001):
        result = improvement.at_background_efficiency(efficiency)
        expected = norm.sf(norm.isf(efficiency) - 2.0) / np.sqrt(efficiency)
        assert result.value == pytest.approx(expected, abs=4 * result.error)
        assert result.error < 0.1 * result.value


def test_random_scores_do_not_improve():
    score, label = scores(5000, 50_000, 0.0)
    assert maximum_improvement(score, label, seed=1).value == pytest.approx(1.0, abs=0.25)
    assert Improvement.of(score, label).at_background_efficiency(0.1).value < 0.4


def test_efficiencies_below_the_floor_do_not_count():
    score, label = scores(1000, 5000, 1.0)
    score[:5] += 100  # five signal events above all background
    improvement = Improvement.of(score, label)
    assert improvement.floor == 10 / 5000
    assert improvement.background_events[improvement.counted].min() == 10
    assert np.isnan(improvement.at_background_efficiency(0.001).value)
    largest = np.max(improvement.improvement[improvement.counted])
    assert maximum_improvement(score, label, 0).value == pytest.approx(largest)


def test_uncertainty_of_the_maximum_is_its_spread_over_samples():
    results = [maximum_improvement(*scores(500, 5000, 1.5, seed), 0) for seed in range(25)]
    spread = np.std([result.value for result in results])
    assert np.mean([result.error for result in results]) == pytest.approx(spread, rel=0.5)


@pytest.mark.parametrize("background", [10, 30, 99])
def test_with_little_background_the_maximum_is_a_lower_limit_or_undefined(background):
    result = maximum_improvement(*scores(100, background, 1.5), seed=1)
    assert f"{background} background events" in result.reason
    if background == 10:
        assert (np.isnan(result.value), result.error) == (True, None)
    else:
        assert result.bound == "lower"
        assert result.text.startswith("> ")


def test_the_significance_of_an_excess_includes_the_background_uncertainty():
    assert excess_significance(10_000 + 300, 10_000, 0) == pytest.approx(3, rel=0.02)
    assert excess_significance(10_000 + 300, 10_000, 100) == pytest.approx(3 / 2**0.5, rel=0.02)
    assert excess_significance(10_000 - 300, 10_000, 100) == pytest.approx(-3 / 2**0.5, rel=0.02)
    assert excess_significance(100, 100, 10) == 0
    assert np.isfinite(excess_significance(0, 3.0, 1.0))


def test_the_fit_predicts_a_falling_spectrum_within_its_uncertainty():
    rng, pulls = np.random.default_rng(2), []
    for _ in range(TOYS):
        masses = falling_masses(rng.poisson(3000), rng)
        fit = FallingSpectrum.fitted(masses, LHCO.signal_region, limits(LHCO))
        expected, error = fit.background
        truth = 3000 * share_in_region()
        pulls.append((expected - truth) / error)
    assert np.mean(pulls) == pytest.approx(0, abs=4 / TOYS**0.5 + 0.1)
    assert np.std(pulls) == pytest.approx(1, abs=0.2)


def share_in_region() -> float:
    masses = falling_masses(400_000, np.random.default_rng(9))
    low, high = LHCO.signal_region
    return float(np.mean((masses >= low) & (masses < high)))


@pytest.mark.parametrize("region", [(3500.0, 4120.0), (3310.0, 3370.0), (3510.0, 3585.0)])
def test_regions_that_fit_no_bins_of_50_gev_have_no_significance_of_their_own(region):
    spec = replace(LHCO, signal_region=region)
    values = []
    for seed in range(6):
        masses = falling_masses(60_000, np.random.default_rng(seed))
        significances, _ = hunt(masses, np.zeros(len(masses)), spec)
        values.append(significances["significance_1"].value)
    assert abs(np.mean(values)) < 1.2  # 4 and -9 where bins of all widths count alike


def test_background_alone_has_significances_of_a_standard_normal():
    rng = np.random.default_rng(3)
    significances = []
    for _ in range(TOYS):
        masses = falling_masses(3000, rng)
        # a score that is slightly correlated with the mass, as those of classifiers
        score = rng.normal(size=3000) + masses / 2000
        results = hunt(masses, score, LHCO)[0].values()
        significances.append([result.value for result in results][:3])
    for values in np.transpose(significances):  # no cut, 10 %, 1 %
        values = values[np.isfinite(values)]
        assert np.mean(values) == pytest.approx(0, abs=0.35)
        assert np.std(values) == pytest.approx(1, abs=0.3)
        assert np.mean(values > 3) < 0.03


def test_a_resonance_is_significant_after_the_cut():
    rng = np.random.default_rng(4)
    masses = np.append(falling_masses(8000, rng), rng.normal(RESONANCE, WIDTH, 60))
    score = rng.normal(size=len(masses))
    score[8000:] += 3
    significances, spectra = hunt(masses, score, LHCO)
    assert significances["significance_1"].value < 4
    assert significances["significance_0.01"].value > 5
    assert [spectrum["cut"] for spectrum in spectra][:3] == [1.0, 0.1, 0.01]


def test_a_fit_with_too_few_events_in_the_sidebands_is_refused():
    with pytest.raises(UserError, match="9 events in the sidebands"):
        FallingSpectrum.fitted(np.full(9, 2500.0), LHCO.signal_region, limits(LHCO))


def test_a_scan_point_with_one_defined_value_keeps_its_uncertainty():
    undefined, defined = Result(np.nan, None, 7, reason="few events"), Result(2.0, 0.3, 8)
    cells = [
        {"signal": 5, "initial_significance": 1.0, **dict.fromkeys(SCANNED, result)}
        for result in (undefined, defined)
    ]
    assert scan_point(cells)["max_sic"] == defined


def test_events_without_truth_have_a_bump_hunt_alone():
    rng = np.random.default_rng(6)
    count = 5000
    everywhere = np.ones(count, bool)
    predicted = {
        "logits": rng.normal(size=(count, 2)),
        "label": np.zeros(count, int),
        "mass": falling_masses(count, rng),
        "test": everywhere,
        "hunted": everywhere,
    }
    about = {"kind": "cathode", "events": {"data_signal": 0, "data_background": count}}
    metrics = cell_metrics(predicted, about, LHCO, seed=0)
    assert metrics.keys() == {*(f"significance_{cut:g}" for cut in CUTS), "spectra"}
    point = scan(
        [{**metrics, "kind": "cathode", "signal": 0, "dataset": "lhco", "data": "", "backbone": ""}]
    )["scan"]["cathode"]
    assert point["signal0"]["significance_1"] == metrics["significance_1"]
    assert "max_sic" not in point["signal0"]


def test_a_hunt_without_sidebands_is_undefined():
    significances, spectra = hunt(np.array([]), np.array([]), LHCO)
    assert [result.n for result in significances.values()] == [0] * 4
    assert "0 events in the sidebands" in significances["significance_0.1"].reason
    assert [set(spectrum) for spectrum in spectra] == [{"cut", "edges", "counts"}] * 4  # no fit


def test_masses_in_the_signal_region_are_sampled_from_the_fitted_spectrum():
    rng = np.random.default_rng(5)
    masses = falling_masses(100_000, rng)
    fit = FallingSpectrum.fitted(masses, LHCO.signal_region, limits(LHCO))
    sampled = fit.sampled(rng.random(20_000))
    low, high = LHCO.signal_region
    assert low <= sampled.min() < sampled.max() < high
    inside = masses[(masses >= low) & (masses < high)]
    assert sampled.mean() == pytest.approx(inside.mean(), abs=4)
    assert sampled.std() == pytest.approx(inside.std(), rel=0.03)
