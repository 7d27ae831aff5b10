"""References weighted in the sidebands: another simulation (SALAD), and generated events."""

import json

import h5py
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from toy_dijets import write_dijets

from omnilearn.anomaly import sideband_weights
from omnilearn.anomaly.dijet_closure import KINEMATICS
from omnilearn.anomaly.dijets import SAMPLED, Dijets
from omnilearn.anomaly.event_roles import SearchConfig, assign_roles, recorded_events
from omnilearn.data.catalogue import LHCO
from omnilearn.errors import UserError
from omnilearn.statistics.results import read_results

pytestmark = pytest.mark.usefixtures("in_seconds")

COMMON = (
    "finetune.py lhco --preset small --epochs 1 --batch 32 --warmup-epochs 0 --data-background 40 "
    "--reference-background 30 --sideband-events 200"
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("salad")
    write_dijets(folder / "data", {"train": 1000, "val": 200, "test": 250}, signal=0.2)
    write_dijets(folder / "other", {"train": 400, "val": 60, "test": 60}, signal=0.1, seed=7)
    return folder


@pytest.fixture(scope="module")
def events(workdir):
    about = {"simulation": str(workdir / "other")}
    files = sideband_weights.files_of(workdir, LHCO, about)
    return Dijets(LHCO, str(workdir / "data"), files)


def finetuned(workdir, *flags):
    return python(COMMON, "--data", workdir / "data", "--runs", workdir / "runs", *flags)


@pytest.fixture(scope="module")
def model(workdir):
    output_of(finetuned(workdir, "--simulation", workdir / "other", "--signal", "10"))
    return workdir / "runs" / "lhco_scratch"


def test_another_simulation_is_the_reference_without_its_signal(events):
    roles = assign_roles(events, SearchConfig("salad", 10, 40, 30), seed=0)
    assert np.count_nonzero(roles.reference) == 30
    assert (events.split[roles.reference] == SAMPLED).all()
    assert not events.signal[roles.reference].any()
    assert events.in_signal_region[roles.reference].all()
    assert np.count_nonzero(roles.data & ~events.signal) == 40
    assert not (roles.test | roles.bump_hunt)[events.split == SAMPLED].any()


def test_the_sidebands_have_signal_in_the_proportion_of_the_search(events):
    stored, in_region = events.split < 2, events.in_signal_region
    used = stored & (in_region | events.in_sidebands)
    background, signal = used & ~events.signal, used & events.signal
    for injected in (0, 20):
        recorded = recorded_events(events, SearchConfig("salad", injected, 40, 30), seed=0)
        assert not recorded[~stored].any()
        np.testing.assert_array_equal(recorded & ~events.signal, background)
        of_search = injected / 40 * np.count_nonzero(background & in_region)
        share = min(1.0, of_search / np.count_nonzero(signal & in_region))
        expected = pytest.approx(share * np.count_nonzero(signal), abs=1)
        assert np.count_nonzero(recorded & events.signal) == expected


def test_uses_of_the_reference_in_the_sidebands_are_disjoint(events):
    parts = sideband_weights.reference_parts(events, 200)
    together = np.sum(list(parts.values()), axis=0)
    assert together.max() == 1
    assert together.sum() == 200
    assert np.count_nonzero(parts["test"]) == 20
    assert (events.split[together > 0] == SAMPLED).all()
    assert events.in_sidebands[together > 0].all()


def test_a_reference_without_sidebands_is_refused(workdir):
    with pytest.raises(UserError, match="no event of the reference"):
        sideband_weights.reference_parts(Dijets(LHCO, str(workdir / "data")), 200)


def test_weights_are_the_clipped_ratio_with_mean_one_in_the_signal_region(
    events, monkeypatch, tmp_path
):
    (tmp_path / "best.h5").touch()
    logit = np.concatenate([np.full(29, 0.5), [99.0]])

    def predicted(run, events, pair, batch):
        assert not pair[0].any()
        return logit, np.flatnonzero(pair[1])

    monkeypatch.setattr(sideband_weights, "predicted_logits", predicted)
    weights = sideband_weights.reference_weights(tmp_path, events, 30, 32)
    roles = assign_roles(events, SearchConfig("salad", 10, 40, 30), seed=0)
    assert weights[roles.reference].mean() == pytest.approx(1)
    ratio = weights[roles.reference] / weights[roles.reference][0]
    np.testing.assert_allclose(ratio[-1], sideband_weights.CLIP / np.exp(0.5))
    assert (weights[~roles.reference] == 1).all()
    pipeline = events.pipeline(roles.data, roles.reference * weights, 16)
    own = np.concatenate([batch["weight"] for batch in pipeline.ordered()])
    rows = np.concatenate([batch["index"] for batch in pipeline.ordered()])
    in_loss = own[np.argsort(rows)]
    of_reference = roles.reference[np.sort(rows)]
    np.testing.assert_allclose(in_loss[of_reference] / in_loss[of_reference][0], ratio, rtol=1e-5)
    np.testing.assert_allclose(in_loss[of_reference].sum(), in_loss[~of_reference].sum(), rtol=1e-5)


def test_salad_trains_the_weights_and_then_the_cells(model):
    about = json.loads((model / "sidebands_salad" / "config.json").read_text())
    assert about["task"] == "sidebands"
    assert (about["sideband_signal"], about["sideband_events"]) == (10, 200)
    cell = json.loads((model / "salad_signal10" / "seed0" / "config.json").read_text())
    assert cell["events"]["reference_background"] == 30
    assert not (model / "density").exists()


@pytest.mark.slow
def test_a_further_cell_takes_the_weights_that_exist(model, workdir):
    best = model / "sidebands_salad" / "best.h5"
    before = best.stat().st_mtime_ns
    output_of(finetuned(workdir, "--simulation", workdir / "other", "--signal", "0"))
    assert best.stat().st_mtime_ns == before
    assert (model / "salad_signal0" / "seed0" / "best.h5").is_file()


@pytest.mark.slow
def test_the_evaluation_of_the_weights_compares_both_samples_in_the_sidebands(model):
    out = output_of(python("evaluate.py", model / "sidebands_salad", "--batch", 16))
    assert "auc_sidebands: " in out
    results = read_results(model / "sidebands_salad" / "results.json")
    # both are samples of the same toy shower: neither classifier nor trees tell them apart
    assert abs(results["auc_sidebands"].value - 0.5) < 3 * results["auc_sidebands"].error
    assert results["reference"]["auc_kinematics"].value == pytest.approx(0.5, abs=0.2)
    assert 0 < results["weighted"]["auc_kinematics"].n <= results["reference"]["auc_kinematics"].n
    assert (model / "sidebands_salad" / "closure_reference.pdf").stat().st_size > 1000


def test_a_cell_of_salad_is_evaluated_on_the_events_of_data(model):
    output_of(python("evaluate.py", model / "salad_signal10" / "seed0"))
    results = read_results(model / "salad_signal10" / "seed0" / "results.json")
    assert results["kind"] == "salad"
    assert results["max_sic"].n > 0


@pytest.mark.slow
def test_generated_events_in_the_sidebands_weight_a_generated_reference(workdir):
    flags = (
        "--density-epochs 1 --jet-epochs 1 --train-jets 96 --sampling-steps 2 --sideband-weights "
        "--name weighted --signal 10"
    )
    output_of(finetuned(workdir, *flags.split()))
    run = workdir / "runs" / "weighted"
    in_region = {}
    for name in sideband_weights.FOLDERS:
        masses = []
        for path in sorted((run / "density" / name).glob("part*.hdf5")):
            with h5py.File(path) as file:
                masses += file["observables"][:, 0].tolist()
        in_region[name] = (np.array(masses) >= 3300) & (np.array(masses) < 3700)
    assert in_region["reference"].all()
    # quantiles of the masses are interpolated between the sidebands
    assert in_region["sidebands"].mean() < 0.2
    assert (run / "sidebands_cathode_weighted" / "best.h5").is_file()
    about = json.loads((run / "cathode_weighted_signal10" / "seed0" / "config.json").read_text())
    assert about["kind"] == "cathode_weighted"


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        ("--idealised --sideband-events 300", "--sideband-events"),
        ("--idealised --sideband-weights", "--sideband-weights"),
        ("--simulation other --density-lr 1e-4", "--density-lr"),
        ("--simulation other --sideband-weights", "--sideband-weights"),
        ("--sideband-events 300", "--sideband-events"),
    ],
)
def test_flags_without_effect_are_refused(flags, refused, tmp_path):
    err = refusal_of(python("finetune.py lhco --preset small", *flags.split(), "--runs", tmp_path))
    assert refused in err


