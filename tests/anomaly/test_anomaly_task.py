"""A search for a resonance from finetune.py to evaluate.py, on toy events of two jets."""

import json

import numpy as np
import pytest
from commands import python
from tiny_models import tiny_and_eager
from toy_dijets import write_dijets

from omnilearn.anomaly import significance
from omnilearn.anomaly.cwola import DijetObjective, trained_classifier
from omnilearn.anomaly.dijet_classifier import DijetConfig
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import SearchConfig, divide
from omnilearn.data.catalogue import LHCO
from omnilearn.model.checkpoint import load_checkpoint, model_weights
from omnilearn.statistics.results import read_results
from omnilearn.tagging.predictions import read_predictions
from omnilearn.training import gradients

COMMON = (
    "--preset",
    "small",
    "--epochs",
    "1",
    "--batch",
    "32",
    "--warmup-epochs",
    "0",
    "--data-background",
    "40",
    "--reference-background",
    "60",
)


@pytest.fixture(scope="module", autouse=True)
def small_and_eager():
    """The small preset even smaller, no graph, few replicas: each takes seconds."""
    with tiny_and_eager() as patch:
        patch.setattr(significance, "REPLICAS", 5)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anomaly")
    write_dijets(folder / "data", {"train": 1000, "val": 200, "test": 250}, signal=0.1)
    return folder


@pytest.fixture(scope="module")
def model(place):
    line = "finetune.py lhco --idealised --data", place / "data", "--runs", place / "runs"
    code, _, err = python(*line, "--signal", "30,0", *COMMON)
    assert (code, err) == (0, "")
    return place / "runs" / "lhco_scratch"


@pytest.fixture(scope="module")
def scanned(model):
    code, out, err = python("evaluate.py", model)
    assert (code, err) == (0, "")
    return out


def test_every_cell_is_a_run_that_says_what_it_was_trained_on(model):
    about = json.loads((model / "idealised_signal30" / "seed0" / "config.json").read_text())
    assert (about["task"], about["kind"], about["signal"]) == ("anomaly", "idealised", 30)
    counts = about["events"]
    assert counts["data_signal"] == 30
    assert counts["data_background"] / counts["reference_background"] == pytest.approx(2 / 3, 0.1)
    assert (model / "idealised_signal0" / "seed0" / "best.h5").is_file()


def test_a_finished_cell_is_left_alone_and_another_seed_is_another_cell(model, place):
    best = model / "idealised_signal30" / "seed0" / "best.h5"
    before = best.stat().st_mtime_ns
    line = "finetune.py lhco --idealised --data", place / "data", "--runs", place / "runs"
    code, _, err = python(*line, "--signal", "30", "--repeats", 2, *COMMON)
    assert (code, err) == (0, "")
    assert best.stat().st_mtime_ns == before
    assert (model / "idealised_signal30" / "seed1" / "best.h5").is_file()


def test_every_weight_between_constituents_and_logits_is_trained(model, place):
    run = model / "idealised_signal30" / "seed0"
    checkpoint = load_checkpoint(run / "best.h5", DijetConfig)
    assert not any(name.startswith("generator") for name in checkpoint.weights)
    classifier, _ = trained_classifier(run)
    events = Dijets(LHCO, str(place / "data"))
    division = divide(events, SearchConfig("idealised", 30, 40, 60), seed=0)
    batch = next(events.pipeline(*division.part(False), 32).ordered())
    objective = DijetObjective(classifier)
    trained = objective.trained()
    untrained = model_weights(classifier).keys() - trained.keys()
    assert untrained == {"classifier.regression.kernel", "classifier.regression.bias"}
    gradient_of = gradients.with_gradients(objective.losses, list(trained.values()))
    terms, found = gradient_of(objective.prepare(batch, None, True, 1.0))
    assert np.isfinite(float(terms["loss"]))
    # the biases of keys cancel in the softmax; at t = 0 the embedding of time vanishes
    silent = [name for name, one in zip(trained, found, strict=True) if not np.any(one)]
    assert all(name.endswith("key.bias") or ".time" in name for name in silent), silent


def test_cells_have_improvement_and_bump_hunt_on_events_not_trained_on(model, scanned, place):
    run = model / "idealised_signal30" / "seed0"
    results = read_results(run / "results.json")
    assert results["max_sic"].error >= 0
    assert results["background_efficiency_floor"] > 1e-4
    counts = results["events"]
    expected = counts["data_signal"] / np.sqrt(counts["data_background"])
    assert results["initial_significance"] == pytest.approx(expected)
    assert np.isfinite(results["significance_1"].value)
    assert results["hunted_signal"] > 0
    predicted, _ = read_predictions(run / "predictions.h5")
    events = Dijets(LHCO, str(place / "data"))
    division = divide(events, SearchConfig("idealised", 30, 40, 60), seed=0)
    assert not (division.data | division.reference)[predicted["index"]].any()
    for name in ("improvement", "dijet_mass", "loss"):
        assert (run / f"{name}.pdf").stat().st_size > 1000


def test_a_scan_has_median_and_interval_of_every_signal_and_the_figure(model, scanned):
    results = read_results(model / "results.json")
    points = results["scan"]["idealised"]
    assert [point["signal"] for point in points.values()] == [0, 30]
    for point in points.values():
        low, high = point["max_sic_interval"]
        assert low <= point["max_sic"].value <= high
    assert (model / "scan.pdf").stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--idealised", "--signal", "x"], "--signal is 'x'"),
        (["--idealised", "--signal", "5000"], "--signal is 5000, lhco has"),
        (["--idealised", "--stage", "sample"], "--stage has no effect on the idealised search"),
        (
            ["--idealised", "--train-jets", "10"],
            "--train-jets has no effect on the idealised search",
        ),
        (["--jets-per-epoch", "100"], "--jets-per-epoch has no effect on a search"),
        (["--idealised", "--data-background", "0"], "--data-background is 0"),
        (["--supervised", "--signal", "5"], "--supervised takes all signal"),
        (["--mode", "all"], "--mode is 'all'"),
        (["--idealised", "--jet-network-lr", "1"], "--jet-network-lr has no effect on the ideal"),
        (["--density-lr", "-1"], "--density-lr is -1.0; expected above 0"),
        (["--feature-drop", "0.1"], "--feature-drop has no effect on the classifier of events"),
        (["--sampling-steps", "0"], "--sampling-steps is 0"),
    ],
)
def test_settings_without_a_meaning_are_refused(flags, sentence, place):
    code, _, err = python(
        "finetune.py lhco --preset small --data", place / "data", "--runs", place / "other", *flags
    )
    assert code != 0
    assert sentence in err
