"""Cross-fitted ratios, whatever the classifier: disjoint events, starts, ensembles, replicas."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_models import tiny_and_eager
from toy_events import SPEC, write_events

from omnilearn.config import Config
from omnilearn.data.pipeline import WeightedPipeline
from omnilearn.errors import UserError
from omnilearn.fit import load_best
from omnilearn.model.checkpoint import model_weights
from omnilearn.statistics.results import read_results
from omnilearn.training.trainer import Trainer
from omnilearn.unfolding.boosted_trees import TreeFit
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import Step, unfold
from omnilearn.unfolding.recipes import TREES
from omnilearn.unfolding.repetitions import Unfolding, sample_of
from omnilearn.unfolding.reweighting import NetworkFit, deepsets
from omnilearn.unfolding.step_files import StepFiles

NETWORK = Config(
    epochs=1,
    batch=16,
    lr=1e-3,
    warmup_epochs=0,
    mode="classifier",
    feature_drop=0.0,
    regression_weight=0.0,
)


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with tiny_and_eager():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("events")
    return write_events(place, {"train": 800, "val": 200, "test": 200})


@pytest.fixture(scope="module")
def events(folder):
    return Events(SPEC, folder, folds=3)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """As many as a network needs for a few steps."""
    place = tmp_path_factory.mktemp("few")
    return Events(SPEC, write_events(place, {"train": 160, "val": 60, "test": 60}), folds=2)


def trees(events, run, **more):
    return TreeFit(events, run, 0, **more, settings=Config(**{**TREES, "epochs": 20, "lr": 0.2}))


def network(events, run, config=NETWORK, **more):
    return NetworkFit(
        events,
        run,
        0,
        **more,
        make=lambda seed: deepsets(events, replace(config, seed=seed)),
        first=config,
        later=config,
        about={"task": "test"},
    )


def step_1(events) -> Step:
    sample = sample_of(events)
    weight = sample.weight * sample.passes_reco
    return Step("iteration1_step1", "reco", weight, sample.data_weight, True, multiplies=True)


def test_a_network_never_reads_for_training_what_it_weighs(few, tmp_path, monkeypatch):
    events = few
    fit, read, trainings = network(events, tmp_path), [], []
    batches, train, log_ratio = WeightedPipeline._read, fit.train, fit.log_ratio

    def reading(self, *arguments):
        for batch in batches(self, *arguments):
            read.extend(events.positions(batch["index"]).tolist())
            yield batch

    def training(*arguments):
        read.clear()
        found = train(*arguments)
        trainings.append([set(read)])
        return found

    def weighing(*arguments):
        read.clear()
        found = log_ratio(*arguments)
        trainings[-1].append(set(read))
        return found

    monkeypatch.setattr(WeightedPipeline, "_read", reading)
    monkeypatch.setattr(fit, "train", training)
    monkeypatch.setattr(fit, "log_ratio", weighing)
    fit(step_1(events))
    check_disjoint(events, trainings)


def test_trees_never_learn_from_what_they_weigh(events, tmp_path, monkeypatch):
    fit, trainings = trees(events, tmp_path), []
    labelled, log_ratio = fit.labelled, fit.log_ratio

    def learning(level, samples):
        rows = set(np.flatnonzero(samples[0] + samples[1]).tolist())
        if trainings and len(trainings[-1]) == 1 and not trainings[-1][0] & rows:
            trainings[-1][0] |= rows  # those that stop it
        else:
            trainings.append([rows])
        return labelled(level, samples)

    def weighing(level, rows):
        trainings[-1].append(set(np.flatnonzero(rows).tolist()))
        return log_ratio(level, rows)

    monkeypatch.setattr(fit, "labelled", learning)
    monkeypatch.setattr(fit, "log_ratio", weighing)
    fit(step_1(events))
    check_disjoint(events, trainings)


def check_disjoint(events, trainings):
    assert len(trainings) == events.folds
    truth, weighed_by_all = set(np.flatnonzero(events.truth)), set()
    for learnt, weighed in trainings:
        assert learnt
        assert weighed
        assert not learnt & weighed
        assert not learnt & truth
        assert not weighed & weighed_by_all
        weighed_by_all |= weighed
    seen = events.passes["reco"] & events.simulated
    assert set(np.flatnonzero(seen)) <= weighed_by_all


def test_from_converged_weights_an_iteration_without_an_epoch_changes_nothing(
    few, tmp_path, monkeypatch
):
    events, kept = few, {}
    # all simulated events are accepted, so that no normalisation is left to change
    sample = replace(sample_of(events), passes_reco=np.ones(events.simulated.sum(), bool))
    fit = network(events, tmp_path)
    *_, push = unfold(sample, fit, 1, kept)
    assert np.std(push) > 1e-3
    monkeypatch.setattr(Trainer, "fit", lambda self, *_: self.save("best.h5") or self.position)
    *_, again = unfold(sample, fit, 2, kept)
    np.testing.assert_allclose(kept["iteration2_step1"], push, rtol=1e-5)
    np.testing.assert_allclose(again, push, rtol=1e-5)


def test_step_1_of_a_later_iteration_keeps_the_body_and_forgets_the_logits(few, tmp_path):
    events = few
    fit = network(events, tmp_path)
    fit(step_1(events))
    learnt = {}
    for fold in range(events.folds):
        load_best(fit.network, tmp_path / "iteration1_step1" / "seed0" / f"fold{fold}")
        learnt[fold] = {name: np.array(one) for name, one in model_weights(fit.network).items()}
    for fold, weights in learnt.items():
        folder = tmp_path / "iteration2_step1" / "seed0" / f"fold{fold}"
        assert fit.start(replace(step_1(events), name="iteration2_step1"), folder, 0)
        for name, one in model_weights(fit.network).items():
            is_logits = name.startswith("classifier.logits.")
            np.testing.assert_array_equal(one, 0 * weights[name] if is_logits else weights[name])
    assert any((learnt[0][name] != learnt[1][name]).any() for name in learnt[0])
    assert not fit.start(step_1(events), tmp_path / "iteration1_step1" / "seed0" / "fold0", 0)


@pytest.mark.parametrize("kind", [trees, network])
def test_a_classifier_learns_the_ratio_of_two_samples_of_events(kind, folder, tmp_path):
    """The same simulated events with and without known weights: the ratio is those weights."""
    events = Events(SPEC, folder)
    simulated = events.simulated
    number = events.observable("gen", "multiplicity")[simulated]
    known = np.where(number > np.median(number), 3.0, 1.0)
    weight = events.weight[simulated]
    step = Step("known", "gen", weight, weight * known, against_data=False)
    more = {"config": replace(NETWORK, epochs=3, batch=32, lr=3e-3)} if kind is network else {}
    ratio = kind(events, tmp_path, **more)(step)
    for fold in range(events.folds):
        part = (events.fold == fold)[simulated]
        assert np.average(ratio[part], weights=weight[part]) == pytest.approx(1.0)
    expected = known / np.average(known, weights=weight)
    assert np.corrcoef(np.log(ratio), np.log(expected))[0, 1] > 0.7


def test_signed_weights_teach_trees_the_ratio_of_their_sums(folder, tmp_path):
    events = Events(SPEC, folder)
    simulated, rng = events.simulated, np.random.default_rng(2)
    number = events.observable("gen", "multiplicity")[simulated]
    many = number > np.median(number)
    signs = np.where(rng.random(len(number)) < 1 / 6, -1.0, 1.0)
    step = Step("known", "gen", signs, signs * np.where(many, 2.0, 1.0), against_data=False)
    ratio = trees(events, tmp_path)(step)
    assert np.average(ratio, weights=signs) == pytest.approx(1.0)
    assert ratio[many].mean() / ratio[~many].mean() == pytest.approx(2.0, rel=0.25)
    report = read_results(tmp_path / "known" / "report.json")["seed0"]
    assert np.isfinite(report["closure_chi2"].value)
    assert report["effective_share"] > 0


def test_a_fold_whose_weights_cancel_is_refused_with_its_sums(events, tmp_path):
    with pytest.raises(UserError, match=r"fold of 2 events add up to 0, .* take fewer --folds"):
        trees(events, tmp_path).normalised(np.zeros(2), np.array([1.0, -1.0]), "iteration1_step1")


def test_trees_write_their_losses_and_the_best_of_them_weighs(events, tmp_path):
    fit = trees(events, tmp_path, ensemble=2)
    fit(step_1(events))
    reports = read_results(tmp_path / "iteration1_step1" / "report.json")
    assert set(reports) == {"seed0", "seed1"}
    assert 0 < reports["seed0"]["best_epoch"] <= reports["seed0"]["epochs"]
    assert reports["seed0"]["closure_chi2"].value != reports["seed1"]["closure_chi2"].value
    folder = tmp_path / "iteration1_step1" / "seed1" / f"fold{events.folds - 1}"
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    losses = [line["validation"]["cross_entropy"] for line in lines]
    assert np.argmin(losses) + 1 == fit.best
    # without a tree the ratio is one: that is where every training begins
    fit.best = 0
    assert not fit.log_ratio("reco", events.simulated).any()


def test_replicas_contain_what_they_drew_and_trainings_differ_by_their_seeds(folder, tmp_path):
    events = Events(SPEC, folder)
    fit = trees(events, tmp_path)
    unfolding = Unfolding(events, fit, "unfold", 1, "prior")
    nominal, sample = unfolding(tmp_path)
    replicas = unfolding.again(tmp_path, "replica", 2, lambda number: events.resampled(7, number))
    trainings = unfolding.again(tmp_path, "training", 2, lambda number: None)
    assert replicas.shape == trainings.shape == (2, len(nominal))
    for number, weights in enumerate(replicas):
        drawn, seen = events.resampled(7, number)
        np.testing.assert_array_equal(weights == 0, drawn == 0)
        # a replica's own normalisation is in it: its detector level holds the data that it drew
        data = np.sum(
            (events.weight * events.passes["reco"] * ~events.truth)[~events.simulated] * seen
        )
        pull = StepFiles(tmp_path / f"replica{number}", len(events.simulated))["iteration1_step1"]
        own = sample_of(events, (drawn, seen))
        total = np.sum(own.weight * own.passes_reco * pull) * own.normalisation
        assert total == pytest.approx(data)
        last = StepFiles(tmp_path / f"replica{number}", len(events.simulated))["iteration1_step2"]
        scale = own.normalisation / sample.normalisation
        np.testing.assert_allclose(weights, drawn * last * scale, rtol=1e-6)
    assert np.abs(trainings[0] - trainings[1]).max() > 0
    assert np.std(trainings - nominal) < np.std(replicas - nominal)
    assert fit.seed == 0