def test_classify_without_weights_is_refused(workdir):
    flags = ("--simulation", workdir / "other", "--stage", "classify", "--name", "none")
    assert "--stage weight" in refusal_of(finetuned(workdir, *flags))


def test_the_data_themselves_are_no_other_simulation(workdir):
    flags = ("--simulation", workdir / "other" / ".." / "data", "--name", "none")
    assert "the folder of the data" in refusal_of(finetuned(workdir, *flags))


@pytest.mark.parametrize(("flags", "stage"), [("--simulation other", "sample"), ("", "weight")])
def test_a_stage_that_the_search_does_not_have_is_refused(tmp_path, flags, stage):
    command = "finetune.py lhco --preset small --stage"
    err = refusal_of(python(command, stage, *flags.split(), "--runs", tmp_path))
    assert f"--stage is {stage}, which the" in err
    assert ("--sideband-weights adds it" in err) == (stage == "weight")
    assert not list(tmp_path.iterdir())


def test_too_few_weighted_events_have_no_closure_test():
    rng = np.random.default_rng(0)
    samples = {"truth": 100, "reference": 60, "weighted": 3}
    observables = {
        name: {column: rng.normal(size=count) for column in KINEMATICS}
        for name, count in samples.items()
    }
    results, spectra = sideband_weights.closures(observables, seed=0)
    assert results["reference"]["auc_kinematics"].value == pytest.approx(0.5, abs=0.2)
    assert results["weighted"]["auc_kinematics"].reason == "3 events are left, fewer than 8"
    assert list(spectra) == ["reference"]
    assert list(spectra["reference"][KINEMATICS[0]]["sizes"]) == ["truth", "reference"]
