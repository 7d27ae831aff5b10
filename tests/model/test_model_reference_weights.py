"""Files of the released code are loaded completely, or refused with the name of the file."""

import re
import shutil
from dataclasses import replace

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from released_numbers import DATA, TINY, arrays_of, stored

from omnilearn.errors import UserError
from omnilearn.model.checkpoint import (
    CLASS_WEIGHTS,
    load_checkpoint,
    save_checkpoint,
    weight_arrays,
)
from omnilearn.model.pet import PET
from omnilearn.model.reference_weights import load_released_weights, released_config

FILES = [DATA / f"PET_tiny_tf{version}.weights.h5" for version in ("2141", "2151")]
both_layouts = pytest.mark.parametrize("path", FILES, ids=["tf214", "tf215"])


@pytest.fixture(scope="module")
def pet():
    return PET(TINY)


@pytest.fixture
def copied(tmp_path):
    return shutil.copy(FILES[0], tmp_path / "copy.weights.h5")


@both_layouts
def test_all_148_arrays_of_a_released_file_are_loaded(pet, path):
    report = load_released_weights(pet, path)
    assert len(report.loaded) == 148
    assert report.fresh == ["classifier.token"]
    assert f"{path}: 148 of 149 weights loaded, fresh: classifier.token" in str(report)
    loaded = weight_arrays(pet)
    assert (loaded.pop("classifier.token") == 0).all()
    np.testing.assert_equal(loaded, arrays_of(stored("forward_tiny"), "w"))


def replace_array(file, key, values, **attributes):
    """Other values under a key, with the attributes of its new array."""
    del file[key]
    file[key] = values
    file[key].attrs.update(attributes)


def arrays_in(file, part="/"):
    """The paths of all arrays below a group."""
    names = []
    file[part].visititems(lambda _, item: names.append(item.name) if "shape" in dir(item) else None)
    return names


@both_layouts
def test_every_array_of_the_file_is_used_or_listed(pet, path):
    report = load_released_weights(pet, path)
    with h5py.File(path, "r") as file:
        names = arrays_in(file)
    assert len(names) == 148 + len(report.unused)
    groups = ("optimizer", "ema", "functional", "metric", "tracker")
    assert all(any(group in name for group in groups) for name in report.unused)


@both_layouts
def test_the_architecture_is_that_of_the_shapes_of_the_arrays(path):
    assert replace(released_config(path), max_constituents=24) == TINY


@both_layouts
def test_two_classes_instead_of_three_replace_exactly_the_class_weights(path):
    two = PET(replace(TINY, num_classes=2))
    before = weight_arrays(two)
    report = load_released_weights(two, path, "trained for g, q, t; now QCD, top")
    assert report.fresh == [*CLASS_WEIGHTS, "classifier.token"]
    assert len(report.loaded) == 145
    assert f"145 of 149 weights loaded, fresh: {', '.join(CLASS_WEIGHTS)}" in str(report)
    assert "(trained for g, q, t; now QCD, top)" in str(report)
    fresh = {name: before[name] for name in report.fresh}
    np.testing.assert_equal(weight_arrays(two), arrays_of(stored("forward_tiny"), "w") | fresh)


@both_layouts
@pytest.mark.parametrize(
    "change",
    [
        {"num_layers": 1},
        {"num_layers": 3},
        {"projection_dim": 8},
        {"num_heads": 4},
        {"classifier_layers": 1},
        {"generator_layers": 3},
        {"num_features": 4},
    ],
    ids=str,
)
def test_another_architecture_is_refused(path, change):
    pet = PET(replace(TINY, **change))
    before = weight_arrays(pet)
    with pytest.raises(UserError, match=rf"{path.name}: .*made by another architecture"):
        load_released_weights(pet, path)
    np.testing.assert_equal(weight_arrays(pet), before)  # none is changed


def test_a_file_that_is_not_hdf5_is_refused(pet, tmp_path):
    path = tmp_path / "notes.weights.h5"
    path.write_text("150 constituents")
    for read in (released_config, lambda path: load_released_weights(pet, path)):
        with pytest.raises(UserError, match=rf"{path} cannot be read as HDF5"):
            read(path)
    with pytest.raises(UserError, match=r"gone\.weights\.h5 not found"):
        released_config(tmp_path / "gone.weights.h5")


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_truncated_download_is_refused(pet, copied, share):
    content = copied.read_bytes()
    copied.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=rf"{re.escape(str(copied))} cannot be read as HDF5"):
        load_released_weights(pet, copied)


