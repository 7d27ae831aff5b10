"""The exported tagger is the model under onnxruntime, for any number of jets; its metadata."""

import json
from dataclasses import replace

import awkward as ak
import keras
import numpy as np
import pytest
from commands import TINY, output_of, python
from documented import run_example
from tiny_tagger import toy_momenta

from omnilearn import onnx_file
from omnilearn.api import load
from omnilearn.data.catalogue import QG
from omnilearn.data.pipeline import Pipeline
from omnilearn.errors import UserError
from omnilearn.model.checkpoint import save_checkpoint, weight_arrays
from omnilearn.model.pet import PET, PETConfig
from preprocessing.jets_in_memory import JetsInMemory

# tf2onnx 1.17.0 uses what NumPy 2 and TensorFlow 2.18 call old
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=["released", "masked"])
def checkpoint(request, tmp_path):
    """A quark-gluon tagger with weights that make every layer matter."""
    keras.utils.set_random_seed(1)
    config = PETConfig(
        num_classes=2,
        max_constituents=QG.max_constituents,
        layer_scale=1.0,
        padding=request.param,
        **TINY,
    )
    weights = weight_arrays(PET(config))
    rng = np.random.default_rng(1)
    for name in ("classifier.token", "classifier.logits.kernel"):
        weights[name] = rng.normal(size=weights[name].shape).astype("float32")
    record = {"task": "tagging", "dataset": "qg", "class_names": list(QG.class_names)}
    save_checkpoint(tmp_path / "tagger.h5", config, weights, record)
    return tmp_path / "tagger.h5"


def quark_gluon_jets(jets: int = 12):
    """Awkward constituents with PDG ids; pT as the quark-gluon samples have it."""
    toys, _ = toy_momenta(jets)
    species = np.random.default_rng(2).choice([211, -211, 22, 130, 11, -13], ak.sum(ak.num(toys)))
    toys = ak.with_field(toys, toys.pt * 0.87, "pt")  # 525 GeV
    return ak.with_field(toys, ak.unflatten(species, ak.num(toys)), "pdg_id")


def test_the_exported_tagger_gives_the_probabilities_of_the_run(checkpoint, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    tagger, jets = load(checkpoint, batch=12), quark_gluon_jets()
    expected = tagger.probabilities(jets)
    assert np.ptp(expected[:, 0]) > 0.01
    out = output_of(python("-m omnilearn.export", checkpoint, tmp_path / "tagger.onnx"))
    assert out == f"wrote {tmp_path / 'tagger.onnx'}\n"

    session = onnxruntime.InferenceSession(tmp_path / "tagger.onnx")
    source = JetsInMemory(jets, tagger.spec)
    pipeline = Pipeline(source, source.spec, 12, lengths=(QG.max_constituents,), weighted=False)
    (batch,) = pipeline.ordered()
    inputs = {name: batch[name] for name in ("constituents", "mask", "jet")}
    for number in (12, 1, 5):
        part = {name: values[:number] for name, values in inputs.items()}
        (found,) = session.run(["probabilities"], part)
        np.testing.assert_allclose(found, expected[batch["index"]][:number], atol=1e-5)


def test_the_metadata_turn_features_into_inputs(checkpoint, tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    tagger, jets = load(checkpoint, batch=12), quark_gluon_jets()
    monkeypatch.chdir(tmp_path)
    run_example("docs/python.md", "export_onnx", tagger=tagger)
    session = onnxruntime.InferenceSession("tagger.onnx")
    found = session.get_modelmeta().custom_metadata_map
    about = {name: json.loads(text) for name, text in found.items()}
    assert about["classes"] == list(QG.class_names)
    assert about["slots"] == QG.max_constituents
    source = JetsInMemory(jets, tagger.spec)
    jet = source.gather(np.arange(12))
    mask = np.arange(QG.max_constituents) < source.multiplicity[:, None]
    scaled = (jet["data"] - about["constituents_mean"]) / about["constituents_std"]
    inputs = {
        "constituents": scaled * mask[..., None],
        "mask": mask,
        "jet": (jet["jet"] - about["jet_mean"]) / about["jet_std"],
    }
    (probabilities,) = session.run(None, {k: v.astype("float32") for k, v in inputs.items()})
    np.testing.assert_allclose(probabilities, tagger.probabilities(jets), atol=1e-5)


def test_the_metadata_say_what_a_file_without_identity_holds():
    spec = replace(QG, num_features=7)
    about = {k: json.loads(v) for k, v in onnx_file.metadata(spec, "run", 9).items()}
    assert len(about["constituents_mean"]) == len(about["constituents_std"]) == 7
    assert len(about["constituents"]) == 13


def test_a_folder_that_is_not_there_is_named(tmp_path):
    pytest.importorskip("tf2onnx")
    with pytest.raises(UserError, match="nowhere is no folder; choose another place for tagger"):
        onnx_file.write_onnx(tmp_path / "nowhere/tagger.onnx", None, QG, range(2))


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(onnx_file, "import_module", absent)
    with pytest.raises(UserError, match=r"tf2onnx is missing.*--no-deps -r requirements-onnx\.txt"):
        onnx_file.write_onnx(tmp_path / "tagger.onnx", None, QG, range(2))
