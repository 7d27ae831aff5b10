"""A search in events without labels, in a signal region of one's own."""

import json

import numpy as np
import pytest
from commands import output_of, python, refusal_of
from toy_dijets import write_dijets

from omnilearn.anomaly.regions import recorded_regions, with_regions
from omnilearn.data.catalogue import LHCO
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results

pytestmark = pytest.mark.usefixtures("in_seconds")

COMMAND = (
    "finetune.py lhco --preset small --epochs 1 --batch 32 --warmup-epochs 0 "
    "--data-background 10000 --signal 0"
)
REGION = "--signal-region", "3000,3300"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlabelled")
    for seed, name in enumerate(("data", "simulation")):
        write_dijets(folder / name, {"train": 600, "val": 120, "test": 150}, signal=0, seed=seed)
    return folder


def searched(workdir, *flags):
    folders = ("--data", workdir / "data", "--runs", workdir / "runs")
    reference = ("--simulation", workdir / "simulation", "--sideband-events", 200)
    return python(COMMAND, *folders, *reference, *flags)


@pytest.fixture(scope="module")
def model(workdir):
    output_of(searched(workdir, *REGION))
    return workdir / "runs" / "lhco_scratch"


def test_the_regions_of_every_stage_are_those_of_the_flags(model):
    for run in ("salad_signal0/seed0", "sidebands_salad"):
        about = json.loads((model / run / "config.json").read_text())
        assert about["signal_region"] == [3000.0, 3300.0]
        assert about["mass_range"] is None


def test_all_events_of_the_region_are_data(model):
    events = json.loads((model / "salad_signal0/seed0/config.json").read_text())["events"]
    assert events["data_background"] > 20
    assert events["test_background"] < events["data_background"]  # the test split alone


def test_the_bump_hunt_is_the_result(model):
    (model / "salad_signal0" / "seed0" / "improvement.pdf").touch()
    output_of(python("evaluate.py", model))
    results = read_results(model / "salad_signal0" / "seed0" / "results.json")
    assert np.isfinite(results["significance_1"].value)
    edges = results["spectra"][0]["edges"]
    assert {3000.0, 3300.0} < set(edges)
    assert not {"max_sic", "auc", "hunted_signal", "initial_significance"} & results.keys()
    names = {path.stem for path in (model / "salad_signal0" / "seed0").glob("*.pdf")}
    assert names == {"dijet_mass", "loss"}  # none of an earlier evaluation
    point = read_results(model / "results.json")["scan"]["salad"]["signal0"]
    assert point["trainings"] == 1
    assert not (model / "scan.pdf").exists()  # against the amount of signal
    assert "significance" in (model / "report.html").read_text()


@pytest.mark.parametrize("stage", ["all", "weight", "classify"])
def test_another_region_is_another_search(model, workdir, stage):
    for flags in ((), ("--signal-region", "3000,3400"), ("--seed", 1)):
        error = refusal_of(searched(workdir, "--stage", stage, *flags))
        assert "with signal_region [3000.0, 3300.0] (now " in error
        assert "choose another --name" in error


def test_weights_of_another_simulation_are_not_used(model, workdir):
    flags = ("--simulation", workdir / "data" / ".." / "simulation", "--stage", "classify")
    error = refusal_of(searched(workdir, *REGION, *flags))
    assert "sidebands_salad holds a run with simulation" in error


def test_a_region_without_events_is_refused_before_the_training(workdir):
    flags = ("--signal-region", "4890,4900", "--mass-range", "2300,6000", "--name", "none")
    error = refusal_of(searched(workdir, *flags))
    assert "no event" in error or "background events" in error
    assert not list((workdir / "runs" / "none").glob("salad*"))


@pytest.mark.parametrize(
    ("region", "range_"), [("2600,4900", ""), ("3000,3500", "2900,3600"), ("", "2300,14000")]
)
def test_sidebands_that_cannot_be_fitted_are_refused(region, range_):
    with pytest.raises(UserError, match="a fit needs 6 or more, below 13000 GeV"):
        recorded_regions(LHCO, region, range_)


def test_an_idealised_search_in_them_is_warned_of(workdir, caplog):
    folders = ("--data", workdir / "data", "--runs", workdir / "idealised")
    flags = ("--idealised", "--reference-background", 10000, "--batch", 8)
    output_of(python(COMMAND, *folders, *flags))
    assert "the idealised reference is a part of the data" in caplog.text


def test_the_sidebands_are_the_rest_of_the_mass_range():
    spec = with_regions(LHCO, recorded_regions(LHCO, "4000,4500", "2000,6000"))
    assert spec.signal_region == (4000.0, 4500.0)
    assert spec.sidebands == ((2000.0, 4000.0), (4500.0, 6000.0))
    spec = with_regions(LHCO, recorded_regions(LHCO, "4000,4500", ""))
    assert spec.sidebands == ((2300.0, 4000.0), (4500.0, 5000.0))
    assert with_regions(LHCO, recorded_regions(LHCO, "", "")) is LHCO
    assert with_regions(LHCO, {}) is LHCO  # a run of an earlier version
