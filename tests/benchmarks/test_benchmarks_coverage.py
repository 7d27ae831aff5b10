"""Coverage of pseudo-experiments whose uncertainties are known to be right, or wrong."""

import numpy as np
import pytest

from benchmarks.coverage import (
    BINS,
    Shares,
    bias,
    coverage,
    deal,
    equal_bins,
    main,
    shares_of,
    table,
)
from omnilearn.data.catalogue import OMNIFOLD
from omnilearn.unfolding.unfolded_weights import UnfoldedWeights

EXPERIMENTS, REPLICAS, SIGMA = 200, 40, 0.01
TRUTH = np.full(BINS, 1 / BINS)


def experiments(quoted: float = 1.0, shift: float = 0.0) -> list[Shares]:
    """Gaussian shares with `quoted` times their actual uncertainty, each shifted in turn by
    +-`shift` actual uncertainties."""
    rng = np.random.default_rng(1)
    direction = shift * SIGMA * (-1.0) ** np.arange(BINS)
    return [
        Shares(
            unfolded=TRUTH + direction + SIGMA * rng.normal(size=BINS),
            simulation=TRUTH + 3 * SIGMA,
            truth=TRUTH,
            replicas=TRUTH + quoted * SIGMA * rng.normal(size=(REPLICAS, BINS)),
            truth_covariance=np.zeros((BINS, BINS)),
        )
        for _ in range(EXPERIMENTS)
    ]


def test_right_uncertainties_cover_the_truth():
    results = coverage(experiments())
    for name, expected in (
        ("coverage_68", 0.6827),
        ("coverage_95", 0.9545),
        ("coverage_95_covariance", 0.9545),
        ("quoted_over_actual", 1.0),
    ):
        assert results[name].value == pytest.approx(expected, abs=4 * results[name].error), name
    assert results["bias"] < 0.05
    assert results["bias_simulation"] == pytest.approx(3, rel=0.05)


def test_uncertainties_of_half_the_size_do_not():
    results = coverage(experiments(quoted=0.5))
    assert results["coverage_68"].value < 0.45
    assert results["coverage_95_covariance"].value < 0.2
    assert results["quoted_over_actual"].value == pytest.approx(0.5, rel=0.05)


def test_a_bias_is_measured_in_uncertainties():
    results = coverage(experiments(shift=1.0))
    assert results["bias"] == pytest.approx(1.0, rel=0.1)
    assert results["coverage_95_covariance"].value < 0.7
    assert results["quoted_over_actual"].value == pytest.approx(1.0, rel=0.05)


def test_the_mean_of_few_experiments_is_no_bias():
    rng = np.random.default_rng(2)
    measured = [bias(rng.normal(size=(16, BINS))) for _ in range(200)]
    assert np.mean(np.square(measured)) < 0.02  # 1 / 16 without the correction


def test_an_acceptance_of_all_experiments_has_an_uncertainty():
    result = coverage(experiments(quoted=3.0)[:10])["coverage_95_covariance"]
    assert (result.value, result.n) == (1.0, 10)
    assert result.error > 0.05


def test_every_event_is_in_one_experiment(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    np.savez_compressed(raw / "a.npz", one=np.arange(7), two=np.arange(14).reshape(7, 2))
    deal(raw, tmp_path / "out", 3)
    dealt = [np.load(tmp_path / "out" / str(index) / "raw" / "a.npz") for index in range(3)]
    assert sorted(np.concatenate([arrays["one"] for arrays in dealt])) == list(range(7))
    for arrays in dealt:
        np.testing.assert_array_equal(arrays["two"][:, 0], 2 * arrays["one"])
    before = (tmp_path / "out" / "0" / "raw" / "a.npz").stat().st_mtime_ns
    deal(raw, tmp_path / "out", 3)
    assert (tmp_path / "out" / "0" / "raw" / "a.npz").stat().st_mtime_ns == before


def test_bins_of_equal_content():
    values = np.random.default_rng(3).exponential(size=10_000)
    counts = np.bincount(np.searchsorted(equal_bins(values), values))
    assert len(counts) == BINS
    assert np.ptp(counts) <= 1
    whole = np.repeat([0.0, 1.0, 2.0], [800, 100, 100])
    edges = equal_bins(whole)
    assert set(edges) <= {0.5, 1.5}
    assert 0.5 in edges


def test_shares_are_those_of_the_weights():
    rng = np.random.default_rng(4)
    values, event_weight = rng.uniform(size=500), rng.uniform(0.5, 2, 500)
    passes = rng.uniform(size=500) < 0.8
    weights = UnfoldedWeights(
        weight=np.where(values < 0.5, 3.0, 1.0),
        event_weight=event_weight,
        passes_reco=passes,
        passes_gen=passes,
        file=np.zeros(500),
        row=np.arange(500),
        replicas=np.ones((2, 500)),
        trainings=np.ones((0, 500)),
        about={},
    )
    shares = shares_of(values, weights, np.array([0.1, 0.2, 0.3, 0.9]), np.array([0.5]))
    low, high = (event_weight[passes & cut].sum() for cut in (values < 0.5, values >= 0.5))
    np.testing.assert_allclose(
        shares.unfolded, [3 * low / (3 * low + high), high / (3 * low + high)]
    )
    np.testing.assert_allclose(shares.simulation, [low / (low + high), high / (low + high)])
    np.testing.assert_allclose(shares.replicas[0], shares.simulation)
    np.testing.assert_allclose(shares.truth, [0.75, 0.25])
    np.testing.assert_allclose(
        shares.truth_covariance, 0.75 * 0.25 / 4 * np.array([[1, -1], [-1, 1]])
    )


def test_the_table_has_a_row_per_observable():
    results = {name: coverage(experiments()[:16]) for name in OMNIFOLD.observables}
    text = table(results)
    assert all(f"| {name} |" in text for name in ("jet mass", "ln rho", "z_g"))
    assert text.count("| --")
    assert "(3." in text


def test_too_few_replicas_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--raw", str(tmp_path), "--replicas", "5"])
    assert "--replicas is 5; expected at least 12" in capsys.readouterr().err
