"""finetune.py omnifold and evaluate.py on toy events: files, resume, refusals, replicas."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from documented import example
from tiny_unfolding import EVENTS, NETWORK, finetuned
from toy_events import SPEC, write_events

from omnilearn.config import read_config
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results
from omnilearn.unfolding.cross_fitting import CrossFit
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.recipes import CLASSIFIERS, CLASSIFIERS_UNFOLDING
from omnilearn.unfolding.step_files import StepFiles
from omnilearn.unfolding.unfolded_weights import read_weights

pytestmark = pytest.mark.usefixtures("tiny")


def steps_of(workdir: Path) -> StepFiles:
    """The weights after each step of runs/toy."""
    events = Events(SPEC, str(workdir / "data"))
    return StepFiles(workdir / "runs" / "toy", sum(EVENTS.values()), events.digest)


def test_finished_trainings_of_a_step_and_of_its_misses_keep_no_state_to_resume(tmp_path):
    steps = StepFiles(tmp_path, 3, "digest")
    folds = [tmp_path / f"{name}/seed0/fold1" for name in ("step1", "step1_misses", "step2")]
    for fold in folds:
        fold.mkdir(parents=True)
        for state in ("last.h5", "previous.h5", "best.h5"):
            (fold / state).touch()
    steps["step1"] = np.ones(3)
    left = [sorted(path.name for path in fold.iterdir()) for fold in folds]
    assert left == [["best.h5"], ["best.h5"], ["best.h5", "last.h5", "previous.h5"]]


def test_a_run_holds_the_weights_of_every_step_and_their_convergence(workdir):
    run = workdir / "runs" / "toy"
    for iteration in (1, 2):
        for step in (1, 2):
            folder = run / f"iteration{iteration}_step{step}"
            names = {path.name for path in folder.iterdir()}
            assert names == {"seed0", "weights.h5", "report.json"}
            assert {path.name for path in (folder / "seed0").iterdir()} == {"fold0", "fold1"}
    iterations = read_results(run / "iterations.json")["iterations"]
    assert len(iterations) == 2
    assert set(iterations[0]["chi2"]) == set(SPEC.observables)
    assert all(iteration["change"].value > 0 for iteration in iterations)
    report = read_results(run / "iteration1_step1" / "report.json")["seed0"]
    assert report["clipped_fraction"].value < 0.5
    assert report["closure_chi2"].n > 0


def test_the_weights_file_holds_settings_inputs_and_rows_of_its_events(workdir):
    run = workdir / "runs" / "toy"
    arrays, about = read_weights(run / "weights.h5")
    with h5py.File(workdir / "data/omnifold/train/omnifold_train_000.h5") as file:
        simulated = np.flatnonzero(file["pid"][:] == 0)
        stored = file["weight"][:][simulated]
    first = arrays["file"] == 0
    np.testing.assert_array_equal(arrays["row"][first], simulated)
    np.testing.assert_allclose(arrays["event_weight"][first], stored)
    last = steps_of(workdir)["iteration2_step2"]
    np.testing.assert_array_equal(arrays["weight"], last)
    assert json.loads(about["config"])["seed"] == 0
    assert [item["events"] for item in json.loads(about["inputs"])] == list(EVENTS.values())
    assert {"numpy", "keras"} <= set(json.loads(about["versions"]))
    total = (arrays["event_weight"] * arrays["passes_reco"]).sum() * about["normalisation"]
    events = Events(SPEC, str(workdir / "data"))
    data = (events.weight * events.passes["reco"])[~events.simulated & ~events.truth].sum()
    assert total == pytest.approx(data)


def test_the_reader_in_the_docs_gives_spectrum_and_covariance(
    workdir, replicas_run, monkeypatch, capsys
):
    reader = example("docs/unfolding.md", "weights.h5")
    assert len([line for line in reader.splitlines() if line]) <= 13  # with import and print
    monkeypatch.chdir(workdir)
    names = {}
    exec(compile(reader.replace("runs/omnifold_finetuned", "runs/several"), "docs", "exec"), names)
    assert "GeV" in capsys.readouterr().out
    arrays, about = read_weights(replicas_run / "weights.h5")
    events = Events(SPEC, str(workdir / "data"))
    mass = events.observable("gen", "jet_mass")[events.simulated]
    prior = arrays["event_weight"] * arrays["passes_gen"] * about["normalisation"]
    edges = names["edges"]
    expected = np.histogram(mass, edges, weights=prior * arrays["weight"])[0]
    np.testing.assert_allclose(names["spectrum"], expected)
    toys = [np.histogram(mass, edges, weights=prior * weight)[0] for weight in arrays["replicas"]]
    np.testing.assert_allclose(names["covariance"], np.cov(toys, rowvar=False))
    assert np.diag(names["covariance"]).max() > 0


def test_an_interrupted_unfolding_resumes_after_the_last_finished_step(workdir, tmp_path):
    (tmp_path / "data").symlink_to(workdir / "data")
    fit_step = CrossFit.__call__

    def interrupted_fit(self, step):
        if step.name == "iteration2_step1":
            raise KeyboardInterrupt
        return fit_step(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CrossFit, "__call__", interrupted_fit)
        assert finetuned(tmp_path)[0] == 130
    run = tmp_path / "runs" / "toy"
    assert sorted(path.name for path in run.glob("iteration*_*")) == [
        "iteration1_step1",
        "iteration1_step2",
    ]
    written = (run / "iteration1_step2" / "weights.h5").stat().st_mtime_ns
    assert finetuned(tmp_path)[0] == 0
    assert (run / "iteration1_step2" / "weights.h5").stat().st_mtime_ns == written
    expected, _ = read_weights(workdir / "runs" / "toy" / "weights.h5")
    resumed, _ = read_weights(run / "weights.h5")
    np.testing.assert_allclose(resumed["weight"], expected["weight"], rtol=1e-6)


def test_weights_of_other_events_are_neither_evaluated_nor_resumed(workdir, tmp_path):
    """Also where there are equally many, which would be weighted as the former ones."""
    write_events(tmp_path / "data", EVENTS, seed=1)
    run, folder = workdir / "runs" / "toy", ("--data", tmp_path / "data")
    for result in (python("evaluate.py", run, *folder), finetuned(workdir, *folder)):
        message = refusal_of(result)
        assert f"weights.h5 is of {sum(EVENTS.values())} events, the folder of --data" in message
        assert "do not apply, also with --accept-changed-data; give the folder" in message
        assert "with finetune.py and another --name" in message


def test_weights_of_earlier_versions_are_told_from_others_by_their_number_alone(tmp_path):
    steps = StepFiles(tmp_path, 100, "of their files")
    steps["iteration1_step1"] = np.ones(100)
    others = StepFiles(tmp_path, 100, "of other files")
    with pytest.raises(UserError, match="holds 100 or others"):
        others["iteration1_step1"]
    with h5py.File(others.path("iteration1_step1"), "a") as file:
        del file.attrs["files_digest"], file.attrs["digest"]
    assert others["iteration1_step1"].sum() == 100


def test_other_settings_are_refused_in_a_finished_run(workdir):
    assert "clip 100.0 (now 10.0)" in refusal_of(finetuned(workdir, "--clip", "10"))


def test_fewer_iterations_give_the_stored_weights_of_that_iteration(workdir):
    steps = steps_of(workdir)
    for flags, name in ((("--iterations", 1), "iteration1_step2"), ((), "iteration2_step2")):
        output_of(finetuned(workdir, *flags))
        arrays, _ = read_weights(workdir / "runs" / "toy" / "weights.h5")
        np.testing.assert_array_equal(arrays["weight"], steps[name])


def test_reweighting_is_the_first_step_alone(workdir, spectra_alone):
    trees = "finetune.py omnifold --preset small --classifier trees --epochs 20 --lr 0.2"
    output_of(finetuned(workdir, "--step", "reweight", name="reweighted", command=trees))
    run = workdir / "runs" / "reweighted"
    arrays, about = read_weights(run / "weights.h5")
    assert about["level"] == "reco"
    pull = steps_of(workdir)["iteration1_step1"]
    np.testing.assert_allclose(arrays["weight"], pull, rtol=1e-6)
    weight = arrays["event_weight"] * arrays["passes_reco"]
    assert np.average(arrays["weight"], weights=weight) == pytest.approx(1.0)
    assert about["mean_weight"] == pytest.approx(1.0)
    size = np.sum(weight * pull) ** 2 / np.sum((weight * pull) ** 2)
    assert about["effective_size"] == pytest.approx(size, rel=1e-5)
    assert python("evaluate.py", run)[0] == 0
    results = read_results(run / "results.json")
    assert "triangular_detector_jet_mass_unfolded" in results
    assert not any(key.startswith("triangular_particle") for key in results)


@pytest.fixture(scope="module")
def replicas_run(workdir):
    """A run with an ensemble, two replicas and a repeated training."""
    flags = "--replicas 2 --trainings 1 --ensemble 2 --iterations 1"
    output_of(finetuned(workdir, *flags.split(), name="several"))
    return workdir / "runs" / "several"


def test_replicas_trainings_and_ensembles_are_part_of_the_result(replicas_run):
    arrays, _ = read_weights(replicas_run / "weights.h5")
    assert arrays["replicas"].shape == (2, sum(EVENTS.values()) // 2)
    assert not np.allclose(*arrays["replicas"])
    assert (arrays["replicas"] == 0).any()  # events with a count of zero
    assert arrays["trainings"].shape == (1, sum(EVENTS.values()) // 2)
    seeds = [
        int(path.name.removeprefix("seed"))
        for folder in ("", "replica_0", "replica_1", "training_0")
        for path in sorted((replicas_run / folder / "iteration1_step1").glob("seed*"))
    ]
    assert seeds[:2] == [0, 1]
    assert (np.diff(seeds)[::2] == 1).all()  # an ensemble of two
    assert len(set(seeds)) == 8  # none is trained with the seed of another
    reports = read_results(replicas_run / "iteration1_step1" / "report.json")
    assert set(reports) == {"seed0", "seed1"}


@pytest.mark.slow
def test_pet_unfolds_over_all_constituents_with_a_classifier_per_fold(workdir):
    output_of(finetuned(workdir, name="pet", command=NETWORK))
    run = workdir / "runs" / "pet"
    for step in (1, 2):
        for fold in (0, 1):
            folder = run / f"iteration1_step{step}" / "seed0" / f"fold{fold}"
            # the state of the optimiser is removed when the step is finished
            assert {path.name for path in folder.iterdir()} == {"best.h5", "history.jsonl"}
    arrays, _ = read_weights(run / "weights.h5")
    assert np.std(arrays["weight"]) > 0
    config, about = read_config(run / "config.json")
    assert (config.regression_weight, about["folds"], about["iterations"]) == (0.0, 2, 1)


def test_deep_sets_have_settings_of_their_own_which_flags_override(workdir):
    flags = ("--iterations", 1, "--classifier", "deepsets", "--lr", 3e-3)
    output_of(finetuned(workdir, *flags, name="deep", command=NETWORK))
    config, about = read_config(workdir / "runs" / "deep" / "config.json")
    assert config.lr == 3e-3
    assert config.patience == CLASSIFIERS["deepsets"]["small"]["patience"]
    assert about["later_lr"] == CLASSIFIERS_UNFOLDING["deepsets"]["small"]["later_lr"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--iterations", "0"), "--iterations is 0; expected 1 or more"),
        (
            ("--jets-per-epoch", "10"),
            "--jets-per-epoch has no effect on an unfolding, whose epochs are passes",
        ),
        (("--clip", "1"), "--clip is 1.0; expected above 1"),
        (("--classifier", "deepsets", "--backbone", "runs/x"), "is trained from scratch"),
        (("--backbone", "runs/x"), "trees is trained from scratch; leave out --backbone"),
        (("--folds", "1"), "--folds is 1; expected 2 to 100"),
        (("--folds", "128"), "--folds is 128; expected 2 to 100"),
        (("--later-lr", "1e-4"), "--later-lr has no effect on trees"),
        (("--no-decay",), "--decay has no effect on trees"),
        (
            ("--classifier", "deepsets", "--padding", "masked"),
            "--padding has no effect on DeepSets",
        ),
        (("--val-jets", "10"), "--val-jets has no effect on an unfolding"),
        (("--train-jets", "100000"), " omnifold events for training: ask for less, or make more"),
        (("--step", "reweight"), "--iterations has no effect on the first step alone"),
        (("--mode", "all"), "--mode is 'all'; an unfolding trains the classifier"),
        (("--trainings", "-1"), "--trainings is -1; expected 0 or more"),
    ],
)
def test_invalid_settings_are_refused(workdir, flags, message):
    assert message in refusal_of(finetuned(workdir, *flags, name="refused"))
    assert not (workdir / "runs" / "refused").exists()
