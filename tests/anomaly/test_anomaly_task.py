"""A search for a resonance from finetune.py to evaluate.py, on toy events of two jets."""

import json

import numpy as np
import pytest
from commands import output_of, python, refusal_of
from toy_dijets import write_dijets

from omnilearn.anomaly.cwola import DijetObjective, trained_classifier
from omnilearn.anomaly.dijet_classifier import DijetConfig
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.event_roles import SearchConfig, assign_roles
from omnilearn.data.catalogue import LHCO
from omnilearn.model.checkpoint import load_checkpoint, model_weights
from omnilearn.statistics.results import read_results
from omnilearn.tagging.predictions import read_predictions
from omnilearn.training import gradients

pytestmark = pytest.mark.usefixtures("in_seconds")

COMMON = (
    "finetune.py lhco --idealised --preset small --epochs 1 --batch 32 --warmup-epochs 0 "
    "--data-background 40 --reference-background 60"
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anomaly")
    write_dijets(folder / "data", {"train": 1000, "val": 200, "test": 250}, signal=0.1)
    return folder


def finetuned(workdir, *flags):
    return python(COMMON, "--data", workdir / "data", "--runs", workdir / "runs", *flags)


@pytest.fixture(scope="module")
def model(workdir):
    output_of(finetuned(workdir, "--signal", "30,0"))
    return workdir / "runs" / "lhco_scratch"


@pytest.fixture(scope="module")
def evaluated(model):
    output_of(python("evaluate.py", model))


def test_every_cell_is_a_run_whose_config_holds_its_numbers_of_events(model):
    about = json.loads((model / "idealised_signal30" / "seed0" / "config.json").read_text())
    assert (about["task"], about["kind"], about["signal"]) == ("anomaly", "idealised", 30)
    counts = about["events"]
    assert counts["data_signal"] == 30
    assert counts["data_background"] / counts["reference_background"] == pytest.approx(2 / 3, 0.1)
    assert (model / "idealised_signal0" / "seed0" / "best.h5").is_file()


def test_a_finished_cell_is_not_repeated_and_another_seed_is_another_cell(model, workdir):
    best = model / "idealised_signal30" / "seed0" / "best.h5"
    before = best.stat().st_mtime_ns
    output_of(finetuned(workdir, "--signal", "30", "--repeats", 2))
    assert best.stat().st_mtime_ns == before
    assert (model / "idealised_signal30" / "seed1" / "best.h5").is_file()


def test_every_weight_between_constituents_and_logits_is_trained(model, workdir):
    run = model / "idealised_signal30" / "seed0"
    checkpoint = load_checkpoint(run / "best.h5", DijetConfig)
    assert not any(name.startswith("generator") for name in checkpoint.weights)
    classifier, _ = trained_classifier(run)
    events = Dijets(LHCO, str(workdir / "data"))
    roles = assign_roles(events, SearchConfig("idealised", 30, 40, 60), seed=0)
    batch = next(events.pipeline(*roles.samples(False), 32).ordered())
    objective = DijetObjective(classifier)
    trained = objective.trained()
    untrained = model_weights(classifier).keys() - trained.keys()
    assert untrained == {"classifier.regression.kernel", "classifier.regression.bias"}
    gradient_of = gradients.with_gradients(objective.losses, list(trained.values()))
    terms, gradient = gradient_of(objective.prepare(batch, None, True, 1.0))
    assert np.isfinite(float(terms["loss"]))
    # the biases of keys cancel in the softmax; at t = 0 the embedding of time vanishes
    zero = [name for name, value in zip(trained, gradient, strict=True) if not np.any(value)]
    assert all(name.endswith("key.bias") or ".time" in name for name in zero), zero


def test_cells_are_measured_on_events_they_were_not_trained_on(model, evaluated, workdir):
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
    events = Dijets(LHCO, str(workdir / "data"))
    roles = assign_roles(events, SearchConfig("idealised", 30, 40, 60), seed=0)
    assert not (roles.data | roles.reference)[predicted["index"]].any()
    for name in ("improvement", "dijet_mass", "loss"):
        assert (run / f"{name}.pdf").stat().st_size > 1000


def test_a_scan_has_median_and_interval_of_every_signal_and_a_figure(model, evaluated):
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
        (["--idealised", "--signal-region", "3700,3300"], "--signal-region is '3700,3300'"),
        (["--idealised", "--mass-range", "2300"], "--mass-range is '2300'; expected two rising"),
        (["--idealised", "--signal-region", "2400,2600"], "a sideband on both sides"),
        (["--idealised", "--mass-range", "3400,5000"], "between 3400 and 5000 GeV"),
    ],
)
def test_invalid_settings_are_refused(flags, sentence, workdir):
    folders = ("--data", workdir / "data", "--runs", workdir / "other")
    assert sentence in refusal_of(python("finetune.py lhco --preset small", *folders, *flags))
