"""Generation from finetune.py to evaluate.py on toy jets of JetNet: two trainings, new jets."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import python
from tiny_models import tiny_and_eager
from toy_jets import write_toy_dataset

from omnilearn.data.catalogue import JETNET30
from omnilearn.data.layout import find_files
from omnilearn.data.pipeline import Standardisation
from omnilearn.data.reader import JetFiles
from omnilearn.errors import UserError
from omnilearn.generation import distances, sampling
from omnilearn.generation.jet_generator import JetGeneratorConfig
from omnilearn.generation.jet_sets import (
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
from preprocessing import jetnet

COMMON = (
    "--preset",
    "small",
    "--epochs",
    "1",
    "--batch",
    "16",
    "--warmup-epochs",
    "0",
    "--jet-epochs",
    "2",
)
FEW_STEPS = ("--steps", "2", "--batch", "16")


@pytest.fixture(scope="module", autouse=True)
def small_and_eager():
    """The small preset even smaller, no graph, few distances: each takes seconds."""
    with tiny_and_eager() as patch:
        for name, few in (("EMD_BATCHES", 1), ("EMD_JETS", 5), ("BATCHES", 3), ("POINTS", 3)):
            patch.setattr(distances, name, few)
        patch.setattr(sampling, "PART", 20)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generation")
    write_toy_dataset(folder / "data", "jetnet30", {"train": 160, "val": 20, "test": 50})
    (path,) = find_files(folder / "data", JETNET30, "test")
    with h5py.File(path, "a") as file:  # two classes are enough to measure
        file["pid"][:] = np.eye(5)[file["pid"][:].argmax(axis=1) % 2]
    return folder


@pytest.fixture(scope="module")
def run(place):
    line = "finetune.py jetnet30 --data", place / "data", "--runs", place / "runs"
    code, _, err = python(*line, *COMMON)
    assert (code, err) == (0, "")
    return place / "runs" / "jetnet30_scratch"


@pytest.fixture(scope="module")
def evaluated(run):
    code, out, err = python("evaluate.py", run, "--ideal", *FEW_STEPS)
    assert (code, err) == (0, "")
    return out


def truth_of(place: Path, jets: int = 50):
    return read_split(place / "data", JETNET30, "test", jets)[0]


def sampler_of(run: Path, **changes) -> Sampler:
    settings = {"solver": Solver(steps=2, jet_steps=4), "batch_size": 16, **changes}
    return Sampler(run, JETNET30, **settings)


def test_one_run_holds_both_trainings(run):
    assert load_checkpoint(run / "best.h5").record["task"] == "generation"
    jets = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig)
    assert jets.model_config.num_classes == 5
    assert len((run / "jets" / "history.jsonl").read_text().splitlines()) == 2
    assert json.loads((run / "config.json").read_text())["jet_epochs"] == 2


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(run, place):
    before = (run / "jets" / "best.h5").stat().st_mtime_ns
    line = "finetune.py jetnet30 --data", place / "data", "--runs", place / "runs"
    code, _, err = python(*line, *COMMON)
    assert (code, err) == (0, "")
    assert (run / "jets" / "best.h5").stat().st_mtime_ns == before
    code, _, err = python(*line, *COMMON[:-1], 3)
    assert code != 0
    assert "jet_epochs 2 (now 3)" in err


def test_evaluation_has_numbers_for_every_class_and_both_kinds_of_sets(run, evaluated):
    results = read_results(run / "results.json")
    assert set(results["generated"]) == set(results["ideal"]) == {"g", "q"}
    for found in (*results["generated"].values(), *results["ideal"].values()):
        wanted = {"w1m", "w1p", "w1efp", "coverage", "mmd", "fpd", "kpd"}
        wanted |= {f"{kind}_{name}" for kind in ("kl", "w1") for name in ("tau21", "jet_pt")}
        assert wanted <= found.keys()
        for name, result in found.items():
            assert isinstance(result, Result)
            assert result.n > 0
            assert result.error is not None or result.reason, name
    assert "generated g w1m: " in evaluated
    for name in results["generated"]:
        assert (run / f"spectra_{name}.pdf").stat().st_size > 1000


def test_generated_jets_are_read_as_public_ones(run, evaluated):
    slots, counts = JETNET30.max_constituents, 0
    for name in ("g", "q"):
        path = run / "generated" / f"{name}.hdf5"
        for chunk in jetnet.read(path, JETNET30):
            counts += len(chunk.counts)
            assert chunk.counts.max() <= slots
        with h5py.File(path, "r") as file:
            constituents, jets = file["particle_features"][:], file["jet_features"][:]
        assert constituents.shape[1:] == (slots, 4)
        np.testing.assert_array_equal(constituents[..., 3].sum(axis=1), jets[:, 3])
    assert counts == 50


def test_ideal_jets_have_the_true_kinematics(run, evaluated, place):
    ideal, about = read_set(run / "ideal", JETNET30)
    truth = truth_of(place)
    assert about["true_kinematics"]
    for label in range(5):
        np.testing.assert_array_equal(ideal.of_class(label).jets, truth.of_class(label).jets)


def test_sets_are_sampled_again_only_when_others_are_asked_for(run, place, tmp_path):
    truth, path = truth_of(place, 10), tmp_path / "set" / "g.hdf5"
    for steps, is_new in ((2, True), (2, False), (3, True)):
        before = path.stat().st_mtime_ns if path.is_file() else 0
        sampler = sampler_of(run, solver=Solver(steps=steps, jet_steps=2))
        sampling.sampled_set(tmp_path / "set", sampler, truth, False, "test")
        assert (path.stat().st_mtime_ns != before) == is_new
    assert read_set(tmp_path / "set", JETNET30)[1]["steps"] == 3


def test_a_jet_does_not_depend_on_the_jets_beside_it(run, place):
    truth = truth_of(place)
    index = np.arange(len(truth))
    some = np.array([41, 3, 17])
    for sampler in (sampler_of(run), sampler_of(run, solver=Solver("stochastic", 3, 4))):
        whole = sampler.jet_set(index, truth.label, None)
        few = sampler.jet_set(index[some], truth.label[some], None)
        np.testing.assert_allclose(few.jets, whole.jets[some], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(few.constituents, whole.constituents[some], atol=2e-3)


def test_interrupted_sampling_goes_on_where_it_was(run, place, tmp_path, monkeypatch):
    truth, sampler = truth_of(place), sampler_of(run)
    whole = sampling.sampled_set(tmp_path / "whole", sampler, truth, False, "test")
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
    found = sampling.sampled_set(tmp_path / "parts", sampler, truth, False, "test")
    assert made == [40]  # the first two parts of 20 jets were there
    np.testing.assert_array_equal(found.constituents, whole.constituents)
    assert not list((tmp_path / "parts").glob("part*"))


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_make_the_parts_that_one_process_makes(run, place, tmp_path, monkeypatch, ranks):
    truth, sampler = truth_of(place), sampler_of(run)
    alone = sampling.sampled_set(tmp_path / "alone", sampler, truth, True, "test")
    for name, replacement in (
        ("size", lambda: ranks),
        ("agreed", float),
        ("barrier", lambda: None),
    ):
        monkeypatch.setattr(sampling.distributed, name, replacement)
    for rank in reversed(range(ranks)):  # rank 0 comes last and joins what the others made
        monkeypatch.setattr(sampling.distributed, "rank", lambda rank=rank: rank)
        if rank == ranks - 1:  # what rank 0 does before the barrier
            asked = sampling.description(sampler, truth, True, "test")
            sampling.begin_anew(tmp_path / "shared", asked)
        together = sampling.sampled_set(tmp_path / "shared", sampler, truth, True, "test")
    np.testing.assert_array_equal(together.constituents, alone.constituents)


def test_sampling_takes_the_averaged_weights(run):
    checkpoint = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig)
    checkpoint.record["position"]["history"] = [{"steps": 600}, {"steps": 400}]
    assert sampling.sampling_weights(checkpoint) is checkpoint.ema


def test_a_short_training_is_sampled_with_its_weights(run):
    checkpoint = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig)
    network = sampler_of(run).network
    name = "jets.velocity.kernel"
    np.testing.assert_array_equal(network.jets.velocity.kernel, checkpoint.weights[name])
    assert (checkpoint.ema[name] != checkpoint.weights[name]).any()


def test_standardising_and_back_is_the_identity():
    rng = np.random.default_rng(0)
    scale = Standardisation(JETNET30)
    mask = (np.arange(30) < rng.integers(1, 31, (8, 1))).astype("float32")
    data = rng.normal(size=(8, 30, 7)).astype("float32")
    there = scale.constituents(data, np.arange(8), mask)
    back = scale.original_constituents(there[..., :3], mask)
    np.testing.assert_allclose(back, data[..., :3] * mask[..., None], atol=1e-6)
    jets = np.float32([[900, 0.3, 120, 28], [1500, -2, 5, 3]])
    np.testing.assert_allclose(scale.original_jets(scale.jets(jets)), jets, rtol=1e-5, atol=1e-5)


def test_jets_of_files_standardised_and_back_have_the_momenta_of_the_files(place):
    files = find_files(place / "data", JETNET30, "test")
    stored = JetFiles(files, JETNET30).read(0, 50)
    scale, rows = Standardisation(JETNET30), np.arange(50)
    truth = truth_of(place, 50)
    mask = (truth.constituents[..., 3]).astype("float32")
    there = scale.constituents(stored["data"].copy(), rows, mask)
    columns = relative_columns(scale.original_constituents(there[..., :3], mask), mask)
    np.testing.assert_allclose(columns, truth.constituents, atol=1e-5)
    momenta, real = four_momenta(replace(truth, constituents=columns))
    jet = np.stack(
        [truth.jets[:, 0], truth.jets[:, 1], 0 * truth.jets[:, 0], 1e9 + 0 * truth.jets[:, 0]],
        axis=-1,
    )
    features = relative_features(momenta, jet)
    np.testing.assert_allclose(features[real][:, :3], stored["data"][real][:, :3], atol=1e-4)


def test_a_constituent_that_gains_momentum_counts_as_the_softest():
    columns = relative_columns(np.float32([[[0.1, 0.2, 0.5], [0, 0, -0.1]]]), np.ones((1, 2)))
    assert 0 < columns[0, 0, 2] < 1e-5
    assert columns[0, 1, 2] == pytest.approx(1 - np.exp(-0.1))


def test_a_damaged_or_mixed_set_is_refused_by_name(run, evaluated, place, tmp_path):
    truth = truth_of(place)
    write_set(tmp_path / "set", truth, JETNET30, {"steps": 1})
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
def test_settings_without_a_meaning_are_refused(line, sentence, place):
    code, _, err = python(
        line, "--preset", "small", "--data", place / "data", "--runs", place / "other"
    )
    assert code != 0
    assert sentence in err


def test_no_steps_are_refused(run):
    code, _, err = python("evaluate.py", run, "--steps", 0)
    assert code != 0
    assert "--steps is 0" in err
