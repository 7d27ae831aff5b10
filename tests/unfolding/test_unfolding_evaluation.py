"""evaluate.py of an unfolding: held-out truth, IBU, negative weights, data without truth."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from tiny_unfolding import EVENTS, finetuned
from toy_events import SPEC, write_events

from omnilearn.config import Config
from omnilearn.statistics.likelihood_ratio import ratio_of, ratio_quality
from omnilearn.statistics.results import Result, read_results
from omnilearn.unfolding import evaluation
from omnilearn.unfolding import two_sample_test as two_sample
from omnilearn.unfolding.cross_fitting import CrossFit, closure
from omnilearn.unfolding.evaluation import compare_level
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import DETECTOR
from omnilearn.unfolding.spectrum_distances import BINNING, of_equal_total
from omnilearn.unfolding.two_sample_test import signed_auc, two_sample_test
from omnilearn.unfolding.unfolded_weights import read_weights

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.slow
def test_evaluation_compares_both_levels_with_the_data(workdir):
    run = workdir / "runs" / "toy"
    output_of(python("evaluate.py", run))
    results = read_results(run / "results.json")
    for level, kinds in (("detector", ()), ("particle", ("ibu",))):
        for name in SPEC.observables:
            for kind in ("simulation", "unfolded", *kinds):
                assert results[f"triangular_{level}_{name}_{kind}"].error > 0
                assert results[f"chi2_{level}_{name}_{kind}"].n > 0
        assert (run / f"spectra_{level}.png").is_file()
    assert results["two_sample_simulation"].n == EVENTS["test"]
    assert [len(values) for values in results["by_iteration"].values()] == [3] * 6
    assert (run / "iterations.png").is_file()
    assert (run / "loss.png").is_file()
    err = refusal_of(python("evaluate.py", run, "--split", "val"))
    assert "--split has no effect on an unfolding" in err


def test_data_without_a_truth_are_compared_at_detector_level_alone(tmp_path, spectra_alone):
    write_events(tmp_path / "data", EVENTS, truth=False)
    assert finetuned(tmp_path, "--iterations", "1")[0] == 0
    assert python("evaluate.py", tmp_path / "runs" / "toy")[0] == 0
    results = read_results(tmp_path / "runs" / "toy" / "results.json")
    assert list(results["spectra"]) == ["detector"]
    err = refusal_of(python("evaluate.py", tmp_path / "runs" / "toy", "--ibu-iterations", 3))
    assert "--ibu-iterations has no effect on" in err


def test_the_particle_level_of_unfolded_data_is_never_used(workdir, tmp_path, spectra_alone):
    """The results do not change when the particle level of unfolded data is overwritten."""
    output_of(python("evaluate.py", workdir / "runs" / "toy"))
    before = read_results(workdir / "runs" / "toy" / "results.json")
    copied = shutil.copytree(workdir / "data", tmp_path / "data")
    for split in ("train", "val"):
        with h5py.File(copied / f"omnifold/{split}/omnifold_{split}_000.h5", "r+") as file:
            for key in ("gen_subs", "gen_jets", "gen"):
                file[key][...] = np.where(
                    (file["pid"][:] == 1).reshape(-1, *[1] * (file[key].ndim - 1)),
                    0.01,
                    file[key][:],
                )
    assert finetuned(tmp_path)[0] == 0
    assert python("evaluate.py", tmp_path / "runs" / "toy")[0] == 0
    after = read_results(tmp_path / "runs" / "toy" / "results.json")
    assert after["ibu_iterations"] == before["ibu_iterations"]
    for key, result in before.items():
        if key.startswith(("chi2_", "triangular_")):
            assert result.value == pytest.approx(after[key].value, nan_ok=True), key


def test_replicas_that_differ_in_their_total_alone_have_no_variance_of_the_shape(workdir):
    events = Events(SPEC, str(workdir / "data"))
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2.0, events.simulated.sum())
    totals = rng.uniform(0.5, 2.0, (12, 1))
    for kind, replicas in (("scaled", totals * weight), ("other", totals * weight[::-1])):
        arrays = {"weight": weight, "replicas": replicas, "reweighted": weight}
        arrays["replicas"][0] = 3 * weight
        _, histograms = compare_level(events, DETECTOR, arrays, {})
        for name in BINNING:
            error = np.array(histograms[name]["unfolded"]["uncertainty"])
            assert (error.max() < 1e-9) == (kind == "scaled"), name


def test_spectra_without_a_shape_keep_their_sums():
    spectra = np.array([[1.0, 3.0], [2.0, 2.0], [1.0, -2.0]])
    np.testing.assert_allclose(of_equal_total(spectra, 8.0), [[2, 6], [4, 4], [1, -2]])
    np.testing.assert_array_equal(of_equal_total(spectra, -1.0), spectra)


def test_an_unfolding_is_evaluated_with_the_iterations_of_its_weights(
    workdir, tmp_path, spectra_alone, monkeypatch
):
    run = shutil.copytree(workdir / "runs" / "toy", tmp_path / "runs" / "toy")
    (tmp_path / "data").symlink_to(workdir / "data")

    def interrupted(self, step):
        raise KeyboardInterrupt

    monkeypatch.setattr(CrossFit, "__call__", interrupted)
    assert finetuned(tmp_path, "--iterations", "3")[0] == 130
    output_of(python("evaluate.py", run))
    distances = read_results(run / "results.json")["by_iteration"]["jet_mass"]
    assert len(distances) == 3  # before, and after two iterations
    assert finetuned(tmp_path, name="unfinished")[0] == 130
    err = refusal_of(python("evaluate.py", tmp_path / "runs" / "unfinished"))
    assert "or its unfolding the last step; give its command again" in err


def test_the_iterations_of_ibu_change_ibu_alone(workdir, spectra_alone):
    run, results = workdir / "runs" / "toy", {}
    for iterations in (1, 9):
        assert python("evaluate.py", run, "--ibu-iterations", iterations)[0] == 0
        results[iterations] = read_results(run / "results.json")
        assert set(results[iterations]["ibu_iterations"].values()) == {iterations}
    keys = [f"triangular_particle_{name}" for name in SPEC.observables]
    assert any(results[1][f"{key}_ibu"] != results[9][f"{key}_ibu"] for key in keys)
    assert all(results[1][f"{key}_unfolded"] == results[9][f"{key}_unfolded"] for key in keys)
    err = refusal_of(python("evaluate.py", run, "--ibu-iterations", 0))
    assert "--ibu-iterations is 0; expected 1 or more" in err


def test_without_a_number_detector_level_chooses_the_iterations_of_ibu(
    workdir, spectra_alone, monkeypatch
):
    run, numbers = workdir / "runs" / "toy", iter(range(1, 7))
    monkeypatch.setattr(evaluation, "chosen_iterations", lambda chi2: next(numbers))
    assert python("evaluate.py", run)[0] == 0
    chosen = read_results(run / "results.json")
    assert chosen["ibu_iterations"] == dict(zip(BINNING, range(1, 7), strict=True))
    assert python("evaluate.py", run, "--ibu-iterations", 2)[0] == 0
    forced = read_results(run / "results.json")
    second = list(BINNING)[1]
    for name in BINNING:
        key = f"triangular_particle_{name}_ibu"
        assert (chosen[key] == forced[key]) == (name == second), name


@pytest.mark.slow
def test_negative_event_weights_give_finite_or_explained_results(tmp_path):
    write_events(tmp_path / "data", EVENTS)
    rng = np.random.default_rng(0)
    for path in sorted((tmp_path / "data").rglob("*.h5")):
        with h5py.File(path, "r+") as file:
            sign = np.where((file["pid"][:] == 0) & (rng.random(len(file["pid"])) < 1 / 6), -1, 1)
            file["weight"][...] = file["weight"][:] * sign
    output_of(finetuned(tmp_path, "--replicas", 2))
    run = tmp_path / "runs" / "toy"
    output_of(python("evaluate.py", run))
    arrays, _ = read_weights(run / "weights.h5")
    assert (arrays["event_weight"] < 0).any()
    assert (arrays["weight"] > 0).all()  # a ratio of densities, times signed weights
    assert arrays["replicas"].shape[0] == 2
    results = read_results(run / "results.json")
    for key, result in results.items():
        if isinstance(result, Result):
            assert np.isfinite(result.value) or result.reason, key
    for level in ("detector", "particle"):
        assert (run / f"spectra_{level}.png").is_file()
        for name in SPEC.observables:
            assert np.isfinite(results["spectra"][level][name]["unfolded"]["density"]).all()
    assert np.isfinite(results["two_sample_unfolded"].value)
    assert results["two_sample_unfolded"].error > 0


def test_the_auc_of_signed_weights_is_computed_from_their_sums():
    score = np.array([0.1, 0.2, 0.2, 0.3, 0.9])
    signal = np.array([False, True, False, True, False])
    weight = np.array([2.0, 1.0, 1.0, 2.0, -0.5])
    # pairs: 1 x (2 + half of 1) and 2 x (2 + 1), of 3 x 2.5
    assert signed_auc(score, signal, weight).value == pytest.approx((2.5 + 6) / 7.5)
    positive = np.abs(weight)
    bootstrap = signed_auc(
        np.append(score, 5.0), np.append(signal, True), np.append(positive, -1e-12)
    )
    assert bootstrap.value == pytest.approx(signed_auc(score, signal, positive).value)
    undefined = signed_auc(score, signal, np.array([1.0, 1.0, -1.0, 1.0, -0.5]))
    assert np.isnan(undefined.value)
    assert "add up to -0.5 and 2" in undefined.reason


def test_a_perfect_ratio_closes_and_a_wrong_one_does_not():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, 5000), rng.normal(0.5, 1, 5000)])
    is_target = np.arange(10_000) >= 5000
    logit = 0.5 * x - 0.125
    samples = (1.0 * ~is_target, 1.0 * is_target)
    assert closure(logit, samples, 100.0).value < 2.5
    assert closure(2 * logit, samples, 100.0).value > 10
    quality = ratio_quality(logit, samples[0], clip=1.5)
    # |x / 2 - 1 / 8| above log 1.5, for a Gaussian
    assert quality["clipped_fraction"].value == pytest.approx(0.436, abs=0.02)
    assert quality["clipped_fraction"].n == 5000
    cancelling = ratio_quality(np.zeros(2), np.array([1.0, -1.0]), clip=2.0)
    assert cancelling["effective_share"] is None
    assert "no event" in ratio_quality(logit[:1], np.zeros(1), 2.0)["clipped_fraction"].reason
    assert "no event" in closure(logit[:0], (logit[:0],) * 2, 2.0).reason
    assert ratio_of(np.array([9.0, 0.0, -9.0]), 4.0).tolist() == pytest.approx([4, 1, 0.25])


def test_the_two_sample_test_of_other_weights_trains_anew(tmp_path, monkeypatch):
    """A finished training in the same folder would be taken as that of the new weights."""
    half = np.arange(6) < 3
    events = SimpleNamespace(
        spec=SPEC, simulated=half, passes={"gen": np.ones(6, bool)}, weight=np.ones(6)
    )
    events.within = lambda split: np.ones(6, bool)
    folders: list[Path] = []

    class Fit:
        def __init__(self, *_, **__):
            pass

        def samples(self, step):
            return np.where(half, 1.0, 0.0), np.where(half, 0.0, 1.0)

        def train(self, step, samples, rows, folder, seed):
            folders.append(folder)

        def log_ratio(self, level, rows):
            return np.arange(6.0)

    monkeypatch.setattr(two_sample, "NetworkFit", Fit)
    for weight in (np.ones(3), np.full(3, 2.0), np.ones(3)):
        two_sample_test(tmp_path, events, Config(), "gen", weight)
    simulation, unfolded = folders[::2], folders[1::2]
    assert len(set(simulation)) == 1
    assert unfolded[0] == unfolded[2] != unfolded[1]
