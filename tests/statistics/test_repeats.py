"""Several trainings in one set of results: mean, spread, and the uncertainty of the test jets."""

import pytest

from omnilearn.errors import UserError
from omnilearn.statistics.repeats import over_trainings
from omnilearn.statistics.results import Result, read_results, write_results


def training(auc: float, rejection: Result, model: str = "seed0") -> dict:
    return {
        "dataset": "top",
        "model": model,
        "data": "simulated",
        "auc": Result(auc, 0.002, 1000),
        "rejection_0.5": rejection,
        "background_passing_0.5": 20,
        "curves": {"top": {"signal_efficiency": [0.5], "rejection": [rejection]}},
    }


@pytest.fixture
def trainings():
    aucs = (0.96, 0.97, 0.98)
    return [training(a, Result(50 + 10 * i, 5.0, 1000), f"seed{i}") for i, a in enumerate(aucs)]


def test_the_error_is_the_spread_over_trainings_and_not_of_the_test_jets(trainings, tmp_path):
    write_results(tmp_path / "results.json", over_trainings(trainings))
    combined = read_results(tmp_path / "results.json")
    assert combined["auc"].value == pytest.approx(0.97)
    assert combined["auc"].error == pytest.approx(0.01)
    assert combined["statistical"]["auc"] == pytest.approx(0.002)
    assert combined["trainings"] == 3
    rejection = combined["curves"]["top"]["rejection"][0]
    assert (rejection.value, rejection.error) == pytest.approx((60.0, 10.0))


def test_equal_trainings_have_no_spread(trainings):
    assert over_trainings([trainings[0]] * 2)["auc"].error == 0


def test_a_limit_in_one_training_makes_the_mean_a_limit(trainings):
    trainings[1]["rejection_0.5"] = Result(40.0, None, 1000, bound="lower")
    rejection = over_trainings(trainings)["rejection_0.5"]
    assert (rejection.value, rejection.bound) == (40.0, "lower")
    trainings[1]["rejection_0.5"] = Result(90.0, None, 1000, bound="lower")
    rejection = over_trainings(trainings)["rejection_0.5"]
    assert rejection == Result(50.0, None, 1000, bound="lower")


def test_confusion_matrices_and_spectra_are_averaged(trainings):
    for index, results in enumerate(trainings):
        results["confusion"] = [[0.5 + 0.1 * index, 0.5 - 0.1 * index], [0.2, 0.8]]
        results["spectra"] = {"jet_mass": {"edges": [0.0, 0.1], "density": [float(index)]}}
    combined = over_trainings(trainings)
    assert combined["confusion"][0] == pytest.approx([0.6, 0.4])
    assert combined["spectra"]["jet_mass"] == {"edges": [0.0, 0.1], "density": [1.0]}


def test_trainings_on_different_data_are_refused(trainings):
    trainings[2]["data"] = "public"
    with pytest.raises(UserError, match="data is simulated, simulated, public"):
        over_trainings(trainings)


def test_a_single_training_has_no_spread(trainings):
    with pytest.raises(UserError, match="two or more"):
        over_trainings(trainings[:1])
