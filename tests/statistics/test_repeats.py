"""Several trainings as one row: their mean, their spread, and the test sample's own uncertainty."""

import numpy as np
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
def three():
    aucs = (0.96, 0.97, 0.98)
    return [training(a, Result(50 + 10 * i, 5.0, 1000), f"seed{i}") for i, a in enumerate(aucs)]


def test_the_error_is_the_spread_over_trainings_and_not_of_the_test_jets(three):
    found = over_trainings(three)
    assert found["auc"].value == pytest.approx(0.97)
    assert found["auc"].error == pytest.approx(0.01)
    assert found["statistical"]["auc"] == pytest.approx(0.002)
    assert found["trainings"] == 3
    rejection = found["curves"]["top"]["rejection"][0]
    assert (rejection.value, rejection.error) == pytest.approx((60.0, 10.0))


def test_equal_trainings_have_no_spread(three):
    assert over_trainings([three[0]] * 2)["auc"].error == 0


def test_one_training_that_only_has_a_limit_makes_the_mean_a_limit(three):
    three[1]["rejection_0.5"] = Result(40.0, None, 1000, bound="lower")
    found = over_trainings(three)["rejection_0.5"]
    assert (found.value, found.bound) == (40.0, "lower")


def test_the_whole_fits_into_a_results_file(three, tmp_path):
    write_results(tmp_path / "results.json", over_trainings(three))
    assert read_results(tmp_path / "results.json")["auc"].error == pytest.approx(0.01)


def test_trainings_on_different_data_are_refused(three):
    three[2]["data"] = "public"
    with pytest.raises(UserError, match="data is simulated, simulated, public"):
        over_trainings(three)


def test_one_training_has_no_spread_to_quote(three):
    with pytest.raises(UserError, match="two or more"):
        over_trainings(three[:1])
    assert np.isfinite(over_trainings(three[:2])["auc"].error)
