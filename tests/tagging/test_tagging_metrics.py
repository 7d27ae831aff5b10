"""Tagging metrics against cases solved by hand, scikit-learn and toy experiments."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from omnilearn.data.catalogue import JETCLASS, TOP
from omnilearn.errors import UserError
from omnilearn.statistics.uncertainty import ONE_SIGMA, bootstrap_error
from omnilearn.tagging.metrics import (
    accuracy,
    auc,
    auc_one_vs_one,
    auc_one_vs_rest,
    background_rejection,
    confusion_matrix,
    pair_score,
    rejection_curve,
    tagging_curves,
    tagging_metrics,
)
from omnilearn.tagging.roc import FEW_PASSING, RocCounts

SEPARATION = 1.5  # between two unit Gaussians: AUC and rejection are known in closed form
TRUE_AUC = norm.cdf(SEPARATION / np.sqrt(2))


def gaussian_tagger(rng, jets, separation=SEPARATION, ties=False):
    labels = rng.integers(0, 2, jets)
    scores = rng.normal(labels * separation, 1.0)
    return (np.round(scores, 1) if ties else scores), labels


def true_background_efficiency(signal_efficiency):
    return norm.sf(norm.isf(signal_efficiency) + SEPARATION)


def test_roc_of_four_jets_is_the_one_solved_by_hand():
    curve = RocCounts.of([0.9, 0.8, 0.8, 0.1], [1, 0, 1, 0], [1.0, 1.0, 3.0, 1.0])
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.1]
    assert curve.fpr.tolist() == [0, 0, 0.5, 1]
    assert curve.tpr.tolist() == [0, 0.25, 1, 1]


def test_auc_of_four_jets_is_the_one_solved_by_hand():
    # pairs: (0.9, 0.8) and (0.9, 0.1) won, (0.8, 0.8) tied, (0.8, 0.1) won
    assert auc([0.9, 0.8, 0.8, 0.1], [1, 0, 1, 0]).value == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_roc_and_auc_agree_with_scikit_learn(ties, weighted):
    rng = np.random.default_rng(2)
    scores, labels = gaussian_tagger(rng, 3000, ties=ties)
    weights = rng.gamma(2.0, 1.0, 3000) if weighted else None
    sklearn_curve = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    curve = RocCounts.of(scores, labels, weights)
    ours = curve.fpr, curve.tpr, curve.thresholds
    for values, expected in zip(ours, sklearn_curve, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-12)
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert auc(scores, labels, weights).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("efficiency", [0.3, 0.5])
def test_rejection_is_the_first_point_above_the_efficiency_as_released(efficiency):
    scores, labels = gaussian_tagger(np.random.default_rng(3), 20000)
    fpr, tpr, _ = roc_curve(labels, scores)
    expected = 1 / fpr[np.argmax(tpr > efficiency)]
    result = background_rejection(scores, labels, None, efficiency)
    assert result.value == pytest.approx(expected, rel=1e-12)
    assert result.n == 20000


def test_macro_aucs_agree_with_scikit_learn():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, 2000)
    logits = rng.normal(size=(2000, 4)) + 1.2 * np.eye(4)[labels]
    probabilities = softmax(logits, axis=1)
    weights = rng.gamma(2.0, 1.0, 2000)
    one_vs_one = roc_auc_score(labels, probabilities, multi_class="ovo", average="macro")
    one_vs_rest = roc_auc_score(
        labels, probabilities, multi_class="ovr", average="macro", sample_weight=weights
    )
    assert auc_one_vs_one(logits, labels).value == pytest.approx(one_vs_one, rel=1e-12)
    assert auc_one_vs_rest(logits, labels, weights).value == pytest.approx(one_vs_rest, rel=1e-12)


def test_all_aucs_of_two_classes_are_equal():
    rng = np.random.default_rng(4)
    scores, labels = gaussian_tagger(rng, 500)
    logits = np.stack([np.zeros(500), scores], axis=1)
    binary = auc(pair_score(logits, 1, 0), labels)
    for macro in (auc_one_vs_one(logits, labels), auc_one_vs_rest(logits, labels)):
        assert macro.value == pytest.approx(binary.value, rel=1e-12)
        assert macro.error == pytest.approx(binary.error, rel=1e-12)


def test_delong_error_agrees_with_its_literal_formula():
    scores, labels = gaussian_tagger(np.random.default_rng(6), 300, ties=True)
    signal, background = scores[labels == 1], scores[labels == 0]
    kernel = (signal[:, None] > background) + 0.5 * (signal[:, None] == background)
    variance = np.var(kernel.mean(1), ddof=1) / len(signal)
    variance += np.var(kernel.mean(0), ddof=1) / len(background)
    assert auc(scores, labels).error == pytest.approx(np.sqrt(variance), rel=1e-10)


def test_weighted_auc_error_agrees_with_the_bootstrap():
    rng = np.random.default_rng(7)
    scores, labels = gaussian_tagger(rng, 400)
    weights = rng.gamma(1.0, 1.0, 400)

    def areas(replicas):
        return np.array([auc(scores, labels, row).value for row in replicas])

    expected = bootstrap_error(areas, weights, seed=8, replicas=400)
    assert auc(scores, labels, weights).error == pytest.approx(expected, rel=0.15)


def test_random_tagger_has_rejection_one_over_efficiency():
    rng = np.random.default_rng(9)
    scores, labels = rng.random(40000), rng.integers(0, 2, 40000)
    for efficiency in (0.3, 0.5, 0.8):
        result = background_rejection(scores, labels, None, efficiency)
        assert abs(result.value - 1 / efficiency) < 3 * result.error
    area = auc(scores, labels)
    assert abs(area.value - 0.5) < 3 * area.error


def test_a_constant_score_has_an_auc_of_one_half():
    area = auc(np.zeros(200), np.arange(200) % 2, np.full(200, 0.1))
    assert area.value == pytest.approx(0.5)
    assert area.error is None


def test_a_perfect_tagger_has_a_lower_limit_on_its_rejection():
    labels = np.repeat([0, 1], 100)
    result = background_rejection(labels.astype(float), labels)
    assert result.bound == "lower"
    assert result.error is None
    assert result.value == pytest.approx(1 / (1 - (1 - ONE_SIGMA) ** 0.01))
    area = auc(labels.astype(float), labels)
    assert (area.value, area.error) == (1, None)
    assert "overlap" in area.reason


@pytest.mark.parametrize(("passing", "bound"), [(FEW_PASSING - 1, "lower"), (FEW_PASSING, None)])
def test_fewer_than_ten_background_jets_are_only_a_bound(passing, bound):
    # 100 signal jets at 1, `passing` of 1000 background jets with them
    scores = np.concatenate([np.ones(100), np.ones(passing), np.zeros(1000 - passing)])
    labels = np.repeat([1, 0], [100, 1000])
    result = background_rejection(scores, labels, np.full(1100, 0.1))
    assert result.bound == bound
    if bound is None:
        assert result.value == pytest.approx(100)
        # nothing moves the threshold here, so the error is binomial
        assert result.error == pytest.approx(100**2 * np.sqrt(0.01 * 0.99 / 1000))


@pytest.mark.parametrize("metric", [background_rejection, auc])
def test_a_jet_of_weight_two_counts_as_two_jets(metric):
    rng = np.random.default_rng(10)
    scores, labels = gaussian_tagger(rng, 2000, ties=True)
    weights = rng.integers(0, 4, 2000)
    repeated = metric(np.repeat(scores, weights), np.repeat(labels, weights))
    assert metric(scores, labels, weights).value == pytest.approx(repeated.value, rel=1e-12)
    logits = np.stack([np.zeros(2000), scores], axis=1)
    repeated = accuracy(np.repeat(logits, weights, axis=0), np.repeat(labels, weights))
    assert accuracy(logits, labels, weights).value == pytest.approx(repeated.value, rel=1e-12)


@pytest.mark.parametrize("metric", [background_rejection, auc])
def test_neither_the_order_of_the_jets_nor_the_scale_of_the_weights_matters(metric):
    rng = np.random.default_rng(12)
    scores, labels = gaussian_tagger(rng, 1000, ties=True)
    weights = rng.gamma(2.0, 1.0, 1000)
    order = rng.permutation(1000)
    expected = metric(scores, labels, weights)
    for result in (
        metric(scores[order], labels[order], weights[order]),
        metric(scores, labels, 1e-3 * weights),
    ):
        assert result.value == pytest.approx(expected.value, rel=1e-9)
        assert result.error == pytest.approx(expected.error, rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_pulls_of_auc_and_rejection_have_width_one(weighted):
    rng = np.random.default_rng(13)
    true_efficiency = true_background_efficiency(0.5)
    pulls = []
    for _ in range(300):
        scores, labels = gaussian_tagger(rng, 3000)
        weights = rng.gamma(2.0, 1.0, 3000) if weighted else None
        area = auc(scores, labels, weights)
        rejection = background_rejection(scores, labels, weights, 0.5)
        assert rejection.bound is None
        efficiency_error = rejection.error / rejection.value**2
        pulls.append(
            [
                (area.value - TRUE_AUC) / area.error,
                (1 / rejection.value - true_efficiency) / efficiency_error,
            ]
        )
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.13)
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=0.2)


def test_error_of_the_rejection_includes_the_threshold_when_signal_is_scarce():
    rng = np.random.default_rng(14)
    true_efficiency = true_background_efficiency(0.5)
    pulls, binomial_pulls = [], []
    labels = np.repeat([1, 0], [200, 5000])
    for _ in range(300):
        result = background_rejection(rng.normal(labels * SEPARATION, 1.0), labels)
        efficiency = 1 / result.value
        pulls.append((efficiency - true_efficiency) * result.value**2 / result.error)
        binomial = np.sqrt(efficiency * (1 - efficiency) / 5000)
        binomial_pulls.append((efficiency - true_efficiency) / binomial)
    assert np.std(pulls) == pytest.approx(1, abs=0.15)
    assert np.std(binomial_pulls) > 2  # a binomial error alone is too small


def test_lower_limits_of_the_rejection_cover_two_thirds():
    rng = np.random.default_rng(15)
    true_rejection = 1 / true_background_efficiency(0.1)
    covered = []
    labels = np.repeat([1, 0], [20000, 1000])
    for _ in range(200):
        result = background_rejection(rng.normal(labels * SEPARATION, 1.0), labels, None, 0.1)
        assert result.bound == "lower"
        covered.append(result.value <= true_rejection)
    assert np.mean(covered) > ONE_SIGMA - 3 * np.sqrt(ONE_SIGMA * (1 - ONE_SIGMA) / 200)


def test_rejection_falls_with_the_signal_efficiency():
    scores, labels = gaussian_tagger(np.random.default_rng(16), 20000)
    values = [result.value for result in rejection_curve(scores, labels) if not result.bound]
    assert np.all(np.diff(values) <= 0)


def test_tagging_metrics_of_top_are_the_columns_of_the_published_table():
    scores, labels = gaussian_tagger(np.random.default_rng(17), 20000)
    logits = np.stack([np.zeros(20000), scores - SEPARATION / 2], axis=1)
    results = tagging_metrics(logits, labels, None, TOP)
    assert {"accuracy", "auc", "rejection_0.5", "rejection_0.3"} <= set(results)
    assert results["accuracy"].value == pytest.approx(norm.cdf(SEPARATION / 2), abs=0.01)
    curve = RocCounts.of(scores, labels, None)
    passing = curve.fpr[np.argmax(curve.tpr > 0.3)] * np.sum(labels == 0)
    assert results["background_passing_0.3"] == round(passing)


def test_multi_class_rejection_is_that_of_ps_over_ps_plus_pb():
    rng = np.random.default_rng(18)
    labels = np.arange(5000) % 10
    logits = rng.normal(size=(5000, 10)) + 2 * np.eye(10)[labels]
    results = tagging_metrics(logits, labels, None, JETCLASS)
    p = softmax(logits, axis=1)
    rows = np.isin(labels, (0, 8))
    expected = background_rejection((p[:, 8] / (p[:, 8] + p[:, 0]))[rows], labels[rows] == 8)
    assert results["rejection_Tbqq_0.5"] == expected
    assert results["auc"].value == pytest.approx(auc_one_vs_one(logits, labels).value)
    assert "rejection_QCD_0.5" not in results
    curves = tagging_curves(logits, labels, None, JETCLASS)
    assert tuple(curves) == JETCLASS.class_names[1:]
    point = curves["Tbqq"]["signal_efficiency"].index(0.5)
    assert curves["Tbqq"]["rejection"][point] == expected


@pytest.mark.parametrize(
    ("scores", "labels", "weights", "sentence"),
    [
        ([], [], None, "no jets"),
        ([0.1, np.nan], [0, 1], None, "not finite for 1 of 2 jets"),
        ([0.1, np.inf], [0, 1], None, "not finite"),
        ([0.1, 0.2], [1, 1], None, "no jets of class 0"),
        ([0.1, 0.2], [0, 1], [1, 0], "no jets of class 1"),
        ([0.1, 0.2], [0, 1], [0, 0], "all jet weights are zero"),
        ([0.1, 0.2], [0, 1], [1, -1], "a sum above zero"),
        ([0.1, 0.2], [0, 1], [1, np.nan], "a jet weight is not finite"),
        ([0.1, 0.2, 0.3], [0, 1, 2], None, "label 2 found"),
    ],
)
@pytest.mark.parametrize("metric", [auc, background_rejection])
def test_samples_without_a_roc_curve_are_refused_in_one_sentence(
    metric, scores, labels, weights, sentence
):
    with pytest.raises(UserError, match=sentence) as refusal:
        metric(scores, labels, weights)
    assert "\n" not in str(refusal.value)


def test_a_signal_efficiency_of_one_is_refused():
    with pytest.raises(UserError, match="between 0 and 1"):
        background_rejection([0.1, 0.2], [0, 1], None, 1.0)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="do not match"):
        auc([0.1, 0.2, 0.3], [0, 1])


def test_rows_of_the_confusion_matrix_are_the_true_classes():
    logits = np.eye(3)[[0, 0, 1, 1, 1, 2]]
    labels = np.array([0, 0, 0, 1, 1, 2])
    weights = np.array([1.0, 1.0, 2.0, 1.0, 3.0, 5.0])
    matrix = confusion_matrix(logits, labels, weights, 3)
    np.testing.assert_allclose(matrix, [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_leptonic_classes_of_jetclass_have_the_working_points_of_their_paper():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(10), 400)
    logits = rng.normal(size=(4000, 10)) + 4 * np.eye(10)[labels]
    metrics = tagging_metrics(logits, labels, None, JETCLASS)
    assert {"rejection_Hqql_0.99", "rejection_Tbl_0.995", "rejection_Hbb_0.5"} <= set(metrics)
    assert "rejection_Tbl_0.5" not in metrics
