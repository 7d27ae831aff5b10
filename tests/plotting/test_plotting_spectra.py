"""Histograms with ratios: density, uncertainty, and a ratio of one for equal samples."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from omnilearn.plotting.spectra import Sample, Spectrum, histogram_with_ratio, spectra

MASSES = np.random.default_rng(0).normal(90, 10, 2000)
EDGES = np.linspace(80, 100, 11)
TRUTH = Sample.of_values("truth", MASSES, EDGES)


def test_density_integrates_to_the_share_of_jets_inside():
    density, _ = TRUTH.density(EDGES)
    inside = np.mean((MASSES >= 80) & (MASSES <= 100))
    assert np.sum(density * np.diff(EDGES)) == pytest.approx(inside)


def test_weights_of_two_change_neither_density_nor_uncertainty():
    weighted = Sample.of_values("truth", MASSES, EDGES, np.full(len(MASSES), 2.0))
    np.testing.assert_allclose(weighted.density(EDGES), TRUTH.density(EDGES))


def test_counts_and_values_give_the_same_density():
    counts = np.histogram(MASSES, EDGES)[0]
    counted = Sample.of_counts("truth", counts, len(MASSES))
    np.testing.assert_allclose(counted.density(EDGES), TRUTH.density(EDGES))


def test_the_ratio_of_a_sample_to_itself_is_one_in_every_bin():
    upper, lower = Figure().subplots(2, 1)
    histogram_with_ratio(upper, lower, EDGES, TRUTH, [TRUTH], "jet mass [GeV]")
    (points, *_) = [line for line in lower.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points.get_ydata(), 1.0)


@pytest.mark.parametrize("panels", [1, 5])
def test_any_number_of_panels_is_drawn_in_one_figure(panels, tmp_path):
    panel = Spectrum(EDGES, TRUTH, [TRUTH], "jet mass [GeV]")
    spectra(tmp_path / "mass", {f"panel{i}": panel for i in range(panels)}, "JetNet30")
    assert (tmp_path / "mass.png").stat().st_size > 0
    assert (tmp_path / "mass.pdf").stat().st_size > 0


def test_a_figure_without_panels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no spectrum to draw"):
        spectra(tmp_path / "n", {})
    assert not list(tmp_path.iterdir())
