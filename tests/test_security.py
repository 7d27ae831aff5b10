"""Nothing in files of others is executed, and their links to other files are not followed."""

import json
import zipfile

import h5py
import numpy as np
import pytest
from commands import python, refusal_of
from tiny_training import ARCHITECTURE
from toy_jets import write_toy_dataset

from omnilearn.config import Config, read_config
from omnilearn.data.catalogue import dataset
from omnilearn.errors import UserError
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint, weight_arrays
from omnilearn.model.pet import PET
from omnilearn.model.reference_weights import load_released_weights
from omnilearn.tagging.predictions import read_predictions


@pytest.fixture
def trap(tmp_path):
    """A file that code in the files of this module would create."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists()


@pytest.fixture(scope="module")
def pet():
    return PET(ARCHITECTURE)


@pytest.fixture
def checkpoint(pet, tmp_path):
    save_checkpoint(tmp_path / "best.h5", ARCHITECTURE, weight_arrays(pet), {"position": {}})
    return tmp_path / "best.h5"


@pytest.fixture
def elsewhere(tmp_path):
    """A file that must not be read through links."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(12.0)
    return path


def redirect(path, key, elsewhere, kind):
    """Let `key` of an HDF5 file refer to another file."""
    with h5py.File(path, "a") as file:
        shape = file[key].shape
        del file[key]
        if kind == "link":
            file[key] = h5py.ExternalLink(str(elsewhere), "data")
        elif kind == "external numbers":
            file.create_dataset(
                key, shape=shape, dtype="f4", external=[(str(elsewhere), 0, h5py.h5f.UNLIMITED)]
            )
        else:
            layout = h5py.VirtualLayout(shape=(12,), dtype="f8")
            layout[:] = h5py.VirtualSource(str(elsewhere), "data", shape=(12,))
            file.create_virtual_dataset(key, layout)


KINDS = ("link", "external numbers", "virtual numbers")


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_with_data_in_another_file_is_refused(checkpoint, elsewhere, kind):
    redirect(checkpoint, "weights/body.embedding.first.bias", elsewhere, kind)
    with pytest.raises(UserError, match=r"body\.embedding\.first\.bias.*such a file is not read"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("kind", KINDS)
def test_jets_in_another_file_are_refused(tmp_path, elsewhere, kind):
    data = write_toy_dataset(tmp_path / "data", "top", {"train": 20, "val": 20})
    (path,) = data.rglob("*train*.h5")
    redirect(path, "jet", elsewhere, kind)
    err = refusal_of(
        python("finetune.py top --preset small --data", data, "--runs", tmp_path / "r")
    )
    assert f"error: {path}: " in err
    assert "such a file is not read" in err


def test_a_pickle_is_refused_under_any_name(tmp_path, trap, pet):
    # a pickle that calls builtins.open(path, "w")
    pickled = f"cbuiltins\nopen\n(S'{trap}'\nS'w'\ntR."
    for name in ("best.h5", "model.keras", "x.weights.h5"):
        path = tmp_path / name
        path.write_text(pickled)
        with pytest.raises(UserError, match=name):
            load_checkpoint(path)
        with pytest.raises(UserError, match=name):
            load_released_weights(pet, path)
        with pytest.raises(UserError, match=name):
            read_predictions(path)


def test_a_keras_model_with_a_lambda_is_not_built(tmp_path, trap, pet):
    code = f"open({str(trap)!r}, 'w')"
    layer = {"class_name": "Lambda", "config": {"function": ["__import__('builtins')", code]}}
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps({"class_name": "Functional", "layers": [layer]}))
    for read in (load_checkpoint, lambda path: load_released_weights(pet, path)):
        with pytest.raises(UserError, match=r"model\.keras"):
            read(path)
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(layer)
    with pytest.raises(UserError, match=r"model\.h5"):
        load_released_weights(pet, tmp_path / "model.h5")


def test_code_in_a_configuration_stays_text(tmp_path, trap):
    code = f"__import__('builtins').open({str(trap)!r}, 'w')"
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"config": {"data": code, "padding": ""}, "task": code}))
    config, about = read_config(path)
    assert (config.data, about["task"]) == (code, code)
    path.write_text(json.dumps({"config": {"__class__": code}}))
    with pytest.raises(UserError, match="not a configuration of this suite"):
        read_config(path)


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp/elsewhere", "..", "a/b"])
def test_no_name_leads_out_of_the_folder_of_runs(tmp_path, name):
    with pytest.raises(UserError, match="expected the name of one folder in --runs"):
        Config(name=name)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"config": {"name": name}}))
    with pytest.raises(UserError):
        read_config(path)


@pytest.mark.parametrize("name", ["../elsewhere", "/elsewhere", ".."])
def test_no_name_of_a_dataset_leads_out_of_the_folder_of_data(tmp_path, name):
    data = tmp_path / "data"
    for folder in (data, tmp_path / "elsewhere", tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="unknown dataset"):
        dataset(name, data)
