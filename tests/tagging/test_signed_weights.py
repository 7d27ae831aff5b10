"""Tagging metrics with negative weights and with equal scores: which are defined, and which not."""

import numpy as np
import pytest
from scipy.stats import norm

from omnilearn.data.catalogue import JETCLASS, TOP
from omnilearn.tagging.metrics import (
    auc,
    background_rejection,
    confusion_matrix,
    tagging_curves,
    tagging_metrics,
)
from omnilearn.tagging.roc import Undefined

SEPARATION = 1.5  # between two unit Gaussians: AUC and rejection are known in closed form
TRUE_AUC = norm.cdf(SEPARATION / np.sqrt(2))
TRUE_REJECTION = 1 / norm.sf(norm.isf(0.5) + SEPARATION)


def gaussian_tagger(rng, jets):
    labels = rng.integers(0, 2, jets)
    return rng.normal(labels * SEPARATION, 1.0), labels


def signed_sample(rng, jets=20_000):
    """Jets of which one in five has weight -1, as in samples at next-to-leading order."""
    scores, labels = gaussian_tagger(rng, jets)
    return scores, labels, np.where(rng.random(jets) < 0.2, -1.0, 1.0)


def test_negative_weights_count_with_their_sign():
    rng = np.random.default_rng(21)
    scores, labels, weights = signed_sample(rng)
    logits = np.stack([np.zeros(len(scores)), scores - SEPARATION / 2], axis=1)
    metrics = tagging_metrics(logits, labels, weights, TOP)
    accuracy_by_hand = np.sum(weights * ((scores > SEPARATION / 2) == labels)) / np.sum(weights)
    assert metrics["accuracy"].value == pytest.approx(accuracy_by_hand)
    assert metrics["auc"].value == pytest.approx(TRUE_AUC, abs=4 * metrics["auc"].error)
    rejection = metrics["rejection_0.5"]
    assert rejection.value == pytest.approx(TRUE_REJECTION, abs=4 * rejection.error)


def test_errors_with_negative_weights_are_the_spread_over_samples():
    rng = np.random.default_rng(22)
    samples = [signed_sample(rng, 8000) for _ in range(60)]
    for metric in (auc, background_rejection):
        results = [metric(*sample) for sample in samples]
        spread = np.std([result.value for result in results])
        assert np.median([result.error for result in results]) == pytest.approx(spread, rel=0.35)


def test_weights_that_cancel_in_a_class_leave_only_its_metrics_undefined():
    rng = np.random.default_rng(23)
    labels = np.arange(3000) % 10
    logits = rng.normal(size=(3000, 10)) + 2 * np.eye(10)[labels]
    weights = np.ones(3000)
    weights[np.flatnonzero(labels == 3)] = np.where(np.arange(300) % 2, 1.0, -1.0)
    metrics = tagging_metrics(logits, labels, weights, JETCLASS)
    for name in ("auc", "rejection_Hgg_0.5", "background_passing_Hgg_0.5"):
        assert np.isnan(metrics[name].value)
        assert "add up to 0" in metrics[name].reason
    assert metrics["rejection_Hbb_0.5"].value > 1
    assert np.isfinite(metrics["accuracy"].value)
    assert "Hgg" not in tagging_curves(logits, labels, weights, JETCLASS)
    with pytest.raises(Undefined, match="jets of class 3 add up to 0"):
        confusion_matrix(logits, labels, weights, 10)


def test_an_accuracy_above_one_is_undefined():
    # only the jet of negative weight is classified wrongly
    logits, labels = np.eye(2)[[0, 1, 1, 1]], np.array([0, 1, 1, 0])
    accuracy = tagging_metrics(logits, labels, np.array([2.0, 1.0, 1.0, -1.0]), TOP)["accuracy"]
    assert np.isnan(accuracy.value)
    assert accuracy.reason.startswith("the accuracy is 1.33: negative weights")


def test_background_that_cancels_above_the_cut_has_no_rejection():
    scores, labels = [0.9, 0.8, 0.7, 0.3, 0.2, 0.1], [0, 0, 1, 1, 0, 0]
    result = background_rejection(scores, labels, [1.0, -1.0, 1.0, 1.0, 1.0, 1.0], 0.4)
    assert np.isnan(result.value)
    assert result.reason == "the weights of the 2 background jets that pass add up to 0 of all"


@pytest.mark.parametrize("efficiency", [0.3, 0.5])
def test_equal_scores_give_only_a_limit_on_the_rejection(efficiency):
    labels = np.arange(2000) % 2
    result = background_rejection(np.zeros(2000), labels, None, efficiency)
    assert (result.value, result.error, result.bound) == (1.0, None, "lower")
    assert "equal scores: measured at a signal efficiency of 1" in result.reason


def test_a_score_of_few_values_gives_the_efficiency_at_which_its_rejection_is_measured():
    digit = np.arange(2000) // 2 % 10
    labels = np.arange(2000) % 2
    coarse = np.where(labels == 1, digit > 1, digit > 7)  # eS 0.8, eB 0.2
    result = background_rejection(coarse, labels, None, 0.3)
    assert result.value == pytest.approx(5)
    assert result.error > 0
    assert result.reason.endswith("measured at a signal efficiency of 0.8, the next above 0.3")


def test_few_equal_scores_leave_the_rejection_without_a_remark():
    scores, labels = gaussian_tagger(np.random.default_rng(24), 20_000)
    result = background_rejection(np.round(scores, 3), labels)
    assert result.error > 0
    assert (result.bound, result.reason) == (None, None)
