"""Distances of generated jets against the jetnet package and against cases with known values."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from omnilearn.generation import distances
from omnilearn.generation.distances import (
    coverage_and_mmd,
    frechet,
    frechet_extrapolated,
    kernel_distance,
    kullback_leibler,
    wasserstein,
)
from omnilearn.generation.metrics import generation_metrics, jetnet_package_metrics, relative_mass

STORED = np.load(Path(__file__).parents[1] / "data" / "jetnet_metrics.npz")
RNG = np.random.default_rng(0)


def with_mask(constituents):
    """Constituents (N, P, 3), padded with zeros -> (N, P, 4)."""
    mask = (constituents != 0).any(axis=-1, keepdims=True)
    return np.concatenate([constituents, mask], axis=-1)


@pytest.fixture(scope="module")
def measured():
    real = with_mask(STORED["real"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "EMD_BATCHES", 2)
        return {
            name: generation_metrics(real, with_mask(STORED[name]), 0, emd_jets=100)
            for name in ("gen_near", "gen_far")
        }


@pytest.mark.parametrize("name", ["gen_near", "gen_far"])
def test_wasserstein_distances_are_those_of_the_jetnet_package(name, measured):
    means, spreads = STORED[f"{name}.w1p_mean"], STORED[f"{name}.w1p_std"]
    expected = {"w1m": (*STORED[f"{name}.w1m"], 200)}  # mean, spread, bootstrap samples
    for column, feature in enumerate(("eta", "phi", "pt")):
        expected[f"w1p_{feature}"] = (means[column], spreads[column], 50)
    for key, (mean, spread, samples) in expected.items():
        # both are means over bootstrap samples
        tolerance = 4 * spread * np.sqrt(1 / samples + 1 / distances.BATCHES)
        assert measured[name][key].value == pytest.approx(mean, abs=tolerance), key
        assert measured[name][key].error == pytest.approx(spread, rel=0.6)
    mean, spread = (STORED[f"{name}.w1efp_{kind}"].mean() for kind in ("mean", "std"))
    tolerance = 4 * spread * np.sqrt(1 / 50 + 1 / distances.BATCHES)
    assert measured[name]["w1efp"].value == pytest.approx(mean, abs=tolerance)


@pytest.mark.parametrize("name", ["gen_near", "gen_far"])
def test_coverage_and_matching_distance_are_those_of_the_jetnet_package(name, measured):
    coverage, mmd = STORED[f"{name}.cov_mmd"]
    assert measured[name]["coverage"].n == 2 * 100  # the stored numbers are of 100 jets
    assert measured[name]["coverage"].value == pytest.approx(coverage, abs=0.1)
    assert measured[name]["mmd"].value == pytest.approx(mmd, rel=0.1)


def test_jets_of_the_same_class_are_closer_than_jets_of_another_class(measured):
    near, far = measured["gen_near"], measured["gen_far"]
    for key in ("w1m", "w1p", "w1efp", "mmd", "fpd", "kpd"):
        assert near[key].value + 2 * near[key].error < far[key].value - 2 * far[key].error, key


def test_equal_samples_have_no_frechet_distance():
    features = RNG.normal(size=(400, 3))
    assert frechet(features, features) == pytest.approx(0, abs=1e-6)


def test_copies_of_one_jet_cover_one_jet():
    jets = with_mask(STORED["real"][:20])
    coverage, _ = coverage_and_mmd(jets, np.repeat(jets[:1], 20, axis=0), 0)
    assert coverage.value == pytest.approx(1 / 20)


def test_coverage_is_of_1000_jets_as_published_or_of_the_smaller_sample(monkeypatch):
    """The value depends on the number of jets, which is therefore part of the result."""
    monkeypatch.setattr(distances, "EMD_BATCHES", 1)
    jets = np.zeros((1200, 1, 4))
    true_jets = []

    def counting_emds(generated, truth, **_):
        true_jets.append(len(truth))
        return np.ones((len(generated), len(truth)))

    monkeypatch.setattr("energyflow.emd.emds", counting_emds)
    for size in (1200, 300):
        coverage, mmd = coverage_and_mmd(jets, jets[:size], 0)
        assert coverage.n == mmd.n == true_jets[-1] == min(1000, size)


def test_energy_movers_distances_do_not_depend_on_the_rows_per_step(monkeypatch):
    jets = with_mask(STORED["real"][:40]), with_mask(STORED["gen_near"][:40])
    monkeypatch.setattr(distances, "EMD_BATCHES", 2)
    values = []
    for rows in (7, 1000):
        monkeypatch.setattr(distances, "EMD_ROWS", rows)
        values.append([result.value for result in coverage_and_mmd(*jets, 0)])
    assert values[0] == pytest.approx(values[1])


def test_frechet_distance_of_shifted_and_widened_gaussians_is_known():
    truth = RNG.normal(size=(200_000, 2))
    generated = 2 * RNG.normal(size=(200_000, 2)) + [3, 0]
    assert frechet(truth, generated) == pytest.approx(9 + 2 * (2 - 1) ** 2, rel=0.02)


def test_equal_distributions_have_distances_that_vanish_within_uncertainty():
    truth, generated = np.abs(RNG.normal(size=(2, 3000, 4)))
    for distance in (frechet_extrapolated, kernel_distance):
        result = distance(truth, generated, 0)
        assert abs(result.value) < 5 * result.error


def test_the_kernel_distance_of_small_samples_is_unbiased():
    values = [
        kernel_distance(*np.abs(RNG.normal(size=(2, 60, 3))), seed).value for seed in range(40)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_the_wasserstein_distance_of_shifted_jets_is_the_shift():
    masses = RNG.normal(90, 10, 4000)
    result = wasserstein(masses, masses + 8, 0)
    assert result.value == pytest.approx(8, abs=4 * result.error)


def test_kullback_leibler_divergence_of_two_gaussians_is_known():
    truth, generated = RNG.normal(0, 1, 100_000), RNG.normal(0.5, 1, 100_000)
    result = kullback_leibler(truth, generated, np.linspace(-5, 5, 101), 0)
    assert result.value == pytest.approx(0.5**2 / 2, abs=0.01)


def test_kullback_leibler_divergence_is_large_if_jets_lie_where_the_truth_has_none():
    edges = np.linspace(0, 1, 11)
    narrow, wide = RNG.uniform(0, 0.5, 1000), RNG.uniform(0, 1, 1000)
    outside, inside = (
        kullback_leibler(*samples, edges, 0).value for samples in ((narrow, wide), (wide, narrow))
    )
    assert outside > 2 * inside


def test_mass_of_two_constituents_is_known():
    jet = np.array([[[0.1, 0.0, 0.5, 1], [-0.1, 0.0, 0.5, 1], [0.3, 0.3, 0.0, 0]]])
    # m^2 = 2 pt1 pt2 (cosh(0.2) - 1)
    assert relative_mass(jet)[0] == pytest.approx(np.sqrt(0.5 * (np.cosh(0.2) - 1)))


def test_fpnd_without_its_packages_is_undefined_and_names_them(monkeypatch):
    """jetnet does not install the packages that its ParticleNet needs."""

    def fpnd(*_, **__):
        raise ModuleNotFoundError("No module named 'torch_cluster'")

    evaluation = SimpleNamespace(fpnd=fpnd, w1m=lambda *_, **__: (1e-3, 1e-4))
    package = SimpleNamespace(evaluation=evaluation)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: package)
    monkeypatch.setitem(sys.modules, "jetnet", package)
    jets = with_mask(STORED["real"][:5])
    result = jetnet_package_metrics(jets, jets, "g")["fpnd"]
    assert result.text == "undefined (No module named 'torch_cluster'; see requirements-jetnet.txt)"


def test_without_the_jetnet_package_its_metrics_are_left_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    jets = with_mask(STORED["real"][:5])
    assert jetnet_package_metrics(jets, jets, "g") == {}
