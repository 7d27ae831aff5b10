"""Distances of generated jets: those of the jetnet package, and cases known by hand."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

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
    """(N, P, 3) zero padded -> (N, P, 4)."""
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
    found = measured[name]
    for key, (mean, spread), theirs in (
        ("w1m", STORED[f"{name}.w1m"], 200),
        *(
            (f"w1p_{feature}", stored, 50)
            for feature, stored in zip(
                ("eta", "phi", "pt"),
                zip(STORED[f"{name}.w1p_mean"], STORED[f"{name}.w1p_std"], strict=True),
                strict=True,
            )
        ),
    ):
        # both are means over bootstrap samples
        allowed = 4 * spread * np.sqrt(1 / theirs + 1 / distances.BATCHES)
        assert found[key].value == pytest.approx(mean, abs=allowed), key
        assert found[key].error == pytest.approx(spread, rel=0.6)
    mean, spread = (STORED[f"{name}.w1efp_{kind}"].mean() for kind in ("mean", "std"))
    assert found["w1efp"].value == pytest.approx(mean, abs=4 * spread * np.sqrt(1 / 50 + 1 / 20))


@pytest.mark.parametrize("name", ["gen_near", "gen_far"])
def test_coverage_and_matching_distance_are_those_of_the_jetnet_package(name, measured):
    coverage, mmd = STORED[f"{name}.cov_mmd"]
    found = measured[name]
    assert found["coverage"].n == 2 * 100  # the stored numbers are of 100 jets
    assert found["coverage"].value == pytest.approx(coverage, abs=0.1)
    assert found["mmd"].value == pytest.approx(mmd, rel=0.1)


def test_other_jets_of_the_class_are_closer_than_jets_of_another_class(measured):
    near, far = measured["gen_near"], measured["gen_far"]
    for key in ("w1m", "w1p", "w1efp", "mmd", "fpd", "kpd"):
        assert near[key].value + 2 * near[key].error < far[key].value - 2 * far[key].error, key


def test_equal_samples_have_no_frechet_distance():
    features = RNG.normal(size=(400, 3))
    assert frechet(features, features) == pytest.approx(0, abs=1e-6)


def test_a_generator_that_repeats_one_jet_covers_one_jet():
    jets = with_mask(STORED["real"][:20])
    coverage, _ = coverage_and_mmd(jets, np.repeat(jets[:1], 20, axis=0), 0)
    assert coverage.value == pytest.approx(1 / 20)


def test_coverage_is_of_a_thousand_jets_as_published_and_of_all_where_there_are_fewer(monkeypatch):
    """The value depends on the number, so the number is part of the result."""
    monkeypatch.setattr(distances, "EMD_BATCHES", 1)
    one = np.zeros((1200, 1, 4))
    one[..., 2:] = 1.0  # one constituent: its distance costs nothing
    one[..., 0] = RNG.uniform(-0.4, 0.4, (1200, 1))
    drawn = []

    def counted(ours, theirs, **_):
        drawn.append(len(theirs))
        return np.ones((len(ours), len(theirs)))

    monkeypatch.setattr("energyflow.emd.emds", counted)
    for jets in (1200, 300):
        coverage, mmd = coverage_and_mmd(one, one[:jets], 0)
        assert coverage.n == mmd.n == drawn[-1] == min(1000, jets)


def test_distances_in_parts_are_those_of_all_at_once(monkeypatch):
    jets = with_mask(STORED["real"][:40]), with_mask(STORED["gen_near"][:40])
    monkeypatch.setattr(distances, "EMD_BATCHES", 2)
    found = []
    for rows in (7, 1000):
        monkeypatch.setattr(distances, "EMD_ROWS", rows)
        found.append([result.value for result in coverage_and_mmd(*jets, 0)])
    assert found[0] == pytest.approx(found[1])


def test_frechet_distance_of_shifted_and_widened_gaussians_is_known():
    truth = RNG.normal(size=(200_000, 2))
    generated = 2 * RNG.normal(size=(200_000, 2)) + [3, 0]
    assert frechet(truth, generated) == pytest.approx(9 + 2 * (2 - 1) ** 2, rel=0.02)


def test_equal_distributions_have_distances_that_vanish_within_uncertainty():
    truth, generated = np.abs(RNG.normal(size=(2, 3000, 4)))
    for distance in (frechet_extrapolated, kernel_distance):
        found = distance(truth, generated, 0)
        assert abs(found.value) < 5 * found.error


def test_the_kernel_distance_is_unbiased_whatever_the_sample():
    small = [
        kernel_distance(*np.abs(RNG.normal(size=(2, 60, 3))), seed).value for seed in range(40)
    ]
    assert abs(np.mean(small)) < 4 * np.std(small) / np.sqrt(len(small))


def test_a_shift_of_every_jet_is_its_wasserstein_distance():
    masses = RNG.normal(90, 10, 4000)
    found = wasserstein(masses, masses + 8, 0)
    assert found.value == pytest.approx(8, abs=4 * found.error)
    assert wasserstein_distance(masses, masses + 8) == pytest.approx(8)


def test_kullback_leibler_divergence_of_two_gaussians_is_known():
    truth, generated = RNG.normal(0, 1, 100_000), RNG.normal(0.5, 1, 100_000)
    found = kullback_leibler(truth, generated, np.linspace(-5, 5, 101), 0)
    assert found.value == pytest.approx(0.5**2 / 2, abs=0.01)


def test_kullback_leibler_divergence_punishes_jets_where_the_truth_has_none():
    edges = np.linspace(0, 1, 11)
    narrow, wide = RNG.uniform(0, 0.5, 1000), RNG.uniform(0, 1, 1000)
    assert (
        kullback_leibler(narrow, wide, edges, 0).value
        > 2 * kullback_leibler(wide, narrow, edges, 0).value
    )


def test_mass_of_two_opposite_constituents_is_known():
    jet = np.array([[[0.1, 0.0, 0.5, 1], [-0.1, 0.0, 0.5, 1], [0.3, 0.3, 0.0, 0]]])
    # m^2 = 2 pt1 pt2 (cosh(0.2) - 1)
    assert relative_mass(jet)[0] == pytest.approx(np.sqrt(0.5 * (np.cosh(0.2) - 1)))


def test_without_what_fpnd_needs_the_row_says_what_is_missing(monkeypatch):
    """jetnet alone does not bring the packages that its ParticleNet runs on."""

    def fpnd(*_, **__):
        raise ModuleNotFoundError("No module named 'torch_cluster'")

    evaluation = SimpleNamespace(fpnd=fpnd, w1m=lambda *_, **__: (1e-3, 1e-4))
    package = SimpleNamespace(evaluation=evaluation)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: package)
    monkeypatch.setitem(sys.modules, "jetnet", package)
    jets = with_mask(STORED["real"][:5])
    found = jetnet_package_metrics(jets, jets, "g")["fpnd"]
    assert found.text == (
        "undefined (No module named 'torch_cluster'; see requirements-jetnet.txt)"
    )


def test_without_the_jetnet_package_its_metrics_are_left_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    jets = with_mask(STORED["real"][:5])
    assert jetnet_package_metrics(jets, jets, "g") == {}
