"""Jets for token models: constituents out of reach or beyond the length are left out and logged."""

from dataclasses import replace

import h5py
import numpy as np
from toy_jets import write_toy_dataset

from omnilearn.config import Config
from omnilearn.data.catalogue import ASPEN
from omnilearn.tokens.task import open_data
from omnilearn.tokens.tokeniser import TokeniserConfig
from omnilearn.tokens.tokeniser_quality import read_constituents


def test_the_share_of_constituents_out_of_reach_is_logged(tmp_path, capsys):
    write_toy_dataset(tmp_path, "aspen", {"train": 32, "val": 16})
    for path in tmp_path.rglob("*val*.h5"):
        with h5py.File(path, "a") as file:
            angles = file["data"][..., :2]
            file["data"][..., :2] = np.clip(angles, -0.79, 0.79)
            file["data"][0, 0, 0] = -0.8
            filled = file["multiplicity"][:].sum()
    tokeniser = TokeniserConfig()
    _, validation = open_data(ASPEN, Config(data=str(tmp_path), batch=8), tokeniser)
    message = f"{1 / filled:.2%} of the constituents have |eta_rel| or |phi_rel| of 0.8 or more"
    assert message in capsys.readouterr().out
    rows = np.arange(16)
    features, mask = read_constituents(validation.files, validation.spec, rows, tokeniser)
    multiplicity = validation.files.multiplicity
    np.testing.assert_array_equal(mask.sum(axis=1), multiplicity - (rows == 0))
    assert np.abs(features[..., 1:]).max() < 3 * 0.8  # scaled as published
    log_pt = validation.files.gather(rows)["data"][1, : multiplicity[1], 3]
    np.testing.assert_allclose(features[1, : multiplicity[1], 0], log_pt - 1.8, atol=1e-5)


def test_longer_jets_are_cut_and_counted(tmp_path, capsys):
    write_toy_dataset(tmp_path, "aspen", {"train": 32, "val": 16})
    for path in tmp_path.rglob("*train*.h5"):
        with h5py.File(path, "a") as file:
            file["multiplicity"][:3] = 140
    training, _ = open_data(ASPEN, Config(data=str(tmp_path), batch=8), TokeniserConfig())
    assert training.files.multiplicity.max() == training.spec.max_constituents == 128
    assert "aspen: 3 jets have more than 128 constituents" in capsys.readouterr().out
    fewer = replace(ASPEN, max_constituents=100)
    open_data(fewer, Config(data=str(tmp_path), batch=8), TokeniserConfig())
    assert "jets have more than 100 constituents" in capsys.readouterr().out