@pytest.fixture(scope="module")
def other_files(pet, tmp_path_factory):
    """Weights by name of the program that wrote them, in layouts that are not the released one."""
    folder = tmp_path_factory.mktemp("others")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    paths = {
        "attributes": folder / "attributes.weights.h5",
        "layers": folder / "layers.weights.h5",
        "containers": folder / "containers.weights.h5",
        "whole": folder / "whole.h5",
        "checkpoint": folder / "best.h5",
    }
    pet.save_weights(paths["attributes"])
    model.save_weights(paths["layers"])
    with h5py.File(FILES[0], "r") as file, h5py.File(paths["containers"], "w") as copy:
        for name in arrays_in(file):
            copy[name.replace("_layer_checkpoint_dependencies", "layers")] = file[name][()]
    with h5py.File(paths["whole"], "w") as file:  # as Keras 2 wrote a model with its architecture
        file.attrs["model_config"] = "{}"
        file["model_weights/dense/dense/kernel:0"] = np.zeros((4, 3))
    save_checkpoint(paths["checkpoint"], TINY, weight_arrays(pet), {})
    return paths


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("attributes", r"weights of a Keras model of another layout \(body, classifier, gen"),
        ("layers", r"weights of a Keras model of another layout \(layers"),
        ("containers", r"weights of a Keras model of another layout \(_metrics, body"),
        ("whole", r"a Keras model in the HDF5 format of Keras 2 \(model_weights\)"),
        ("checkpoint", "a checkpoint of this suite, which finetune.py --backbone takes"),
    ],
)
def test_weights_of_another_layout_are_refused_with_what_they_are(pet, other_files, program, found):
    path = other_files[program]
    for read in (released_config, lambda path: load_released_weights(pet, path)):
        with pytest.raises(UserError, match=rf"is not a weights file of .*: it holds {found}"):
            read(path)
    if program != "checkpoint":
        with pytest.raises(UserError, match=rf"no checkpoint of this suite: it holds {found}"):
            load_checkpoint(path)


def test_released_weights_in_place_of_a_checkpoint_are_told_apart():
    for path in FILES:
        with pytest.raises(UserError, match=r"finetune\.py DATASET --released-weights FILE"):
            load_checkpoint(path)


def test_another_hdf5_file_is_refused(pet, tmp_path):
    path = tmp_path / "jets.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((3, 24, 13))
    for read in (released_config, lambda path: load_released_weights(pet, path)):
        with pytest.raises(UserError, match=rf"{path} is not a weights file .* it holds data"):
            read(path)


@pytest.mark.parametrize(
    "missing",
    [
        "body/_layer_checkpoint_dependencies/dense_2/vars/0",
        "body/_layer_checkpoint_dependencies/multi_head_attention/_query_dense/vars/0",
        "generator/_layer_checkpoint_dependencies/dense_4/vars/0",
    ],
)
def test_a_missing_array_is_named(pet, copied, missing):
    with h5py.File(copied, "a") as file:
        del file[missing]
    with pytest.raises(UserError, match=rf"copy\.weights\.h5: {missing} .* is missing"):
        load_released_weights(pet, copied)
    with pytest.raises(UserError, match=r"copy\.weights\.h5: its arrays fit no architecture"):
        released_config(copied)


@pytest.mark.parametrize(
    ("layer", "value"),
    [
        ("dense_2", 1.0),
        ("dense_2", h5py.Empty("f4")),
        ("multi_head_attention/_query_dense", h5py.Empty("f4")),
        ("multi_head_attention/_query_dense", np.zeros((16, 0, 8))),
        ("multi_head_attention/_query_dense", np.zeros((16, 3, 5))),
    ],
)
def test_an_array_of_impossible_shape_is_refused(copied, layer, value):
    key = f"body/_layer_checkpoint_dependencies/{layer}/vars/0"
    with h5py.File(copied, "a") as file:
        del file[key]
        file[key] = value
    with pytest.raises(UserError, match=r"copy\.weights\.h5: its arrays fit no architecture"):
        released_config(copied)


def test_a_transposed_kernel_is_named_and_not_taken_for_another_architecture(copied):
    key = "body/_layer_checkpoint_dependencies/dense_2/vars/0"
    with h5py.File(copied, "a") as file:
        replace_array(file, key, file[key][()].T)
    match = rf"{key} has shape \(32, 13\), expected \(inputs, 32\) by its bias, as if it was trans"
    with pytest.raises(UserError, match=match):
        released_config(copied)


