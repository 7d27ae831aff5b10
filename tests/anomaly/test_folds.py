"""A search in all events: each fold is tested by a classifier that is trained on the others."""

import shutil

import numpy as np
import pytest
from commands import output_of, python, refusal_of
from toy_dijets import LIGHT, RESONANCE, WIDTH, falling_masses, write_dijets

from omnilearn.anomaly.bump_hunt import hunt, hunt_of_folds
from omnilearn.anomaly.dijets import SAMPLED, Dijets
from omnilearn.anomaly.event_roles import SearchConfig, assign_roles
from omnilearn.anomaly.metrics import scan
from omnilearn.data.catalogue import LHCO
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results

pytestmark = pytest.mark.usefixtures("in_seconds")

FOLDS = 3
EVENTS = {"train": 800, "val": 200, "test": 200}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dijets(tmp_path_factory.mktemp("folds") / "data", EVENTS, signal=0.1)


@pytest.fixture(scope="module")
def events(data):
    return Dijets(LIGHT, str(data))


def roles_of(events, fold, folds=FOLDS):
    return assign_roles(events, SearchConfig("idealised", 20, 40, 40, folds, fold), seed=0)


def test_every_event_is_in_the_bump_hunt_of_one_fold(events):
    tested = np.sum([roles_of(events, fold).bump_hunt for fold in range(FOLDS)], axis=0)
    pool = (events.in_signal_region | events.in_sidebands) & ~events.signal
    np.testing.assert_array_equal(tested[~events.signal], pool[~events.signal])
    assert tested.max() == 1


def test_no_classifier_is_trained_on_events_of_its_fold(events):
    for fold in range(FOLDS):
        roles = roles_of(events, fold)
        assert not ((roles.data | roles.reference) & roles.bump_hunt).any()
        training, validation = (roles.samples(is_validation)[0] for is_validation in (False, True))
        assert 0 < validation.sum() < training.sum()


def test_folds_are_random_and_leave_generated_events(events):
    divided = events.with_test_fold(FOLDS, 0)
    share = [np.mean(divided.split[events.split == split] == 2) for split in range(3)]
    assert share == pytest.approx([1 / 3] * 3, abs=0.1)
    assert not (events.split == SAMPLED).any()
    events.split[-5:] = SAMPLED
    try:
        assert (events.with_test_fold(FOLDS, 1).split[-5:] == SAMPLED).all()
    finally:
        events.split[-5:] = 2


def toy_folds(rng):
    """Masses and scores of folds whose classifiers have scores of another scale."""
    folds = []
    for scale in range(1, FOLDS + 1):
        masses = np.append(falling_masses(6000, rng), rng.normal(RESONANCE, WIDTH, 25))
        score = rng.normal(size=len(masses))
        score[6000:] += 3
        folds.append((masses, 10 * scale + scale * score))
    return folds


def test_folds_together_find_more_than_each_of_them():
    folds = toy_folds(np.random.default_rng(2))
    single = [hunt(*fold, LHCO) for fold in folds]
    together, spectra = hunt_of_folds([spectra for _, spectra in single], LHCO.signal_region)
    best = max(significances["significance_0.01"].value for significances, _ in single)
    assert together["significance_0.01"].value > best + 1
    for index, spectrum in enumerate(spectra):
        counts = [spectra[index]["counts"] for _, spectra in single]
        np.testing.assert_array_equal(spectrum["counts"], np.sum(counts, axis=0))
    # the cut keeps the same share of each fold, whatever the scale of its scores
    kept = [sum(spectra[2]["counts"]) for _, spectra in single]
    assert min(kept) > 0.6 * max(kept)


def test_cuts_that_no_fold_can_fit_are_fitted_together():
    rng = np.random.default_rng(5)
    single = [hunt(falling_masses(900, rng), rng.normal(size=900), LHCO) for _ in range(8)]
    assert all(np.isnan(values["significance_0.01"].value) for values, _ in single)
    together, _ = hunt_of_folds([spectra for _, spectra in single], LHCO.signal_region)
    assert np.isfinite(together["significance_0.01"].value)


@pytest.fixture(scope="module")
def model(data):
    command = (
        "finetune.py lhco --idealised --preset small --epochs 1 --batch 32 --warmup-epochs 0 "
        f"--data-background 40 --reference-background 60 --signal 20 --folds {FOLDS}"
    )
    folders = ("--data", data, "--runs", data.parent / "runs")
    output_of(python(command, *folders))
    return data.parent / "runs" / "lhco_scratch"


def test_a_search_in_folds_from_training_to_one_bump_hunt(model):
    output_of(python("evaluate.py", model))
    cells = [
        read_results(model / "idealised_signal20" / f"seed0_fold{fold}" / "results.json")
        for fold in range(FOLDS)
    ]
    assert [(cell["fold"], cell["folds"]) for cell in cells] == [(0, 3), (1, 3), (2, 3)]
    point = read_results(model / "results.json")["scan"]["idealised"]["signal20"]
    assert point["trainings"] == FOLDS
    assert len(point["max_sic_values"]) == FOLDS
    assert len(point["significance_1_values"]) == 1
    events = sum(sum(cell["spectra"][0]["counts"]) for cell in cells)
    assert sum(point["spectra"][0]["counts"]) == point["significance_1"].n == events
    assert (model / "dijet_mass_idealised_signal20.pdf").is_file()


def test_a_missing_fold_is_named(model, tmp_path):
    copy = tmp_path / "lhco_scratch"
    shutil.copytree(model, copy)
    shutil.rmtree(copy / "idealised_signal20" / "seed0_fold1")
    error = refusal_of(python("evaluate.py", copy))
    assert "seed 0 of idealised, 20 signal events, has no fold 1 of 3" in error


def test_cells_of_an_earlier_scan_without_folds_keep_their_bump_hunts():
    rng = np.random.default_rng(8)
    significances, spectra = hunt(falling_masses(3000, rng), rng.normal(size=3000), LHCO)
    cell = {**significances, "kind": "idealised", "signal": 0, "seed": 1}
    cell |= {"dataset": "lhco", "data": "", "backbone": ""}
    fold = {**cell, "seed": 2, "folds": 1, "fold": 0, "region": LHCO.signal_region}
    point = scan([cell, {**fold, "spectra": spectra}])["scan"]["idealised"]["signal0"]
    value = significances["significance_1"].value
    assert point["significance_1_values"] == pytest.approx([value, value])
    with pytest.raises(UserError, match="no fold 0 of 1"):
        scan([{**fold, "fold": 7, "spectra": spectra}])
