"""Generation from finetune.py to evaluate.py on toy jets of JetNet."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from tiny_models import FewSteps, tiny_and_eager
from toy_jets import write_toy_dataset

from omnilearn.data.catalogue import JETNET30
from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import Standardisation
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError
from omnilearn.generation import distances, sampling, task
from omnilearn.generation.jet_generator import JetGeneratorConfig
from omnilearn.generation.jet_sets import (
    JetSet,
    four_momenta,
    read_set,
    read_split,
    relative_columns,
    write_set,
)
from omnilearn.generation.sampling import Sampler, Solver
from omnilearn.hdf5_sums import DIGEST
from omnilearn.kinematics import relative_features
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.statistics.results import Result, read_results
from omnilearn.training.random_streams import Stream
from preprocessing import jetnet

COMMON = "--preset small --epochs 1 --batch 16 --warmup-epochs 0"


@pytest.fixture(scope="module", autouse=True)
def small_and_eager():
    """Tiny models without graphs, and distances of few jets: every command takes seconds."""
    with tiny_and_eager() as patch:
        for name, value in (("EMD_BATCHES", 1), ("EMD_JETS", 5), ("BATCHES", 3), ("POINTS", 3)):
            patch.setattr(distances, name, value)
        patch.setattr(sampling, "PART", 20)
        patch.setattr(task, "Solver", FewSteps)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generation")
    write_toy_dataset(folder / "data", "jetnet30", {"train": 160, "val": 20, "test": 50})
    (path,) = find_files(folder / "data", JETNET30, "test")
    with h5py.File(path, "a") as file:  # two classes are enough to measure
        file["pid"][:] = np.eye(5)[file["pid"][:].argmax(axis=1) % 2]
    return folder


def finetune(place: Path, jet_epochs: int) -> tuple[int, str, str]:
    line = f"finetune.py jetnet30 {COMMON} --jet-epochs {jet_epochs} --data"
    return python(line, place / "data", "--runs", place / "runs")


@pytest.fixture(scope="module")
def run(place):
    output_of(finetune(place, 2))
    return place / "runs" / "jetnet30_scratch"


@pytest.fixture(scope="module")
def evaluation(run):
    """What evaluate.py prints."""
    return output_of(python("evaluate.py", run, "--ideal", "--steps", 2, "--batch", 16))


def truth_of(place: Path, jets: int = 50) -> JetSet:
    return read_split(place / "data", JETNET30, "test", jets)[0]


def sampler_of(run: Path, **changes) -> Sampler:
    settings = {"solver": Solver(steps=2, jet_steps=4), "batch_size": 16, **changes}
    return Sampler(run, JETNET30, **settings)


def test_a_run_has_both_trainings(run):
    assert load_checkpoint(run / "best.h5").record["task"] == "generation"
    jets = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig)
    assert jets.model_config.num_classes == 5
    assert len((run / "jets" / "history.jsonl").read_text().splitlines()) == 2
    assert json.loads((run / "config.json").read_text())["jet_epochs"] == 2


def test_new_jets_have_the_standardisation_of_their_training(run):
    """Where the constants of the code, or the declaration of one's own dataset, are others now."""
    trained = JETNET30.normalisation
    other = replace(trained, jet_mean=tuple(2 * mean for mean in trained.jet_mean))
    assert Sampler(run, replace(JETNET30, normalisation=other), Solver()).spec == JETNET30


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(run, place):
    before = (run / "jets" / "best.h5").stat().st_mtime_ns
    output_of(finetune(place, 2))
    assert (run / "jets" / "best.h5").stat().st_mtime_ns == before
    assert "jet_epochs 2 (now 3)" in refusal_of(finetune(place, 3))


