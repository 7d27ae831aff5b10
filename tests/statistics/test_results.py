"""Results with uncertainty and sample size: their text, their file, and what is refused."""

import json
import math

import numpy as np
import pytest

from omnilearn.errors import UserError
from omnilearn.statistics.results import Result, read_results, write_results


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (Result(57.23, 6.1, 3200), "57.2 ± 6.1 (n=3200)"),
        (Result(2647.4, 192.0, 404000), "2647 ± 192 (n=404000)"),
        (Result(0.94213, 0.00037, 404000), "0.94213 ± 0.00037 (n=404000)"),
        (Result(120.9, None, 500, bound="lower"), "> 120 (n=500)"),
        (Result(0.9421, None, 10), "0.9421 (n=10)"),
        (Result(12345.6, None, 10), "12346 (n=10)"),
        (Result(1.0, 0.0, 10), "1.000 ± 0.000 (n=10)"),
        (Result(1.724e30, 1.767e30, 10), "1.7e+30 ± 1.8e+30 (n=10)"),
        (Result(0.0, None, 10), "0 (n=10)"),
        (Result(math.nan, None, 10, reason="no tops"), "undefined (no tops) (n=10)"),
    ],
)
def test_a_result_is_printed_with_its_significant_digits(result, text):
    assert str(result) == text


def test_results_are_read_as_they_were_written(tmp_path):
    results = {
        "dataset": "top",
        "accuracy": Result(0.9, 0.01, 100),
        "rejection": {"0.5": Result(33.0, None, 100, bound="lower")},
        "curve": [Result(2.0, 0.5, 100), Result(1.0, 0.1, 100)],
        "efficiencies": [0.3, 0.5],
        "background_passing": 3,
    }
    write_results(tmp_path / "run" / "results.json", results)
    assert read_results(tmp_path / "run" / "results.json") == results
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["results.json"]


def test_numpy_numbers_become_plain_numbers(tmp_path):
    numpy_result = Result(np.float32(0.5), np.float64(0.25), np.int64(7))
    write_results(tmp_path / "r.json", {"auc": numpy_result, "passing": np.int32(3)})
    assert read_results(tmp_path / "r.json") == {"auc": Result(0.5, 0.25, 7), "passing": 3}


def test_nan_is_stored_as_null_with_a_reason(tmp_path):
    results = {"a": Result(math.nan, math.nan, 5), "b": Result(math.inf, None, 5, reason="eB = 0")}
    write_results(tmp_path / "r.json", results)

    def refuse(token):
        raise AssertionError(token)

    tree = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert tree["a"]["value"] is None
    assert "nan" in tree["a"]["reason"]
    assert tree["b"]["reason"] == "eB = 0"
    assert math.isnan(read_results(tmp_path / "r.json")["b"].value)


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {"a", "b"}])
def test_a_bare_number_that_is_not_finite_is_refused_with_its_key(tmp_path, value):
    with pytest.raises(ValueError, match=r"'curve\.1'"):
        write_results(tmp_path / "r.json", {"curve": [1.0, value]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ('{"auc": {"value": 0.5, "error": 0.1}}', "'auc' lacks bound, n"),
        ('{"auc": {"value": 0.5, "error": 0.1, "n": 3, "bound": null, "N": 3}}', "unknown N"),
        ('{"auc": {"value": "high", "error": 0.1, "n": 3, "bound": null}}', "'auc.value'"),
        ('{"auc": {"value": 0.5, "error": 0.1, "n": 2.5, "bound": null}}', "'auc.n'"),
        ('{"auc": {"value": 0.5, "error": 0.1, "n": true, "bound": null}}', "'auc.n'"),
        ('{"auc": {"value": 0.5, "error": -1, "n": 3, "bound": null}}', "'auc'.*negative"),
        ('{"auc": {"value": 0.5, "error": 1, "n": 3, "bound": "upper"}}', "'auc'.*upper"),
        ('{"auc": {"value": null, "error": null, "n": 3, "bound": null}}', "no reason"),
        ('{"r": [{"value": 1, "n": 3}]}', "'r.0' lacks"),
        ('{"auc": NaN}', "token NaN"),
        ("[1, 2]", r"but .\[1, 2\]"),
        ('{"auc": ', "is not a file of results in strict JSON"),
        ("", "is not a file of results in strict JSON"),
    ],
)
def test_a_malformed_file_is_refused_with_file_and_key(tmp_path, content, key):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(UserError, match=key) as refusal:
        read_results(path)
    assert str(path) in str(refusal.value)
    assert "evaluate.py" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_or_binary_file_is_refused_in_one_sentence(tmp_path):
    for path in (tmp_path / "results.json", tmp_path):
        with pytest.raises(UserError, match="no such results file"):
            read_results(path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not a file of results in strict JSON"):
        read_results(tmp_path / "binary.json")


def test_a_negative_sample_size_is_refused():
    with pytest.raises(ValueError, match="sample size is not negative"):
        Result(1.0, 0.1, -1)
