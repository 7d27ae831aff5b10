"""Jets in memory: the features of files of the same jets, computed on demand."""

from dataclasses import replace

import awkward as ak
import h5py
import numpy as np
import pytest

from omnilearn.data.catalogue import ASPEN, CATALOGUE, H1, LHCO, OMNIFOLD, dataset
from omnilearn.data.pipeline import Pipeline
from omnilearn.errors import UserError
from preprocessing.jets_in_memory import JetsInMemory
from preprocessing.own import write_dataset

ABOUT = {"classes": ("QCD", "top"), "jet_radius": 0.8, "jet_pt_range": (550.0, 650.0)}
JETS = 90


@pytest.fixture
def jets(toy_jets):
    """Awkward records with PDG ids."""
    momenta, counts, _ = toy_jets(JETS)
    species = np.random.default_rng(1).choice([211, -211, 22, 130, 11, -13], len(momenta))
    columns = dict(zip(("pt", "eta", "phi", "energy"), momenta.T, strict=True), pdg_id=species)
    return ak.zip({name: ak.unflatten(values, counts) for name, values in columns.items()})


@pytest.mark.parametrize("with_identity", [True, False])
def test_features_are_those_of_the_files_that_hold_the_same_jets(jets, tmp_path, with_identity):
    if not with_identity:
        jets = jets[["pt", "eta", "phi", "energy"]]
    label = np.arange(JETS) % 2
    paths = write_dataset(tmp_path, "mine", jets, label, max_constituents=12, **ABOUT)
    memory = JetsInMemory(jets, dataset("mine", tmp_path))
    for path in paths[:3]:
        with h5py.File(path) as file:
            rows = np.sort(file["source"][:, 1])
            order = np.argsort(file["source"][:, 1])
            arrays = memory.gather(rows)
            for name in ("data", "jet"):
                np.testing.assert_array_equal(arrays[name], file[name][:][order])
            filled = np.minimum(file["multiplicity"][:][order], 12)
            np.testing.assert_array_equal(memory.multiplicity[rows], filled)


def test_features_are_computed_for_one_window_at_a_time(jets, monkeypatch):
    spec = replace(CATALOGUE["qg"], jet_pt_range=ABOUT["jet_pt_range"])
    memory, row_counts = JetsInMemory(jets, spec), []
    gather = memory.gather
    monkeypatch.setattr(memory, "gather", lambda rows: row_counts.append(len(rows)) or gather(rows))
    pipeline = Pipeline(memory, memory.spec, 8, window=16, weighted=False)
    rows = np.concatenate([batch["index"] for batch in pipeline.ordered()])
    np.testing.assert_array_equal(np.sort(rows), np.arange(JETS))
    assert max(row_counts) == 16


@pytest.mark.parametrize("spec", [ASPEN, H1, LHCO, OMNIFOLD], ids=lambda spec: spec.name)
def test_a_dataset_of_events_or_of_charges_takes_its_jets_one_by_one(jets, spec):
    spec = replace(spec, jet_pt_range=ABOUT["jet_pt_range"])
    if spec.num_features == 7:
        jets = jets[["pt", "eta", "phi", "energy"]]
    arrays = JetsInMemory(jets, spec).gather(np.arange(3, 9))
    assert arrays["data"].shape == (6, spec.max_constituents, spec.num_features)
    assert arrays["jet"].shape == (6, 4)


def test_identity_is_required_by_models_with_it_and_refused_by_others(jets):
    momenta = jets[["pt", "eta", "phi", "energy"]]
    spec = replace(CATALOGUE["qg"], jet_pt_range=ABOUT["jet_pt_range"])
    with pytest.raises(UserError, match="no pdg_id; the model was trained on jets of"):
        JetsInMemory(momenta, spec)
    with pytest.raises(UserError, match="without the identity of constituents; leave it out"):
        JetsInMemory(jets, CATALOGUE["top"])
    for number in (99, 1000010020):  # a deuteron
        strange = ak.with_field(jets, number, "pdg_id")
        sentence = rf"constituents: pdg_id holds the particle {number}, .* or nucleus as 211 or"
        with pytest.raises(UserError, match=sentence):
            JetsInMemory(strange, spec)


def test_a_model_that_knows_hidden_identities_takes_jets_without_them(jets, capsys):
    momenta = jets[["pt", "eta", "phi", "energy"]]
    spec = replace(CATALOGUE["qg"], jet_pt_range=ABOUT["jet_pt_range"])
    hidden, given = (JetsInMemory(some, spec, can_hide_identity=True) for some in (momenta, jets))
    assert capsys.readouterr().out.count("the identity of the constituents is hidden") == 1
    rows = np.arange(JETS)
    kinematic = hidden.gather(rows)["data"]
    np.testing.assert_array_equal(kinematic, given.gather(rows)["data"][:, :, :7])
    batch = next(Pipeline(hidden, hidden.spec, JETS, weighted=False).ordered())
    assert not batch["constituents"][:, :, 7:].any()  # as `feature_drop` hides them in a training


def test_impossible_jets_are_named_as_those_of_files_are(jets):
    momenta = jets[["pt", "eta", "phi", "energy"]]
    spec = CATALOGUE["top"]
    far = ak.with_field(
        momenta, ak.where(ak.local_index(momenta.eta, axis=0) == 40, 30.0, 0.1), "eta"
    )
    far = ak.with_field(far, far.pt * np.cosh(far.eta), "energy")
    with pytest.raises(UserError, match=r"constituents: jet 40 \(counted from 0\)"):
        JetsInMemory(far, spec).gather(np.arange(38, 42))


def test_a_number_beyond_64_bits_is_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"constituents: not understood \(.*\); expected awkward"):
        JetsInMemory([[{"pt": 10**30, "eta": 0.0, "phi": 0.0, "energy": 1.0}]], CATALOGUE["top"])