def test_evaluation_has_metrics_of_every_class_and_both_kinds_of_sets(run, evaluation):
    results = read_results(run / "results.json")
    assert set(results["generated"]) == set(results["ideal"]) == {"g", "q"}
    expected = {"w1m", "w1p", "w1efp", "coverage", "mmd", "fpd", "kpd"}
    expected |= {f"{kind}_{name}" for kind in ("kl", "w1") for name in ("tau21", "jet_pt")}
    for metrics in (*results["generated"].values(), *results["ideal"].values()):
        assert expected <= metrics.keys()
        for name, result in metrics.items():
            assert isinstance(result, Result)
            assert result.n > 0
            assert result.error is not None or result.reason, name
    assert "generated g w1m: " in evaluation
    for name in results["generated"]:
        assert (run / f"spectra_{name}.pdf").stat().st_size > 1000


def test_generated_jets_can_be_read_as_public_ones(run, evaluation):
    slots, total = JETNET30.max_constituents, 0
    for name in ("g", "q"):
        path = run / "generated" / f"{name}.hdf5"
        for chunk in jetnet.read(path, JETNET30):
            total += len(chunk.counts)
            assert chunk.counts.max() <= slots
        with h5py.File(path, "r") as file:
            constituents, jets = file["particle_features"][:], file["jet_features"][:]
        assert constituents.shape[1:] == (slots, 4)
        np.testing.assert_array_equal(constituents[..., 3].sum(axis=1), jets[:, 3])
    assert total == 50


def test_ideal_jets_have_the_true_kinematics(run, evaluation, place):
    ideal, about = read_set(run / "ideal", JETNET30)
    truth = truth_of(place)
    assert about["true_kinematics"]
    for label in range(5):
        np.testing.assert_array_equal(ideal.of_class(label).jets, truth.of_class(label).jets)


def test_a_set_is_sampled_again_only_for_other_settings(run, place, tmp_path):
    truth, path = truth_of(place, 10), tmp_path / "set" / "g.hdf5"
    for steps, is_new in ((2, True), (2, False), (3, True)):
        before = path.stat().st_mtime_ns if path.is_file() else 0
        sampler = sampler_of(run, solver=Solver(steps=steps, jet_steps=2))
        sampling.sampled_set(tmp_path / "set", sampler, truth, False, "test")
        assert (path.stat().st_mtime_ns != before) == is_new
    assert read_set(tmp_path / "set", JETNET30)[1]["steps"] == 3


@pytest.mark.slow
def test_a_jet_does_not_depend_on_the_other_jets_of_its_batch(run, place):
    truth = truth_of(place)
    rows = np.array([41, 3, 17])
    for sampler in (sampler_of(run), sampler_of(run, solver=Solver("stochastic", 3, 4))):
        expected = sampler.jet_set(np.arange(len(truth)), truth.label, None)[rows]
        few = sampler.jet_set(rows, truth.label[rows], None)
        np.testing.assert_allclose(few.jets, expected.jets, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(few.constituents, expected.constituents, atol=2e-3)


@pytest.mark.slow
def test_interrupted_sampling_continues_with_the_missing_parts(run, place, tmp_path, monkeypatch):
    truth, sampler = truth_of(place), sampler_of(run)
    expected = sampling.sampled_set(tmp_path / "uninterrupted", sampler, truth, False, "test")
    made = []
    original = Sampler.jet_set

    def stops_after_two(self, index, label, jet):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(index[0])
        return original(self, index, label, jet)

    monkeypatch.setattr(Sampler, "jet_set", stops_after_two)
    with pytest.raises(KeyboardInterrupt):
        sampling.sampled_set(tmp_path / "parts", sampler, truth, False, "test")
    made.clear()
    resumed = sampling.sampled_set(tmp_path / "parts", sampler, truth, False, "test")
    assert made == [40]  # the first two parts of 20 jets exist
    np.testing.assert_array_equal(resumed.constituents, expected.constituents)
    assert not list((tmp_path / "parts").glob("part*"))


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_several_ranks_make_the_jets_of_one_process(run, place, tmp_path, monkeypatch, ranks):
    truth, sampler = truth_of(place), sampler_of(run)
    expected = sampling.sampled_set(tmp_path / "single", sampler, truth, True, "test")
    monkeypatch.setattr(sampling.distributed, "size", lambda: ranks)
    monkeypatch.setattr(sampling.distributed, "broadcast", float)
    monkeypatch.setattr(sampling.distributed, "barrier", lambda: None)
    about = sampling.description(sampler, truth, True, "test")
    sampling.prepare_folder(tmp_path / "shared", about)  # by rank 0, before the barrier
    for rank in reversed(range(ranks)):  # rank 0 comes last and concatenates all parts
        monkeypatch.setattr(sampling.distributed, "rank", lambda rank=rank: rank)
        shared = sampling.sampled_set(tmp_path / "shared", sampler, truth, True, "test")
    np.testing.assert_array_equal(shared.constituents, expected.constituents)


def test_a_long_training_is_sampled_with_its_averaged_weights(run):
    checkpoint = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig)
    checkpoint.record["position"]["history"] = [{"steps": 600}, {"steps": 400}]
    assert sampling.sampling_weights(checkpoint) is checkpoint.ema


