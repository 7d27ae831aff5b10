"""finetune.py omnifold and evaluate.py on toy events: files, resume, refusals, replicas."""

import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from commands import ROOT, python
from tiny_models import tiny_and_eager
from toy_events import SPEC, write_events

from omnilearn.config import Config, read_config
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.recipes import DEEPSETS, DEEPSETS_UNFOLDING, TWO_SAMPLES
from omnilearn.statistics.results import read_results
from omnilearn.unfolding import task as unfolding
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.likelihood_ratio import closure, ratio_of, ratio_quality
from omnilearn.unfolding.omnifold import Step
from omnilearn.unfolding.reweighting import NetworkFit, deepsets
from omnilearn.unfolding.step_files import StepFiles
from omnilearn.unfolding.unfolded_weights import read_weights

EVENTS = {"train": 44, "val": 20, "test": 24}
TINY_RUN = (
    "finetune.py omnifold --preset small --epochs 1 --later-epochs 1 --iterations 2 --batch 16 "
    "--warmup-epochs 0 --misses prior"
)


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """Few slots, a small network, and no graph: tracing it takes longer than one step."""
    with tiny_and_eager() as patch:
        patch.setitem(CATALOGUE, "omnifold", SPEC)
        patch.setitem(TWO_SAMPLES, "epochs", 1)
        patch.setitem(TWO_SAMPLES, "batch", 16)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data and a finished unfolding, evaluated."""
    place = tmp_path_factory.mktemp("unfolding")
    write_events(place / "data", EVENTS)
    code, _, err = finetuned(place)
    assert code == 0, err
    code, _, err = python("evaluate.py", place / "runs" / "toy")
    assert code == 0, err
    return place


def finetuned(place, *more, name="toy"):
    folders = ("--data", place / "data", "--runs", place / "runs", "--name", name)
    return python(TINY_RUN, *folders, *more)


def test_a_run_holds_the_weights_of_every_step_and_says_when_to_stop(place):
    run = place / "runs" / "toy"
    for iteration in (1, 2):
        for step in (1, 2):
            folder = run / f"iteration{iteration}_step{step}"
            assert {path.name for path in folder.iterdir()} == {
                "seed0", "weights.h5", "report.json"}  # fmt: skip
    iterations = read_results(run / "iterations.json")["iterations"]
    assert len(iterations) == 2
    assert set(iterations[0]["chi2"]) == set(SPEC.observables)
    assert all(one["change"] > 0 for one in iterations)
    report = read_results(run / "iteration1_step1" / "report.json")["seed0"]
    assert report["clipped_fraction"].value < 0.5
    assert report["closure_chi2"].n > 0


def test_the_published_file_says_what_made_it_and_where_its_events_stand(place):
    run = place / "runs" / "toy"
    arrays, about = read_weights(run / "weights.h5")
    with h5py.File(place / "data/omnifold/train/omnifold_train_000.h5") as file:
        simulated = np.flatnonzero(file["pid"][:] == 0)
        stored = file["weight"][:][simulated]
    first = arrays["file"] == 0
    np.testing.assert_array_equal(arrays["row"][first], simulated)
    np.testing.assert_allclose(arrays["event_weight"][first], stored)
    last = StepFiles(run, sum(EVENTS.values()))["iteration2_step2"]
    np.testing.assert_array_equal(arrays["weight"], last)
    assert json.loads(about["config"])["seed"] == 0
    assert [one["events"] for one in json.loads(about["inputs"])] == list(EVENTS.values())
    assert {"numpy", "keras"} <= set(json.loads(about["versions"]))
    total = (arrays["event_weight"] * arrays["passes_reco"]).sum() * about["normalisation"]
    events = Events(SPEC, str(place / "data"))
    data = (events.weight * events.passes["reco"])[~events.simulated].sum()
    assert total == pytest.approx(data)


def test_the_reader_in_the_docs_reads_the_file(place, monkeypatch, capsys):
    text = (ROOT / "docs" / "unfolding.md").read_text()
    (reader,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(reader.splitlines()) <= 11  # one of them prints
    monkeypatch.chdir(place)
    exec(compile(reader.replace("runs/omnifold_finetuned", "runs/toy"), "docs", "exec"), {})
    assert "jet mass" in capsys.readouterr().out


def test_evaluation_compares_both_levels_with_the_data(place):
    run = place / "runs" / "toy"
    results = read_results(run / "results.json")
    for level, kinds in (("detector", ()), ("particle", ("ibu",))):
        for name in SPEC.observables:
            for kind in ("simulation", "unfolded", *kinds):
                assert results[f"triangular_{level}_{name}_{kind}"].error > 0
                assert results[f"chi2_{level}_{name}_{kind}"].n > 0
        assert (run / f"spectra_{level}.png").is_file()
    assert results["two_sample_simulation"].n == EVENTS["test"]
    assert [len(found) for found in results["by_iteration"].values()] == [3] * 6
    assert (run / "iterations.png").is_file()
    assert (run / "loss.png").is_file()
    code, _, err = python("evaluate.py", run, "--split", "val")
    assert code == 2
    assert "leave out --split" in err


def test_an_unfolding_goes_on_after_the_last_step_that_was_finished(place, tmp_path):
    (tmp_path / "data").symlink_to(place / "data")
    stopped = NetworkFit.__call__

    def stopping(self, step):
        if step.name == "iteration2_step1":
            raise KeyboardInterrupt
        return stopped(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NetworkFit, "__call__", stopping)
        assert finetuned(tmp_path)[0] == 130
    run = tmp_path / "runs" / "toy"
    assert sorted(path.name for path in run.glob("iteration*_*")) == [
        "iteration1_step1", "iteration1_step2"]  # fmt: skip
    written = (run / "iteration1_step2" / "weights.h5").stat().st_mtime_ns
    assert finetuned(tmp_path)[0] == 0
    assert (run / "iteration1_step2" / "weights.h5").stat().st_mtime_ns == written
    expected, _ = read_weights(place / "runs" / "toy" / "weights.h5")
    found, _ = read_weights(run / "weights.h5")
    np.testing.assert_allclose(found["weight"], expected["weight"], rtol=1e-6)


def test_other_settings_are_refused_in_a_finished_run(place):
    code, _, err = finetuned(place, "--clip", "10")
    assert code == 2
    assert "clip 100.0 (now 10.0)" in err


def test_fewer_iterations_are_those_that_were_done(place):
    whole = StepFiles(place / "runs" / "toy", sum(EVENTS.values()))
    code, _, err = finetuned(place, "--iterations", 1)
    assert code == 0, err
    arrays, _ = read_weights(place / "runs" / "toy" / "weights.h5")
    np.testing.assert_array_equal(arrays["weight"], whole["iteration1_step2"])
    assert finetuned(place)[0] == 0
    arrays, _ = read_weights(place / "runs" / "toy" / "weights.h5")
    np.testing.assert_array_equal(arrays["weight"], whole["iteration2_step2"])


def test_reweighting_is_the_first_step_alone(place):
    code, _, err = finetuned(place, "--step", "reweight", name="reweighted")
    assert code == 0, err
    run = place / "runs" / "reweighted"
    arrays, about = read_weights(run / "weights.h5")
    assert about["level"] == "reco"
    whole = StepFiles(place / "runs" / "toy", sum(EVENTS.values()))["iteration1_step1"]
    np.testing.assert_allclose(arrays["weight"], whole, rtol=1e-6)
    weight = arrays["event_weight"] * arrays["passes_reco"]
    assert np.average(arrays["weight"], weights=weight) == pytest.approx(1.0)
    assert python("evaluate.py", run)[0] == 0
    results = read_results(run / "results.json")
    assert "triangular_detector_jet_mass_unfolded" in results
    assert not any(key.startswith("triangular_particle") for key in results)


def test_replicas_of_the_data_and_ensembles_are_part_of_the_result(place):
    code, _, err = finetuned(place, "--replicas", 2, "--ensemble", 2, "--iterations", 1,
                             "--lr", 2e-3, "--classifier", "deepsets", name="several")  # fmt: skip
    assert code == 0, err
    run = place / "runs" / "several"
    arrays, _ = read_weights(run / "weights.h5")
    assert arrays["replicas"].shape == (2, sum(EVENTS.values()) // 2)
    assert not np.allclose(*arrays["replicas"])
    assert {path.name for path in (run / "iteration1_step1").glob("seed*")} == {"seed0", "seed1"}
    reports = read_results(run / "iteration1_step1" / "report.json")
    assert set(reports) == {"seed0", "seed1"}


def test_deep_sets_have_settings_of_their_own_and_flags_win(place):
    code, _, err = finetuned(place, "--iterations", 1, "--classifier", "deepsets", "--lr", 3e-3,
                             name="deep")  # fmt: skip
    assert code == 0, err
    config, about = read_config(place / "runs" / "deep" / "config.json")
    assert config.lr == 3e-3
    assert config.patience == DEEPSETS["small"]["patience"]
    assert about["later_lr"] == DEEPSETS_UNFOLDING["small"]["later_lr"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--iterations", "0"), "--iterations is 0; expected 1 or more"),
        (
            ("--jets-per-epoch", "10"),
            "--jets-per-epoch is for tagging, generation and pre-training",
        ),
        (("--clip", "1"), "--clip is 1; ratios are kept between 1 / clip and clip"),
        (("--classifier", "deepsets", "--backbone", "runs/x"), "is trained from scratch"),
    ],
)
def test_settings_that_mean_nothing_are_refused(place, flags, said):
    code, _, err = finetuned(place, *flags, name="refused")
    assert code == 2
    assert said in err
    assert not (place / "runs" / "refused").exists()


def test_data_without_a_truth_are_compared_at_detector_level_alone(tmp_path):
    write_events(tmp_path / "data", EVENTS, truth=False)
    settings = ("--iterations", "1", "--classifier", "deepsets")
    assert finetuned(tmp_path, *settings)[0] == 0
    assert python("evaluate.py", tmp_path / "runs" / "toy")[0] == 0
    results = read_results(tmp_path / "runs" / "toy" / "results.json")
    assert list(results["spectra"]) == ["detector"]


def test_a_classifier_learns_the_ratio_of_two_samples_of_events(tmp_path):
    """The same simulated events with and without known weights: the ratio is those weights."""
    events = Events(SPEC, str(write_events(tmp_path, {"train": 500, "val": 100, "test": 10})))
    simulated = events.simulated
    number = events.observable("gen", "multiplicity")[simulated]
    known = np.where(number > np.median(number), 3.0, 1.0)
    config = Config(epochs=4, batch=16, lr=1e-3, warmup_epochs=0, mode="classifier",
                    feature_drop=0.0)  # fmt: skip
    fit = NetworkFit(events, lambda seed: deepsets(events, replace(config, seed=seed)), tmp_path,
                     config, config, {"task": "test"})  # fmt: skip
    weight = events.weight[simulated]
    ratio = fit(Step("known", "gen", weight, weight * known, against_data=False))
    assert np.average(ratio, weights=weight) == pytest.approx(1.0)
    expected = known / np.average(known, weights=weight)
    assert np.corrcoef(np.log(ratio), np.log(expected))[0, 1] > 0.7


def test_a_perfect_ratio_closes_and_a_wrong_one_does_not():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, 5000), rng.normal(0.5, 1, 5000)])
    is_target = np.arange(10_000) >= 5000
    logit = 0.5 * x - 0.125
    samples = (1.0 * ~is_target, 1.0 * is_target)
    assert closure(logit, samples, 100.0).value < 2.5
    assert closure(2 * logit, samples, 100.0).value > 10
    found = ratio_quality(logit, samples[0], clip=1.5)
    # |x / 2 - 1 / 8| above log 1.5, for a Gaussian
    assert found["clipped_fraction"].value == pytest.approx(0.436, abs=0.02)
    assert found["clipped_fraction"].n == 5000
    assert ratio_of(np.array([9.0, 0.0, -9.0]), 4.0).tolist() == pytest.approx([4, 1, 0.25])


def test_every_option_has_its_help():
    assert set(unfolding.HELP) == set(vars(unfolding.Options()))
