"""A tagger from Python gives jets in memory, in whatever form, the numbers of evaluate.py."""

import json
import re
import shutil

import awkward as ak
import h5py
import keras
import numpy as np
import pytest
from commands import output_of, python, refusal_of
from documented import run_doctests, run_example
from scipy.special import softmax
from tiny_models import tiny_and_eager
from tiny_tagger import ABOUT, SETTINGS, SLOTS, toy_momenta, trained_tagger, write_mine

from omnilearn import api
from omnilearn.api import Tagger, load, read_jets
from omnilearn.backbones import FOLDER
from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint
from omnilearn.tagging.predictions import read_predictions


@pytest.fixture(scope="module", autouse=True)
def small_and_eager():
    with tiny_and_eager():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained_tagger(tmp_path_factory.mktemp("tagger"))


@pytest.fixture(scope="module")
def tagger(run):
    return load(run, batch=16)


@pytest.fixture(scope="module")
def test_jets(run):
    """The jets of the test split in the order of its file, with their labels."""
    with h5py.File(run.parents[1] / "data/mine/test/mine_test_000.h5") as file:
        rows = file["source"][:, 1]
    jets, label = toy_momenta()
    return jets[rows], label[rows]


def test_jets_in_memory_get_the_probabilities_that_evaluation_gives_their_files(
    run, tagger, test_jets
):
    predicted, _ = read_predictions(run / "predictions.h5")
    jets, label = test_jets
    assert int(ak.max(ak.num(jets))) > SLOTS  # some are cut to the hardest
    np.testing.assert_array_equal(predicted["label"], label)
    probabilities = tagger.probabilities(jets)
    np.testing.assert_allclose(probabilities, softmax(predicted["logits"], axis=1), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.ptp(probabilities[:, 0]) > 1e-4  # not all alike


def test_a_training_on_some_classes_has_these_alone(tmp_path):
    """As in evaluate.py: the other logits are those of no training."""
    jets, label = toy_momenta()
    label = np.where(label == 1, 2, np.arange(len(label)) % 2)
    write_mine(tmp_path / "data", jets, label, classes=("QCD", "W", "top"))
    line = f"finetune.py mine --data {tmp_path / 'data'} --runs {tmp_path} {SETTINGS}"
    output_of(python(line, "--classes", "top,QCD"))
    output_of(python("evaluate.py", tmp_path / "mine_top_QCD_scratch"))
    some = load(tmp_path / "mine_top_QCD_scratch")
    assert some.classes == ("QCD", "top")
    with h5py.File(tmp_path / "data/mine/test/mine_test_000.h5") as file:
        selected = file["source"][:, 1][file["pid"][:] != 1]
    logits = read_predictions(tmp_path / "mine_top_QCD_scratch/predictions.h5")[0]["logits"]
    expected = softmax(logits[:, [0, 2]], axis=1)
    np.testing.assert_allclose(some.probabilities(jets[selected]), expected, atol=1e-6)
    rejection = some.rejection(jets[selected], np.array(["QCD", "", "top"])[label[selected]])
    assert rejection.n == len(selected)


def test_every_form_of_jets_gives_the_same_numbers(tagger, test_jets):
    jets = test_jets[0][:5]
    expected = tagger.probabilities(jets)
    backwards = [jet[jet[:, 0] > 0][::-1] for jet in padded(jets)]
    for form in (padded(jets), backwards, ak.with_name(jets, "Momentum4D"), jets.to_list()):
        np.testing.assert_allclose(tagger.probabilities(form), expected, atol=1e-6)


def test_a_jet_does_not_depend_on_its_neighbours(tagger, test_jets):
    jets = test_jets[0]
    apart = np.concatenate([tagger.probabilities(jets[row : row + 1]) for row in range(4)])
    np.testing.assert_allclose(tagger.probabilities(jets)[:4], apart, atol=1e-6)


def test_the_time_of_a_few_jets_is_not_that_of_a_batch(tagger, test_jets, monkeypatch):
    """Except with XLA, which takes seconds for each new number of jets."""
    sizes, logits = [], tagger._logits
    monkeypatch.setattr(tagger, "_logits", lambda b: sizes.append(len(b["mask"])) or logits(b))
    for xla in "01":
        monkeypatch.setenv("OMNILEARN_XLA", xla)
        for jets in (1, 2):
            assert len(tagger.logits(test_jets[0][:jets])) == jets
    assert sizes == [1, 2, 16, 16]


def test_logits_are_linear_functions_of_the_embedding(tagger, test_jets):
    token = tagger.embed(test_jets[0])
    assert token.shape == (len(test_jets[0]), tagger.model.config.projection_dim)
    layer = tagger.model.classifier.logits
    logits = token @ np.asarray(layer.kernel) + np.asarray(layer.bias)
    np.testing.assert_allclose(logits, tagger.logits(test_jets[0]), atol=1e-5)


def test_rejection_has_an_uncertainty_and_takes_names_of_classes(tagger, test_jets, monkeypatch):
    jets, label = test_jets
    by_number = tagger.rejection(jets, label, 0.3)
    assert by_number == tagger.rejection(jets, np.array(ABOUT["classes"])[label], 0.3)
    assert by_number.n == len(jets)
    assert by_number.error or by_number.bound == "lower"
    with pytest.raises(UserError, match="signal efficiency 2 is not between 0 and 1"):
        tagger.rejection(jets, label, 2)
    monkeypatch.setattr(tagger, "_logits", None)  # wrong labels are refused before an evaluation
    with pytest.raises(UserError, match=r"label: .* expected 0 to 1, for QCD, top"):
        tagger.rejection(jets, label + 1)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_a_precision_that_a_notebook_has_set_does_not_matter(run, tagger, test_jets, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        logits = load(run, batch=16).logits(test_jets[0])
        assert keras.config.dtype_policy().name == policy
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(logits, tagger.logits(test_jets[0]), atol=1e-6)


def test_jets_of_a_dataset_are_all_of_them_or_a_number_above(run):
    data = run.parents[1] / "data"
    assert [len(read_jets("mine", jets=n, data=data)[0]) for n in (0, 8, 1000)] == [36, 8, 36]
    with pytest.raises(UserError, match="jets is -1; expected 0 for all, or more"):
        read_jets("mine", jets=-1, data=data)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda jets: ak.with_field(jets, 1e3 * jets.pt, "pt"), "looks like MeV"),
        (lambda jets: ak.with_field(jets, 3 * jets.pt, "pt"), "GeV; load a model that was trained"),
        (lambda jets: ak.with_field(jets, jets.phi + 90, "phi"), "radians are expected"),
        (lambda jets: ak.with_field(jets, 22, "pdg_id"), "without the identity of constituents"),
        (lambda jets: ak.with_field(jets, jets.pt, "colour"), "the field 'colour' is not known"),
        (lambda jets: ak.concatenate([jets[:1], jets[1:2, :0]]), r"jet 1 .* has none, and 0 more"),
        (lambda jets: np.zeros((3, 4)), r"shape \(3, 4\) .*; one jet is \[jet\]"),
        (lambda jets: jets[:0], "no jets"),
    ],
)
def test_unusable_jets_are_refused_in_a_sentence(tagger, test_jets, change, sentence):
    with pytest.raises(UserError, match=sentence):
        tagger.probabilities(change(test_jets[0]))


