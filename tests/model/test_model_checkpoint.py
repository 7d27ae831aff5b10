"""Checkpoints are read as they were written, or refused in one sentence."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from flipped_bits import flip_bit
from tiny_training import ARCHITECTURE

from omnilearn.errors import UserError
from omnilearn.model.checkpoint import (
    CLASS_WEIGHTS,
    assign_weights,
    build_pet,
    load_backbone,
    load_checkpoint,
    save_checkpoint,
    weight_arrays,
)
from omnilearn.model.pet import PET, PETConfig
from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig

SMALL = replace(ARCHITECTURE, num_classes=3)
RECORD = {"dataset": "top", "position": {"epoch": 3, "sums": {"loss": 0.1}}}
WITHOUT_KIND = Path(__file__).parents[1] / "data" / "checkpoint_without_kind.h5"
OFFSETS = 60  # of the file, where a bit is flipped


@pytest.fixture(scope="module")
def pet():
    return PET(SMALL)


@pytest.fixture
def written(pet, tmp_path):
    weights = weight_arrays(pet)
    averages = {name: array / 2 for name, array in weights.items()}
    optimiser = {"0000": np.int64(7), "0001": weights["body.embedding.first.kernel"] - 1}
    path = tmp_path / "last.h5"
    save_checkpoint(path, SMALL, weights, RECORD, averages, optimiser)
    return path


def assert_equal_arrays(arrays, expected):
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
        assert arrays[name].dtype == array.dtype


def test_a_checkpoint_is_read_as_it_was_written(pet, written):
    checkpoint, weights = load_checkpoint(written), weight_arrays(pet)
    assert checkpoint.model_config == SMALL
    assert checkpoint.record == RECORD
    assert_equal_arrays(checkpoint.weights, weights)
    assert_equal_arrays(checkpoint.ema, {name: array / 2 for name, array in weights.items()})
    assert checkpoint.optimiser["0000"] == 7
    np.testing.assert_array_equal(
        checkpoint.optimiser["0001"], weights["body.embedding.first.kernel"] - 1
    )
    assert_equal_arrays(weight_arrays(build_pet(checkpoint)), weights)


def test_a_truncated_file_is_refused(written, tmp_path):
    content = written.read_bytes()
    short = tmp_path / "short.h5"
    for length in (0, 4, 100, len(content) // 2, len(content) - 1):
        short.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"short\.h5 .*truncated or damaged"):
            load_checkpoint(short)


@pytest.mark.slow
def test_a_flipped_bit_is_refused_or_changes_nothing(written):
    good, refused = load_checkpoint(written), 0
    for offset in np.linspace(0, written.stat().st_size - 1, OFFSETS).astype(int):
        flip_bit(written, offset, bit=offset % 8)
        try:
            checkpoint = load_checkpoint(written)
        except UserError:
            refused += 1
        else:  # the byte is not used
            assert_equal_arrays(checkpoint.weights, good.weights)
            assert checkpoint.record == good.record
            assert checkpoint.model_config == good.model_config
        flip_bit(written, offset, bit=offset % 8)
    assert refused > OFFSETS // 3


@pytest.mark.slow
def test_a_flipped_bit_in_any_array_is_noticed(written):
    with h5py.File(written, "r") as file:
        offsets = [
            group[name].id.get_offset()
            for group in (file["weights"], file["ema"])
            for name in group
        ]
    for offset in offsets[::20]:
        flip_bit(written, offset)
        with pytest.raises(UserError, match=r"'(weights|ema)/.*' is not as it was written"):
            load_checkpoint(written)
        flip_bit(written, offset)


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "text.h5").write_text("no jets here")
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["data"] = np.zeros((2, 3))
    with pytest.raises(UserError, match=r"text\.h5 cannot be read as a checkpoint"):
        load_checkpoint(tmp_path / "text.h5")
    with pytest.raises(UserError, match=r"jets\.h5 is an HDF5 file but no checkpoint"):
        load_checkpoint(tmp_path / "jets.h5")
    with pytest.raises(UserError, match=r"none\.h5 not found"):
        load_checkpoint(tmp_path / "none.h5")
    with pytest.raises(UserError, match="is a folder and no file"):
        load_checkpoint(tmp_path)


def test_another_architecture_is_refused_field_by_field(pet, written):
    other = PET(PETConfig(**{**vars(SMALL), "projection_dim": 16, "num_layers": 2}))
    before = weight_arrays(other)
    with pytest.raises(UserError, match=r"projection_dim 8 \(expected 16\), num_layers 1"):
        load_backbone(other, load_checkpoint(written), ("a", "b", "c"))
    assert_equal_arrays(weight_arrays(other), before)


def test_another_number_of_classes_leaves_exactly_the_class_weights_fresh(written):
    two = PET(PETConfig(**{**vars(SMALL), "num_classes": 2}))
    before, stored = weight_arrays(two), load_checkpoint(written).weights
    report = load_backbone(two, load_checkpoint(written), ("QCD", "top"))
    assert tuple(report.fresh) == CLASS_WEIGHTS
    assert len(report.loaded) == len(before) - 3
    assert f"fresh: {', '.join(CLASS_WEIGHTS)}" in str(report)
    expected = {name: before[name] if name in CLASS_WEIGHTS else stored[name] for name in before}
    assert_equal_arrays(weight_arrays(two), expected)


@pytest.mark.parametrize(
    ("stored", "expected", "is_kept"),
    [
        (["QCD", "top", "W"], ("QCD", "top", "W"), True),
        (["QCD", "top", "W"], ("top", "QCD", "W"), False),
        (["QCD", "top", "W"], ("g", "q", "t"), False),
        (None, ("QCD", "top", "W"), False),
        ("QCD", ("Q", "C", "D"), False),
    ],
)
def test_class_layers_are_kept_only_for_the_same_classes_in_the_same_order(
    pet, tmp_path, stored, expected, is_kept
):
    path, weights = tmp_path / "best.h5", weight_arrays(pet)
    save_checkpoint(path, SMALL, weights, {**RECORD, "class_names": stored})
    other = PET(SMALL)
    before = weight_arrays(other)
    report = load_backbone(other, load_checkpoint(path), expected)
    assert tuple(report.fresh) == (() if is_kept else CLASS_WEIGHTS)
    kept = before if not is_kept else weights
    assert_equal_arrays(
        {name: weight_arrays(other)[name] for name in CLASS_WEIGHTS},
        {name: kept[name] for name in CLASS_WEIGHTS},
    )
    if not is_kept:
        reason = "trained for QCD, top, W; now" if isinstance(stored, list) else "does not name"
        assert reason in str(report)


def test_a_model_of_another_kind_is_refused_naming_both(written):
    with pytest.raises(
        UserError, match=r"last\.h5 holds a model of the kind 'pet', expected 'deepsets'"
    ):
        load_checkpoint(written, DeepSetsConfig)


def test_a_checkpoint_from_before_kinds_were_stored_is_read():
    """A file of that time with DeepSets of two classes."""
    with h5py.File(WITHOUT_KIND, "r") as file:
        assert "kind" not in file
    checkpoint = load_checkpoint(WITHOUT_KIND, DeepSetsConfig)
    assert checkpoint.model_config.kind == "deepsets"
    assert checkpoint.class_names == ("QCD", "top")
    report = assign_weights(DeepSets(checkpoint.model_config), checkpoint.weights, "file")
    assert len(report.loaded) == len(checkpoint.weights) == 8
    with pytest.raises(UserError, match="architecture or record is not understood"):
        load_checkpoint(WITHOUT_KIND, PETConfig)


def test_weights_that_are_not_finite_are_refused(pet, tmp_path):
    weights = weight_arrays(pet)
    weights["body.block0.norm1.gamma"][3] = np.nan
    save_checkpoint(tmp_path / "nan.h5", SMALL, weights, RECORD)
    with pytest.raises(UserError, match=r"nan\.h5: weight body\.block0\.norm1\.gamma holds NaN"):
        build_pet(load_checkpoint(tmp_path / "nan.h5"))


def test_a_failed_write_leaves_the_old_checkpoint(pet, written, monkeypatch):
    before, create = written.read_bytes(), h5py.File.create_dataset

    def full_disk(file, name, **kwargs):
        if name.startswith("ema/"):
            raise OSError(28, "No space left on device")
        return create(file, name, **kwargs)

    monkeypatch.setattr(h5py.File, "create_dataset", full_disk)
    weights = weight_arrays(pet)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(written, SMALL, weights, {}, weights)
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["last.h5"]


def test_a_checkpoint_holds_only_numbers_and_plain_text(written):
    with h5py.File(written, "r") as file:
        kinds = set()
        file.visititems(lambda name, item: kinds.add(getattr(item, "dtype", np.dtype("f4")).kind))
        assert kinds <= {"f", "i", "S"}  # S: the three texts
        assert all(
            h5py.check_string_dtype(file[key].dtype) for key in ("kind", "architecture", "record")
        )
        assert json.loads(file["architecture"].asstr()[()]) == vars(SMALL)
