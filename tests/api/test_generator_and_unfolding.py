"""New jets and unfolded weights from Python, and what cannot be loaded."""

import json
import re
from dataclasses import replace

import awkward as ak
import h5py
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from documented import run_doctests, run_example
from tiny_models import tiny_and_eager
from tiny_unfolding import EVENTS, finetuned, tiny_unfolding
from toy_events import write_events
from toy_jets import write_toy_dataset

from omnilearn import api
from omnilearn.api import Generator, Unfolding, load
from omnilearn.data.catalogue import JETNET30
from omnilearn.errors import UserError
from omnilearn.generation import jet_records
from omnilearn.generation.sampling import Solver
from omnilearn.unfolding.unfolded_weights import read_weights
from preprocessing.jets_in_memory import JetsInMemory

FEW_STEPS = Solver(steps=2, jet_steps=4)
COMMON = "--preset small --epochs 1 --batch 16 --warmup-epochs 0 --jet-epochs 1"


@pytest.fixture(scope="module", autouse=True)
def small_and_eager():
    with tiny_and_eager():
        yield


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The run directory of a generator."""
    place = tmp_path_factory.mktemp("generator")
    write_toy_dataset(place / "data", "jetnet30", {"train": 160, "val": 20})
    line = f"finetune.py jetnet30 {COMMON}"
    output_of(python(line, "--data", place / "data", "--runs", place / "runs"))
    return place / "runs" / "jetnet30_scratch"


@pytest.fixture(scope="module")
def generator(generated):
    found = load(generated, batch=8)
    assert isinstance(found, Generator)
    return found


@pytest.fixture(scope="module")
def unfolded(tmp_path_factory):
    """The run directory of an unfolding with two replicas."""
    place = tmp_path_factory.mktemp("unfolding")
    write_events(place / "data", EVENTS)
    with tiny_unfolding():
        code, _, err = finetuned(place, "--replicas", "2", "--iterations", "1")
    assert code == 0, err
    return place / "runs" / "toy"


def test_a_sampled_jet_has_as_many_constituents_as_its_multiplicity_says(generator):
    jets = generator.sample(10, "t", seed=1, solver=FEW_STEPS)
    assert jets.fields == ["jet", "constituents"]
    assert jets.jet.fields == ["pt", "eta", "mass", "multiplicity"]
    np.testing.assert_array_equal(ak.num(jets.constituents), jets.jet.multiplicity)
    pt = jets.constituents.pt
    assert ak.all(pt > 0)
    assert ak.all(pt[:, 1:] <= pt[:, :-1])
    mass = jets.constituents.energy - pt * np.cosh(jets.constituents.eta)
    assert ak.all(abs(mass) < 1e-6 * jets.constituents.energy)


def test_the_same_seed_gives_the_same_jets_however_many_are_asked_for(generator, monkeypatch):
    jets = generator.sample(10, "g", seed=1, solver=FEW_STEPS)
    monkeypatch.setattr(jet_records, "PART", 4)
    fewer = generator.sample(7, "g", seed=1, solver=FEW_STEPS)
    for name in ("pt", "eta", "phi"):
        np.testing.assert_allclose(
            ak.flatten(fewer.constituents[name]), ak.flatten(jets.constituents[name][:7]), rtol=1e-4
        )
    other = generator.sample(7, "g", seed=2, solver=FEW_STEPS)
    assert not np.allclose(other.jet.pt, fewer.jet.pt)


def test_sampled_constituents_are_jets_of_a_tagger(generator):
    jets = generator.sample(4, "q", solver=FEW_STEPS)
    spec = replace(JETNET30, jet_pt_range=(1.0, 1e5))
    source = JetsInMemory(jets.constituents, spec)
    np.testing.assert_array_equal(source.multiplicity, jets.jet.multiplicity)


def test_an_unknown_class_is_answered_with_those_that_there_are(generator):
    with pytest.raises(UserError, match="class_name 'top': jetnet30_scratch generates g, q, t"):
        generator.sample(1, "top")
    with pytest.raises(UserError, match="number 0, seed 0"):
        generator.sample(0, "t")


def test_classes_that_a_training_left_out_are_not_sampled(generated, generator):
    some = Generator(generated, JETNET30, 8, "t,g")
    assert some.classes == ("g", "t")
    with pytest.raises(UserError, match="class_name 'q': jetnet30_scratch generates g, t"):
        some.sample(1, "q")
    jets, expected = (each.sample(4, "t", seed=1, solver=FEW_STEPS) for each in (some, generator))
    np.testing.assert_array_equal(jets.jet.pt, expected.jet.pt)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"number": 2.0}, "number is 2.0; expected a whole number"),
        ({"seed": None}, "seed is None; expected a whole number"),
        ({"solver": "released"}, "solver is 'released'; expected a Solver"),
        ({"class_name": 1}, "class_name is 1; expected text"),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(generator, wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        generator.sample(**{"number": 2, "class_name": "t", **wrong})
    with pytest.raises(UserError, match="steps of a solver is '20'; expected a whole number"):
        Solver("multistep", "20")


@pytest.mark.parametrize("wrong", [("euler", 20), ("multistep", 0), ("multistep", 20, 0)])
def test_an_unknown_solver_or_no_step_is_refused(wrong):
    with pytest.raises(UserError, match="expected the name released or multistep or stochastic"):
        Solver(*wrong)


def test_unfolded_weights_come_with_their_replicas(unfolded):
    unfolding = load(unfolded)
    assert isinstance(unfolding, Unfolding)
    weights = unfolding.weights()
    arrays, about = read_weights(unfolded / "weights.h5")
    np.testing.assert_array_equal(weights.weight, arrays["weight"])
    assert weights.replicas.shape == (2, len(weights.weight))
    assert weights.trainings.shape == (0, len(weights.weight))
    assert weights.passes_gen.dtype == weights.passes_reco.dtype == bool
    assert weights.about == about
    inputs = json.loads(about["inputs"])
    with h5py.File(unfolded.parents[1] / "data/omnifold/train/omnifold_train_000.h5") as file:
        assert len(inputs) == 3
        first = weights.file == 0
        assert (file["pid"][:][weights.row[first]] == 0).all()  # simulated


def test_an_unfolding_is_not_written_as_onnx(unfolded, tmp_path):
    err = refusal_of(python("-m omnilearn.export", unfolded, tmp_path / "tagger.onnx"))
    assert "holds no tagger; only classifiers are written as ONNX" in err


def test_keras_with_another_backend_is_refused(unfolded, monkeypatch):
    monkeypatch.setattr(api.keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"backend jax before; import omnilearn\.api first"):
        load(unfolded)


def test_what_cannot_be_loaded_is_refused_in_a_sentence(generated, unfolded, tmp_path):
    with pytest.raises(UserError, match=r"not a run directory .* make one with train\.py"):
        load(tmp_path)
    with pytest.raises(UserError, match=r"nowhere: no such run directory .* there is small, "):
        load(tmp_path / "nowhere")
    part = generated / "best.h5"
    with pytest.raises(UserError, match=f"task 'generation'; load .* {re.escape(str(generated))}"):
        load(part)
    for seed in (1, 2):
        (tmp_path / f"run/seed{seed}").mkdir(parents=True)
        (tmp_path / f"run/seed{seed}/config.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds 2 trainings; load one of them, such as .*seed1"):
        load(tmp_path / "run")
    described = json.loads((unfolded / "config.json").read_text())
    described.pop("digest")
    (tmp_path / "config.json").write_text(json.dumps({**described, "task": "anomaly"}))
    with pytest.raises(UserError, match="of the task 'anomaly'"):
        load(tmp_path)
    with pytest.raises(UserError, match="batch is 0"):
        load(unfolded, batch=0)


def test_the_examples_in_docstrings_hold(generator, unfolded, monkeypatch):
    monkeypatch.setattr(api, "Solver", lambda: FEW_STEPS)
    found = run_doctests(Generator, generator=generator)
    assert (found.failed, found.attempted) == (0, 3)
    found = run_doctests(Unfolding, unfolding=load(unfolded))
    assert (found.failed, found.attempted) == (0, 2)


def test_the_documented_examples_run(generated, unfolded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "Solver", lambda: FEW_STEPS)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/jetnet30_finetuned").symlink_to(generated)
    (tmp_path / "runs/omnifold_finetuned").symlink_to(unfolded)
    new = run_example("docs/python.md", "generator.sample")["new"]
    assert len(new) == 1000
    weights = run_example("docs/python.md", "omnifold_finetuned")["weights"]
    assert weights.passes_gen.any()