def test_a_checkpoint_that_is_no_classifier_of_this_dataset_is_refused(run, tmp_path):
    def changed(**record):
        known = load_checkpoint(run / "best.h5")
        path = tmp_path / "changed.h5"
        save_checkpoint(path, known.model_config, known.weights, {**known.record, **record})
        return path

    config = load_checkpoint(run / "best.h5").record["config"]
    with pytest.raises(UserError, match="trained with --mode generator, without a classifier"):
        load(changed(config={**config, "mode": "generator"}))
    with pytest.raises(UserError, match=r"for QCD, W in 24 slots, but mine has QCD, top in 24"):
        load(changed(class_names=["QCD", "W"]))
    for record in ({"dataset": None}, {"task": 3}, {"config": []}, {"config": {"data": 3}}):
        with pytest.raises(UserError, match=r"changed\.h5: 'record\..* is .*, expected .*; load"):
            load(changed(**record))
    (tmp_path / "gone.h5").symlink_to(tmp_path / "none.h5")
    with pytest.raises(UserError, match=r"gone\.h5 is a link to .*none\.h5, which is gone; expec"):
        load(tmp_path / "gone.h5")
    with pytest.raises(UserError, match=r"cannot be opened \(File name too long\)"):
        load("x" * 300)
    tagger = load(run)
    tagger.classes = (*tagger.classes, "W")
    with pytest.raises(UserError, match=r"classes, QCD, top, W; a rejection is that of one back"):
        tagger.rejection(None, None)
    with pytest.raises(UserError, match="unknown dataset 'mine'"):
        load(run, data=tmp_path)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda run, _: load(run, batch=1.5), "batch is 1.5; expected a whole number"),
        (lambda run, _: load(run, batch=True), "batch is True; expected a whole number"),
        (lambda run, _: load(3), "place is 3; expected a path"),
        (lambda run, _: load(run, data=3), "data is 3; expected a path"),
        (lambda run, _: read_jets("mine", jets="all"), "jets is 'all'; expected a whole number"),
        (lambda run, _: read_jets("mine", split=1), "split is 1; expected text"),
        (lambda run, _: read_jets("top", split="t*"), r"split is 't\*'; expected train, val or te"),
        (
            lambda _, tagger: tagger.rejection(None, None, signal_efficiency="a"),
            "signal_efficiency is 'a'; expected a number",
        ),
        (lambda _, tagger: tagger.export_onnx(None), "path is None; expected a path"),
        (lambda run, _: load(run / "results.json"), "JSON text.*give the run directory that it"),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(run, tagger, call, sentence):
    with pytest.raises(UserError, match=sentence):
        call(run, tagger)