def test_a_short_training_is_sampled_with_its_weights(run):
    checkpoint = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig)
    network = sampler_of(run).network
    name = "jets.velocity.kernel"
    np.testing.assert_array_equal(network.jets.velocity.kernel, checkpoint.weights[name])
    assert (checkpoint.ema[name] != checkpoint.weights[name]).any()


def test_the_standardisation_of_jets_is_invertible():
    scale = Standardisation(JETNET30)
    jets = np.float32([[900, 0.3, 120, 28], [1500, -2, 5, 3]])
    np.testing.assert_allclose(scale.original_jets(scale.jets(jets)), jets, rtol=1e-5, atol=1e-5)


def test_jets_standardised_and_restored_have_the_momenta_in_the_files(place):
    files = find_files(place / "data", JETNET30, "test")
    stored = JetFiles(files, JETNET30).read(0, 50)["data"]
    scale, truth = Standardisation(JETNET30), truth_of(place, 50)
    mask = truth.constituents[..., 3].astype("float32")
    standardised = scale.constituents(stored.copy(), np.arange(50), mask)
    restored = scale.original_constituents(standardised[..., :3], mask)
    np.testing.assert_allclose(restored, stored[..., :3] * mask[..., None], atol=1e-6)
    columns = relative_columns(restored, mask)
    np.testing.assert_allclose(columns, truth.constituents, atol=1e-5)
    momenta, real = four_momenta(replace(truth, constituents=columns))
    pt, eta = truth.jets[:, 0], truth.jets[:, 1]
    jet = np.stack([pt, eta, np.zeros_like(pt), np.full_like(pt, 1e9)], axis=-1)
    features = relative_features(momenta, jet)
    np.testing.assert_allclose(features[real][:, :3], stored[real][:, :3], atol=1e-4)


def test_a_generated_constituent_without_momentum_gets_the_smallest_one():
    columns = relative_columns(np.float32([[[0.1, 0.2, 0.5], [0, 0, -0.1]]]), np.ones((1, 2)))
    assert 0 < columns[0, 0, 2] < 1e-5
    assert columns[0, 1, 2] == pytest.approx(1 - np.exp(-0.1))


def test_a_damaged_or_mixed_set_is_refused_with_the_name_of_the_file(place, tmp_path):
    write_set(tmp_path / "set", truth_of(place), JETNET30, {"steps": 1})
    with h5py.File(tmp_path / "set" / "t.hdf5", "a") as file:
        file.attrs["about"] = json.dumps({"steps": 2})
        del file.attrs[DIGEST]
    with pytest.raises(UserError, match=r"t\.hdf5 was made by"):
        read_set(tmp_path / "set", JETNET30)
    (tmp_path / "set" / "q.hdf5").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"q\.hdf5 cannot be read as a set of jets"):
        read_set(tmp_path / "set", JETNET30)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("finetune.py jetnet30 --mode classifier", "--mode is 'classifier'"),
        ("finetune.py jetnet30 --feature-drop 0.1", "--feature-drop has no effect on a training"),
        ("finetune.py jetnet30 --jet-epochs -1", "--jet-network-epochs is -1"),
    ],
)
def test_settings_that_do_not_fit_generation_are_refused(line, sentence, place):
    line = f"{line} --preset small --data"
    assert sentence in refusal_of(python(line, place / "data", "--runs", place / "other"))


