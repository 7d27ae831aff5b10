"""Histograms with ratios: equal samples have ratio one, and what is lost outside is seen."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from omnilearn.plotting.spectra import Sample, common_edges, histogram_with_ratio, spectrum

MASSES = np.random.default_rng(0).normal(90, 10, 2000)


def drawn(reference, others, edges):
    upper, lower = Figure().subplots(2, 1)
    histogram_with_ratio(upper, lower, reference, others, edges, "jet mass [GeV]")
    return upper, lower


def test_density_integrates_to_the_share_of_jets_inside():
    edges = np.linspace(80, 100, 11)
    density, _ = Sample("truth", MASSES).histogram(edges)
    inside = np.mean((MASSES >= 80) & (MASSES <= 100))
    assert np.sum(density * np.diff(edges)) == pytest.approx(inside)


def test_weights_of_two_count_as_two_jets_with_the_error_of_one():
    edges = np.linspace(80, 100, 5)
    value, error = Sample("truth", MASSES, np.full(len(MASSES), 2.0)).histogram(edges)
    alone, its_error = Sample("truth", MASSES).histogram(edges)
    np.testing.assert_allclose(value, alone)
    np.testing.assert_allclose(error, its_error)


def test_a_sample_equals_itself_in_every_bin_of_the_ratio():
    edges = common_edges(MASSES)
    _, lower = drawn(Sample("truth", MASSES), [Sample("generated", MASSES)], edges)
    (points, *_) = [line for line in lower.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points.get_ydata(), 1.0)


def test_bins_of_counts_are_centred_on_whole_numbers():
    edges = common_edges(np.arange(5, 31), whole_numbers=True)
    np.testing.assert_allclose(edges % 1, 0.5)
    assert edges[0] < 6
    assert edges[-1] > 29


def test_an_observable_with_one_value_can_be_drawn(tmp_path):
    spectrum(tmp_path / "n", Sample("truth", np.ones(9)), [Sample("generated", np.ones(9))], "n")
    assert (tmp_path / "n.png").stat().st_size > 0
    assert (tmp_path / "n.pdf").stat().st_size > 0


def test_a_reference_alone_is_no_comparison(tmp_path):
    with pytest.raises(ValueError, match="no sample to compare"):
        spectrum(tmp_path / "n", Sample("truth", MASSES), [], "mass")
    assert not list(tmp_path.iterdir())
