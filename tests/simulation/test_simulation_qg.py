"""The simulated quark and gluon jets: the public arrays, the window, more particles in gluons."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from small_samples import converted, simulated, without_mpi

from omnilearn.kinematics import from_cartesian, from_rapidity, to_cartesian, to_rapidity
from preprocessing.identity import masses
from simulation import qg
from simulation.detector import NEUTRINOS
from simulation.generator import Generator

JETS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    card = without_mpi(qg.CARD, chunk_size=60)
    return simulated(qg, tmp_path_factory.mktemp("qg"), card, jets=JETS)


@pytest.fixture(scope="module")
def arrays(folder):
    with np.load(folder / "QG_jets.npz") as file:
        return dict(file)


def test_the_arrays_are_the_public_ones(arrays):
    x, y = arrays["X"], arrays["y"]
    multiplicity = (x[..., 0] > 0).sum(axis=1)
    assert set(arrays) == {"X", "y"}
    assert x.dtype == np.float64
    assert x.shape == (JETS, multiplicity.max(), 4)
    assert y.sum() == JETS // 2
    assert 20 < np.count_nonzero(np.diff(y)) < 100  # mixed; 60 for a coin
    assert (x[np.arange(x.shape[1]) >= multiplicity[:, None]] == 0).all()


def test_jets_lie_in_the_window_of_pt_and_rapidity(arrays):
    x = arrays["X"]
    pt, y, phi, pdg_id = np.moveaxis(x, -1, 0)
    mass = masses(pdg_id.ravel(), Path("X"), "X").reshape(pt.shape)
    jet = from_cartesian(to_cartesian(from_rapidity(pt, y, phi, mass)).sum(axis=1))
    assert 500 < jet[:, 0].min() < jet[:, 0].max() < 550
    assert np.abs(to_rapidity(jet)[:, 1]).max() < 1.7
    distance = np.where(pt > 0, phi - jet[:, 2:3], 0.0)  # not wrapped
    assert np.abs(distance).max() < 1


def test_particles_are_stable_visible_and_in_no_order(arrays):
    x = arrays["X"]
    real = x[..., 0] > 0
    species = np.abs(x[real][:, 3])
    assert set(species) <= {211, 22, 130, 321, 2112, 2212, 11, 13}
    assert not np.isin(species, NEUTRINOS).any()
    steps = np.diff(x[..., 0], axis=1)[real[:, 1:]]
    assert 0.4 < (steps > 0).mean() < 0.6


def test_gluons_make_more_constituents_than_quarks(arrays):
    multiplicity = (arrays["X"][..., 0] > 0).sum(axis=1)
    gluon, quark = (multiplicity[arrays["y"] == label].mean() for label in (0, 1))
    assert gluon > quark + 8
    assert 20 < quark < gluon < 70


def test_charm_and_beauty_are_left_out():
    quarks = qg.PROCESSES[qg.QUARK].variants[0]
    events = Generator((*qg.CARD.settings, *quarks, "PartonLevel:MPI = off"), seed=1).events(150)
    # the parton that recoils against the Z
    parton = (np.abs(events.status) == 23) & (np.abs(events.pdg_id) < 6)
    assert parton.sum() == 150
    heavy = events.event[parton & (np.abs(events.pdg_id) > 3)]
    assert 2 < len(heavy) < 40
    objects = qg.light_events(events, np.random.default_rng(1))
    np.testing.assert_array_equal(np.unique(objects.event), np.setdiff1d(np.arange(150), heavy))


def test_large_samples_are_cut_into_files_of_the_public_size(tmp_path):
    files = qg.files(argparse.Namespace(out=tmp_path, jets=200_001))
    assert [(file.path.name, file.jets) for file in files] == [
        ("QG_jets.npz", (50_000, 50_000)),
        ("QG_jets_1.npz", (50_000, 50_000)),
        ("QG_jets_2.npz", (1, 0)),
    ]


def test_converted_jets_are_those_of_the_sample(folder, arrays, tmp_path):
    splits = converted("qg", folder, tmp_path).values()
    jets = np.concatenate([split["jet"] for split in splits])
    assert (jets[:, 0] > 500).all()
    assert sorted(jets[:, 3]) == sorted((arrays["X"][..., 0] > 0).sum(axis=1))