@pytest.mark.parametrize("key", ["body", "body/_layer_checkpoint_dependencies/dense_2/vars/0"])
def test_a_link_within_the_file_is_refused_by_name(pet, copied, key):
    with h5py.File(copied, "a") as file:
        del file[key]
        file[key] = h5py.SoftLink("/gone")
    for read in (released_config, lambda path: load_released_weights(pet, path)):
        with pytest.raises(UserError, match=rf"'{key}' is a link to '/gone', which is not follow"):
            read(copied)


@pytest.mark.parametrize("part", ["body", "classifier", "generator"])
def test_a_missing_part_is_named(pet, copied, part):
    with h5py.File(copied, "a") as file:
        del file[part]
    for read in (released_config, lambda path: load_released_weights(pet, path)):
        with pytest.raises(UserError, match=rf"holds no weights of the {part} \({part}/_layer"):
            read(copied)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.nan, "NaN or infinite"),
        (1e300, "NaN or infinite"),
        (b"0.5", r"\|S3, expected floating-point numbers"),
        (np.int8(3), r"int8, expected floating-point numbers; integers of a quantised model"),
        (True, r"bool, expected floating-point numbers"),
    ],
)
def test_a_weight_that_is_no_finite_number_is_refused(pet, copied, value, problem):
    key = "classifier/_layer_checkpoint_dependencies/dense/vars/1"
    with h5py.File(copied, "a") as file:
        replace_array(file, key, np.full(file[key].shape, value))
    match = rf"copy\.weights\.h5: weight classifier\.jet_film\.bias holds {problem}"
    with pytest.raises(UserError, match=match):
        load_released_weights(pet, copied)


@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8"])
def test_weights_of_every_precision_are_loaded(pet, copied, kind):
    load_released_weights(pet, FILES[0])
    expected = weight_arrays(pet)
    with h5py.File(copied, "a") as file:
        for name in [*arrays_in(file, "body"), *arrays_in(file, "classifier")]:
            replace_array(file, name, file[name][()].astype(kind))
    load_released_weights(pet, copied)
    for name, values in weight_arrays(pet).items():
        np.testing.assert_allclose(values, expected[name], atol=2e-3 if kind == "<f2" else 0)


@pytest.mark.parametrize("name", ["bfloat16", np.bytes_(b"bfloat16")], ids=["text", "bytes"])
def test_bfloat16_as_keras_stores_it_is_loaded_exactly(pet, copied, name):
    """Opaque bytes, with the type in an attribute."""
    key = "body/_layer_checkpoint_dependencies/dense_2/vars/0"
    with h5py.File(copied, "a") as file:
        values = file[key][()].astype(ml_dtypes.bfloat16)
        replace_array(file, key, values, dtype=name)
    load_released_weights(pet, copied)
    loaded = weight_arrays(pet)["body.embedding.first.kernel"]
    np.testing.assert_array_equal(loaded, values.astype("float32"))


@pytest.mark.parametrize(
    ("values", "found"),
    [(np.zeros((13, 32), "V2"), r"\|V2"), (np.zeros((13, 32), "c8"), "complex64")],
)
def test_numbers_of_an_unknown_type_are_refused_by_name(pet, copied, values, found):
    key = "body/_layer_checkpoint_dependencies/dense_2/vars/0"
    with h5py.File(copied, "a") as file:
        replace_array(file, key, values)
    match = rf"copy\.weights\.h5: '{key}' holds {found}, expected .*; write it again as float32"
    with pytest.raises(UserError, match=match):
        load_released_weights(pet, copied)


def test_a_text_in_place_of_an_array_is_refused(pet, copied):
    key = "body/_layer_checkpoint_dependencies/dense_2/vars/0"
    with h5py.File(copied, "a") as file:
        replace_array(file, key, "hello")
    with pytest.raises(UserError, match=r"embedding\.first\.kernel has shape \(\), expected"):
        load_released_weights(pet, copied)
    with pytest.raises(UserError, match=r"copy\.weights\.h5: its arrays fit no architecture"):
        released_config(copied)


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(
        UserError, match=rf"{tmp_path} is a folder and no file; expected a .weights"
    ):
        released_config(tmp_path)
