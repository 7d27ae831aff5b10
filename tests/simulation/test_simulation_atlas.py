"""ATLAS top tagging: MeV, calibrated jets, weights that balance the spectra; read back by us."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from omnilearn.data.catalogue import ATLAS
from omnilearn.data.reader import JetFiles
from omnilearn.errors import run_cli
from omnilearn.hdf5_sums import attributes
from preprocessing.__main__ import main as preprocess
from simulation import atlas
from simulation.runner import produce

JETS, TEST_JETS = 121, 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("atlas")
    clean = replace(atlas.CARD, settings=(*atlas.CARD.settings, "PartonLevel:MPI = off"))
    arguments = argparse.Namespace(out=out, jets=JETS, test_jets=TEST_JETS)
    produce(clean, atlas.files(arguments), seed=1, workers=1)
    return out


@pytest.fixture(scope="module")
def columns(folder: Path) -> dict[str, np.ndarray]:
    with h5py.File(folder / "train.h5") as file:
        return {name: values[:] for name, values in file.items()}


def test_columns_and_attributes_are_the_public_ones(folder: Path, columns: dict) -> None:
    for name in ("pt", "eta", "phi", "E"):
        assert columns[f"fjet_clus_{name}"].shape == (JETS, 200)
        assert columns[f"fjet_clus_{name}"].dtype == np.float32
    for name in ("fjet_pt", "fjet_eta", "fjet_phi", "fjet_m", "labels", "weights"):
        assert columns[name].shape == (JETS,)
    for name, jets in (("train", JETS), ("test", TEST_JETS)):
        with h5py.File(folder / f"{name}.h5") as file:
            assert attributes(file)["num_jets"] == jets
            assert attributes(file)["num_cons"] == 200
            assert list(attributes(file)["jet"]) == ["fjet_pt", "fjet_eta", "fjet_phi", "fjet_m"]


def test_jets_are_in_mev_and_in_the_window_and_half_of_them_are_tops(columns: dict) -> None:
    assert columns["fjet_pt"].min() > 350e3
    assert columns["fjet_pt"].max() < 3150e3
    assert np.abs(columns["fjet_eta"]).max() < 2
    assert columns["labels"].sum() == JETS // 2
    assert 160e3 < np.median(columns["fjet_m"][columns["labels"] == 1]) < 260e3
    assert np.median(columns["fjet_m"][columns["labels"] == 0]) < 160e3


def test_constituents_fall_in_pt_and_sum_to_the_jet_before_its_calibration(columns: dict) -> None:
    pt, phi = columns["fjet_clus_pt"], columns["fjet_clus_phi"]
    assert (np.diff(pt, axis=1) <= 0).all()
    total = np.hypot((pt * np.cos(phi)).sum(axis=1), (pt * np.sin(phi)).sum(axis=1))
    np.testing.assert_allclose(total / columns["fjet_pt"], atlas.RESPONSE, rtol=1e-3)


def test_tops_fill_the_range_of_pt(columns: dict) -> None:
    pt = columns["fjet_pt"][columns["labels"] == 1] / 1000
    assert np.percentile(pt, 25) < 900
    assert np.percentile(pt, 90) > 1300


def test_weights_give_the_background_the_spectrum_of_the_tops() -> None:
    rng = np.random.default_rng(0)
    pt = np.concatenate([rng.uniform(400, 3000, 4000), 350 / rng.random(20_000) ** 0.5])
    pt, label = pt[pt < 3150], np.repeat([1, 0], [4000, np.count_nonzero(pt[4000:] < 3150)])
    weights = atlas.training_weights(pt, label)
    assert (weights[label == 1] == 1).all()
    assert weights[label == 0].mean() == pytest.approx(1)
    edges = atlas.PT_EDGES[1:]
    tops = np.histogram(pt[label == 1], edges)[0] / 4000
    others = np.histogram(pt[label == 0], edges, weights=weights[label == 0])[0]
    np.testing.assert_allclose(others / others.sum(), tops / tops.sum(), atol=0.03)


def test_the_sample_goes_through_to_the_reader(
    folder: Path, columns: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["atlas", "--raw", str(folder), "--out", str(tmp_path), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["preprocessing", *arguments])
    assert run_cli(preprocess) == 0
    jets = {}
    for split in ("train", "val", "test"):
        with JetFiles(sorted((tmp_path / "atlas" / split).glob("*.h5")), ATLAS) as files:
            jets[split] = files.read(0, files.num_jets)
    assert len(jets["test"]["jet"]) == TEST_JETS
    found = np.concatenate([jets[split]["jet"] for split in ("train", "val")])
    order, expected = found[:, 0].argsort(), columns["fjet_pt"].argsort()
    np.testing.assert_allclose(found[order, 0], columns["fjet_pt"][expected] / 1000, rtol=1e-5)
    np.testing.assert_allclose(
        found[order, 2], columns["fjet_m"][expected] / 1000, rtol=1e-3, atol=0.05
    )
    weights = np.concatenate([jets[split]["weight"] for split in ("train", "val")])
    np.testing.assert_allclose(weights[order], columns["weights"][expected], rtol=1e-5)