def test_a_solver_without_steps_is_refused(run):
    assert "--steps is 0" in refusal_of(python("evaluate.py", run, "--steps", 0))


def test_the_stochastic_solver_has_other_noise_for_kinematics_than_for_constituents():
    sampler = SimpleNamespace(seed=0, solver=Solver("stochastic", jet_steps=2))
    sampler.noise_of_step = partial(Sampler.noise_of_step, sampler)
    sampler._jets = lambda *_: lambda noise, given, fresh_noise: fresh_noise
    noise, index = np.zeros((5, 4), "float32"), np.arange(5)
    of_kinematics = Sampler.solve_jets(sampler, noise, noise, index)
    for step, fresh in enumerate(of_kinematics, start=1):
        of_constituents = sampler.noise_of_step(Stream.SOLVER_STEPS, step, noise, index)
        assert (fresh != of_constituents).all()


def jets_with(pt: float) -> JetSet:
    jets = np.full((3, 4), pt, "float32")
    return JetSet(np.ones((3, 30, 4), "float32"), jets, np.zeros(3, int))


def test_a_set_of_other_true_jets_is_sampled_again(tmp_path):
    def jet_set(index, label, jet):
        return replace(jets_with(0), jets=jet)

    sampler = SimpleNamespace(
        spec=JETNET30, solver=Solver(), batch_size=4, seed=0, epochs=[1, 1], jet_set=jet_set
    )
    for pt in (500.0, 600.0):
        sampled = sampling.sampled_set(tmp_path / "ideal", sampler, jets_with(pt), True, "test")
        assert (sampled.jets == pt).all()


def test_no_rank_deletes_a_set_that_another_reads(tmp_path, monkeypatch):
    write_set(tmp_path / "set", jets_with(500), JETNET30, {"steps": 1})
    calls: list[str] = []
    monkeypatch.setattr(sampling.distributed, "barrier", lambda: calls.append("barrier"))
    monkeypatch.setattr(sampling, "read_set", lambda *_: calls.append("read") or (None, {}))

    def prepare_folder(*_):
        calls.append("delete")
        raise KeyboardInterrupt

    monkeypatch.setattr(sampling, "prepare_folder", prepare_folder)
    sampler = SimpleNamespace(spec=JETNET30, solver=Solver(), seed=0, epochs=[1, 1])
    with pytest.raises(KeyboardInterrupt):
        sampling.sampled_set(tmp_path / "set", sampler, jets_with(500), False, "test")
    assert calls == ["read", "barrier", "delete"]


def test_stored_sets_keep_the_settings_that_they_were_sampled_with(tmp_path):
    write_set(tmp_path / "generated", jets_with(500), JETNET30, {"name": "released", "steps": 7})
    sets, sampled_by = task.stored_sets(tmp_path, JETNET30)
    assert list(sets) == ["generated"]
    assert sampled_by == {"name": "released", "steps": 7}


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"observables": True}, "emd_jets"),
        ({"from_predictions": True}, "ideal steps solver guidance rate"),
        ({"ideal": True}, ""),
    ],
)
def test_flags_without_effect_on_an_evaluation_are_refused(settings, idle, tmp_path):
    refused = task.not_evaluated(tmp_path, task.GenerationEvaluation(**settings))
    assert [*refused] == idle.split()
    assert all("has no effect on" in sentence for sentence in refused.values())
