"""Cross-fitted ratios of all classifiers: disjoint events, starts, ensembles, replicas."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tiny_models import tiny_and_eager
from toy_events import SPEC, write_events

from omnilearn.config import Config
from omnilearn.data.pipeline import WeightedPipeline
from omnilearn.errors import UserError
from omnilearn.fit import load_best
from omnilearn.history import read_history
from omnilearn.model.checkpoint import model_weights, weight_arrays
from omnilearn.statistics.results import read_results
from omnilearn.training.trainer import Trainer
from omnilearn.unfolding.boosted_trees import TreeFit
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import Step, unfold
from omnilearn.unfolding.recipes import TREES
from omnilearn.unfolding.repetitions import Unfolding, sample_of
from omnilearn.unfolding.reweighting import NetworkFit, deepsets

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
    path = tmp_path_factory.mktemp("events")
    return write_events(path, {"train": 800, "val": 200, "test": 200})


@pytest.fixture(scope="module")
def events(folder):
    return Events(SPEC, folder, folds=3)


@pytest.fixture(scope="module")
def few_events(tmp_path_factory):
    """Enough for a few steps of a network."""
    path = tmp_path_factory.mktemp("few")
    return Events(SPEC, write_events(path, {"train": 160, "val": 60, "test": 60}), folds=2)


def trees(events, run, **options):
    return TreeFit(events, run, 0, **options, settings=Config(**{**TREES, "epochs": 20, "lr": 0.2}))


def network(events, run, config=NETWORK):
    return NetworkFit(
        events,
        run,
        0,
        make=partial(deepsets, SPEC),
        first=config,
        later=config,
        about={"task": "test"},
    )


def step_1(events) -> Step:
    sample = sample_of(events)
    weight = sample.weight * sample.passes_reco
    return Step("iteration1_step1", "reco", weight, sample.data_weight, True, multiplies=True)


@pytest.mark.parametrize("kind", [trees, network])
def test_classifiers_are_never_trained_on_events_whose_ratios_they_predict(
    kind, few_events, tmp_path, monkeypatch
):
    events, fit = few_events, kind(few_events, tmp_path)
    rows, trained_on, predicted_by = [], [], []
    read, train, log_ratio = WeightedPipeline._read, fit.train, fit.log_ratio

    def recorded_read(self, *arguments):
        for batch in read(self, *arguments):
            rows.extend(events.positions(batch["index"]).tolist())
            yield batch

    def recorded_labelled(level, samples):
        rows.extend(np.flatnonzero(samples[0] + samples[1]).tolist())
        return TreeFit.labelled(fit, level, samples)

    def recorded_train(*arguments):
        rows.clear()
        epochs = train(*arguments)
        trained_on.append(set(rows))
        return epochs

    def recorded_log_ratio(level, selected):
        predicted_by.append(set(np.flatnonzero(selected & events.passes[level]).tolist()))
        return log_ratio(level, selected)

    monkeypatch.setattr(WeightedPipeline, "_read", recorded_read)
    monkeypatch.setattr(fit, "labelled", recorded_labelled, raising=False)
    monkeypatch.setattr(fit, "train", recorded_train)
    monkeypatch.setattr(fit, "log_ratio", recorded_log_ratio)
    fit(step_1(events))
    assert len(trained_on) == len(predicted_by) == events.folds
    truth, all_predicted = set(np.flatnonzero(events.truth).tolist()), set()
    for training, predicted in zip(trained_on, predicted_by, strict=True):
        assert training
        assert predicted
        assert not training & (predicted | truth)
        assert not predicted & all_predicted
        all_predicted |= predicted
    simulated = events.passes["reco"] & events.simulated
    assert set(np.flatnonzero(simulated).tolist()) <= all_predicted


@pytest.mark.slow
def test_from_converged_weights_an_iteration_without_an_epoch_changes_nothing(
    few_events, tmp_path, monkeypatch
):
    # all simulated events are accepted, so that the normalisation cannot change
    accepted = np.ones(few_events.simulated.sum(), bool)
    sample = replace(sample_of(few_events), passes_reco=accepted)
    fit, stored = network(few_events, tmp_path), {}
    *_, push = unfold(sample, fit, 1, stored)
    assert np.std(push) > 1e-3
    monkeypatch.setattr(Trainer, "fit", lambda self, *_: self.save("best.h5") or self.position)
    *_, second_push = unfold(sample, fit, 2, stored)
    np.testing.assert_allclose(stored["iteration2_step1"], push, rtol=1e-5)
    np.testing.assert_allclose(second_push, push, rtol=1e-5)


@pytest.mark.slow
def test_step_1_of_a_later_iteration_keeps_the_body_and_resets_the_logits(few_events, tmp_path):
    fit, step = network(few_events, tmp_path), step_1(few_events)
    fit(step)
    trained = {}
    for fold in range(few_events.folds):
        load_best(fit.network, tmp_path / "iteration1_step1" / "seed0" / f"fold{fold}")
        trained[fold] = weight_arrays(fit.network)
    for fold, before in trained.items():
        folder = tmp_path / "iteration2_step1" / "seed0" / f"fold{fold}"
        assert fit.start(replace(step, name="iteration2_step1"), folder, 0)
        for name, weight in model_weights(fit.network).items():
            is_logits = name.startswith("classifier.logits.")
            np.testing.assert_array_equal(weight, 0 * before[name] if is_logits else before[name])
    assert any((trained[0][name] != trained[1][name]).any() for name in trained[0])
    assert not fit.start(step, tmp_path / "iteration1_step1" / "seed0" / "fold0", 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [trees, network])
def test_a_classifier_learns_the_ratio_of_two_samples_of_events(kind, folder, tmp_path):
    """The same simulated events with and without known weights: the ratio is those weights."""
    events = Events(SPEC, folder)
    simulated = events.simulated
    multiplicity = events.observable("gen", "multiplicity")[simulated]
    known = np.where(multiplicity > np.median(multiplicity), 3.0, 1.0)
    weight = events.weight[simulated]
    step = Step("known", "gen", weight, weight * known, against_data=False)
    options = {"config": replace(NETWORK, epochs=3, batch=32, lr=3e-3)} if kind is network else {}
    ratio = kind(events, tmp_path, **options)(step)
    for fold in range(events.folds):
        inside = (events.fold == fold)[simulated]
        assert np.average(ratio[inside], weights=weight[inside]) == pytest.approx(1.0)
    expected = known / np.average(known, weights=weight)
    assert np.corrcoef(np.log(ratio), np.log(expected))[0, 1] > 0.7


def test_trees_learn_the_ratio_of_sums_of_signed_weights(folder, tmp_path):
    events = Events(SPEC, folder)
    simulated, rng = events.simulated, np.random.default_rng(2)
    multiplicity = events.observable("gen", "multiplicity")[simulated]
    is_high = multiplicity > np.median(multiplicity)
    signs = np.where(rng.random(len(is_high)) < 1 / 6, -1.0, 1.0)
    step = Step("known", "gen", signs, signs * np.where(is_high, 2.0, 1.0), against_data=False)
    ratio = trees(events, tmp_path)(step)
    assert np.average(ratio, weights=signs) == pytest.approx(1.0)
    assert ratio[is_high].mean() / ratio[~is_high].mean() == pytest.approx(2.0, rel=0.25)
    report = read_results(tmp_path / "known" / "report.json")["seed0"]
    assert np.isfinite(report["closure_chi2"].value)
    assert report["effective_share"] > 0


def test_a_fold_whose_weights_cancel_is_refused_with_its_sums(events, tmp_path):
    with pytest.raises(UserError, match=r"fold of 2 events add up to 0, .* take fewer --folds"):
        trees(events, tmp_path).normalised(np.zeros(2), np.array([1.0, -1.0]), "iteration1_step1")


def test_trees_write_their_losses_and_those_up_to_the_smallest_are_used(events, tmp_path):
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
    # without a tree the ratio is one
    fit.best = 0
    assert not fit.log_ratio("reco", events.simulated).any()


@pytest.mark.parametrize("loss", [0.6930, 0.6932])
def test_a_network_worse_than_a_ratio_of_one_changes_no_weight(
    loss, few_events, tmp_path, monkeypatch
):
    def fitted(self, *_):
        self.position.history = [{"validation": {"cross_entropy": loss}}]
        self.position.epoch = self.position.best_epoch = 1
        self.save("best.h5")

    monkeypatch.setattr(Trainer, "fit", fitted)
    fit, step = network(few_events, tmp_path), step_1(few_events)
    ratio = fit(step)
    assert (np.std(ratio) > 1e-3) == (loss < np.log(2))
    report = read_results(tmp_path / step.name / "report.json")["seed0"]
    assert report["best_epoch"] == (loss < np.log(2))
    # the weights themselves are those of the iteration before: their network is kept
    ratio = fit(replace(step, name="iteration1_step2", multiplies=False))
    assert np.std(ratio) > 1e-3


def test_a_repetition_after_several_ranks_has_their_jets_per_step(few_events, tmp_path):
    fit = network(few_events, tmp_path)
    fit.ranks_of = lambda run: 2
    unfolding = Unfolding(few_events, fit, "reweight", 1, "prior")
    unfolding(tmp_path)
    unfolding.repeat(tmp_path, "training", 1, lambda index: None)
    (nominal,), (repeated,) = (
        read_history(path.parent) for path in sorted(tmp_path.rglob("fold0/history.jsonl"))
    )
    assert nominal["steps"] // 2 == repeated["steps"] > 0
    assert repeated["jets"] == 2 * NETWORK.batch * repeated["steps"]
    assert fit.ranks == 1


def test_replicas_contain_their_counts_and_trainings_differ_by_their_seeds(folder, tmp_path):
    events = Events(SPEC, folder)
    fit = trees(events, tmp_path)
    unfolding = Unfolding(events, fit, "unfold", 1, "prior")
    nominal, sample = unfolding(tmp_path)
    replicas = unfolding.repeat(tmp_path, "replica", 2, lambda index: events.resampled(7, index))
    trainings = unfolding.repeat(tmp_path, "training", 2, lambda index: None)
    assert replicas.shape == trainings.shape == (2, len(nominal))
    data = (events.weight * events.passes["reco"] * ~events.truth)[~events.simulated]
    for index, weights in enumerate(replicas):
        counts = events.resampled(7, index)
        np.testing.assert_array_equal(weights == 0, counts[0] == 0)
        # the weights contain the normalisation of the replica to its own data at detector level
        steps = unfolding.step_files(tmp_path / f"replica_{index}")
        replica = sample_of(events, counts)
        pulled = replica.weight * replica.passes_reco * steps["iteration1_step1"]
        assert pulled.sum() * replica.normalisation == pytest.approx(np.sum(data * counts[1]))
        scale = replica.normalisation / sample.normalisation
        expected = counts[0] * steps["iteration1_step2"] * scale
        np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert np.abs(trainings[0] - trainings[1]).max() > 0
    assert np.std(trainings - nominal) < np.std(replicas - nominal)
    assert fit.seed == 0