def test_a_run_is_loaded_wherever_it_is_taken(run, tagger, test_jets, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "elsewhere")
    path = tmp_path / "elsewhere/config.json"
    described = json.loads(path.read_text().replace(str(run.parents[1] / "data"), "data"))
    del described["digest"]  # who changes it on purpose deletes this
    path.write_text(json.dumps(described))
    monkeypatch.chdir(tmp_path)
    expected = tagger.probabilities(test_jets[0])
    for place in ("elsewhere", "elsewhere/best.h5"):
        again = load(place)
        assert again.classes == tagger.classes == ABOUT["classes"]
        np.testing.assert_allclose(again.probabilities(test_jets[0]), expected, atol=1e-6)
    (tmp_path / "elsewhere/dataset.json").unlink()
    with pytest.raises(UserError, match=r"one of your own needs data/mine/dataset\.json"):
        load("elsewhere")


@pytest.fixture
def copied(run, tmp_path):
    """The run and its dataset in a folder of their own."""
    shutil.copytree(run.parents[1], tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs" / run.name


def test_a_run_keeps_its_standardisation_where_its_dataset_is_made_again(copied):
    run, data = copied, copied.parents[1] / "data"
    declaration = (run / "dataset.json").read_text()
    jets, label = toy_momenta()
    harder = ak.with_field(jets, 1.2 * jets.pt, "pt")
    paths = write_mine(data, harder, label, jet_pt_range=(660.0, 780.0))
    err = refusal_of(python(f"finetune.py mine --data {data} --runs {run.parent} {SETTINGS}"))
    assert "was trained on other data than there are now" in err
    assert (run / "dataset.json").read_text() == declaration
    # as a training that goes on with other data writes it, before its next best epoch
    shutil.copy(data / "mine/dataset.json", run)
    output_of(python("evaluate.py", run, "--data", data))
    (run / "dataset.json").write_text(declaration)
    with h5py.File(paths[2]) as file:
        rows = file["source"][:, 1]
    predicted, _ = read_predictions(run / "predictions.h5")
    alone = shutil.copy(run / "best.h5", data.parent)
    for tagger in (load(run), load(run, data=data), load(alone, data=data)):
        np.testing.assert_allclose(tagger.logits(harder[rows]), predicted["logits"], atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"classes": ("top", "QCD")}, r"with the classes \('QCD', 'top'\), .* now has \('top', '"),
        ({"max_constituents": 40}, "with slots per jet 24, which now has 40"),
        ({"identity": 211}, "with features per constituent 7, which now has 13"),
    ],
)
def test_a_dataset_of_other_classes_features_or_slots_is_not_evaluated(copied, changed, sentence):
    run, data = copied, copied.parents[1] / "data"
    jets, label = toy_momenta()
    if identity := changed.pop("identity", None):
        jets = ak.with_field(jets, identity, "pdg_id")
    write_mine(data, jets, label, **changed)
    err = refusal_of(python("evaluate.py", run, "--data", data))
    assert re.search(sentence, err), err


