"""Models from a backbone or a preset, and the message where the two differ."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_training import ARCHITECTURE
from toy_jets import write_toy_dataset

from omnilearn.config import Config, Start
from omnilearn.data.catalogue import TOP
from omnilearn.errors import UserError
from omnilearn.fit import batch_of_rank, fresh, load_best, make_pet, open_data
from omnilearn.model.checkpoint import save_checkpoint, weight_arrays
from omnilearn.model.pet import PET
from omnilearn.training import distributed
from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig

SIZES = DeepSetsConfig(widths=(4,), classifier_widths=(4,), max_constituents=12)


@pytest.mark.parametrize("preset", ["small", "full"])
def test_a_backbone_of_another_size_than_the_preset_is_reported_in_one_line(
    preset, tmp_path, capsys
):
    backbone = PET(ARCHITECTURE)
    save_checkpoint(tmp_path / "best.h5", ARCHITECTURE, weight_arrays(backbone), {})
    config = Config(preset=preset, mode="classifier")
    pet = make_pet(TOP, config, Start(backbone=str(tmp_path)))
    assert pet.config.projection_dim == ARCHITECTURE.projection_dim
    report, message = capsys.readouterr().out.splitlines()
    assert "weights loaded" in report
    size = {"small": 64, "full": 128}[preset]
    assert f"{tmp_path}, not of --preset {preset}: projection_dim " in message
    assert f"projection_dim {ARCHITECTURE.projection_dim} (the preset has {size})" in message


@pytest.mark.parametrize(
    ("sizes", "found"),
    [({"num_features": 7}, "7 features per constituent"), ({"num_jet": 5}, "5 features per jet")],
)
def test_a_backbone_for_other_features_is_refused(tmp_path, sizes, found):
    config = replace(ARCHITECTURE, **sizes)
    save_checkpoint(tmp_path / "best.h5", config, weight_arrays(PET(config)), {})
    with pytest.raises(UserError, match=rf"{tmp_path} takes {found}, expected"):
        make_pet(TOP, Config(mode="classifier"), Start(backbone=str(tmp_path)))


def test_a_dataset_of_fewer_slots_than_neighbours_is_refused():
    with pytest.raises(UserError, match="top has 10 slots per jet, but PET needs more than its 10"):
        make_pet(replace(TOP, max_constituents=10), Config(mode="classifier"), Start())


def test_more_jets_than_there_are_are_refused(tmp_path):
    """The number is that of tables and curves, also where all classes are used."""
    write_toy_dataset(tmp_path, "top", {"train": 40, "val": 20})
    config = Config(data=str(tmp_path), batch=10, train_jets=40, val_jets=20)
    assert open_data(TOP, config)[1].num_jets == 20
    for flag, number, found in (("train", 50, "40 top"), ("val", 21, "20 top")):
        with pytest.raises(UserError, match=f"--{flag}-jets is {number}; there are {found} jets"):
            open_data(TOP, replace(config, **{f"{flag}_jets": number}))


def test_a_batch_of_few_jets_is_that_of_every_rank(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 2)
    assert [batch_of_rank(128, jets) for jets in (0, 1000, 100, 1)] == [128, 128, 50, 1]


def test_the_weights_of_a_fresh_model_are_drawn_from_the_seed():
    models = [fresh(DeepSets, SIZES, seed) for seed in (3, 3, 4)]
    first, same, other = ([*weight_arrays(model).values()] for model in models)
    assert all(np.array_equal(*pair) for pair in zip(first, same, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(first, other, strict=True))


def test_the_best_epoch_of_a_run_is_loaded_by_its_folder_or_its_file(tmp_path):
    best = fresh(DeepSets, SIZES, 1)
    save_checkpoint(tmp_path / "best.h5", SIZES, weight_arrays(best), {})
    for path in (tmp_path, tmp_path / "best.h5"):
        loaded = weight_arrays(load_best(fresh(DeepSets, SIZES, 2), path))
        np.testing.assert_equal(loaded, weight_arrays(best))