def padded(jets) -> np.ndarray:
    """Awkward jets as NumPy (jets, slots, 4) of pt, eta, phi, energy."""
    slots = int(ak.max(ak.num(jets)))
    pt, eta, phi = (
        ak.to_numpy(ak.fill_none(ak.pad_none(jets[name], slots), 0))
        for name in ("pt", "eta", "phi")
    )
    return np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=-1)


def test_the_documented_example_runs(run, test_jets, tmp_path, monkeypatch, capsys):
    jets, label = test_jets
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/top_finetuned").symlink_to(run)
    np.savez("jets.npz", momenta=padded(jets), is_top=label)
    names = run_example("docs/python.md", "tagger.probabilities(")
    assert names["scores"].shape == (len(jets), 2)
    assert names["vectors"].shape == (len(jets), 8)
    assert "('QCD', 'top')" in capsys.readouterr().out


def test_the_examples_in_docstrings_hold(tagger, test_jets):
    jets, labels = test_jets
    found = run_doctests(Tagger, tagger=tagger, jets=jets, labels=labels)
    assert (found.failed, found.attempted) == (0, 6)


def test_the_example_of_the_readme_runs(tagger, test_jets, monkeypatch):
    def sample(number, class_name, *, seed):
        return ["jet"] * number

    monkeypatch.setattr(api, "load", lambda place: tagger)
    monkeypatch.setattr(tagger, "sample", sample, raising=False)  # a generator's
    monkeypatch.setattr(tagger, "export_onnx", lambda path: path)  # takes long: test_onnx.py
    jets, labels = test_jets
    names = run_example("README.md", "omnilearn.api", jets=jets, labels=labels)
    assert names["scores"].shape == (len(jets), 2)
    assert names["rejection"] == tagger.rejection(jets, labels)


@pytest.mark.parametrize("classes", ["other names", "other number"])
def test_weights_of_another_run_are_not_evaluated_under_the_classes_of_this_one(
    run, tmp_path, classes
):
    """Two other classes would be taken for those of the run without a word."""
    copied = shutil.copytree(run, tmp_path / "mine")
    best = copied / "best.h5"
    if classes == "other number":
        shutil.copy(FOLDER / "small.h5", best)
    else:
        stored = load_checkpoint(best)
        record = stored.record | {"class_names": ["gluon", "quark"]}
        save_checkpoint(best, stored.model_config, stored.weights, record)
    before = (copied / "results.json").read_bytes()
    message = refusal_of(python("evaluate.py", copied, "--data", run.parents[1] / "data"))
    trained = {"other number": "QCD, Hbb, ", "other names": "gluon, quark in"}[classes]
    assert f"{best} was trained for {trained}" in message
    assert "mine has QCD, top in" in message
    assert "it is of another run: put back that of this one" in message
    assert (copied / "results.json").read_bytes() == before
