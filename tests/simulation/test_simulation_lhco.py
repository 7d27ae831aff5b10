"""LHC Olympics events: the public table, the trigger, a W' of 3.5 TeV to 500 and 100 GeV."""

import awkward as ak
import numpy as np
import pandas as pd
import pytest

from omnilearn.clustering import cluster
from simulation.__main__ import description, parser
from simulation.lhco import CARD, FILE_NAME, OutputFile, files
from simulation.runner import produce
from simulation.sample import total_momentum


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """20 events of background and 30 of signal."""
    path = tmp_path_factory.mktemp("lhco") / FILE_NAME
    produce(CARD, [OutputFile(path, "train", (20, 30, 0))], seed=1, workers=1)
    return pd.read_hdf(path)


@pytest.fixture(scope="session")
def jets(table):
    """The two leading jets of every event, (events, 2, 4) energy, px, py, pz."""
    particles = table.to_numpy()[:, :2100].reshape(-1, 700, 3)
    real = particles[..., 0] > 0
    pt, eta, phi = particles[real].T
    momenta = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta)}
    objects = ak.unflatten(ak.zip({**momenta, "energy": pt * np.cosh(eta)}), real.sum(axis=1))
    constituents, event = cluster(objects, 1.0, 20.0)
    summed = np.stack(total_momentum(constituents), axis=1)[:, [3, 0, 1, 2]]
    hardness = np.hypot(summed[:, 1], summed[:, 2])
    order = np.lexsort((-hardness, event))
    first = np.searchsorted(event, np.arange(len(table)))
    return summed[order][first[:, None] + np.arange(2)]


def mass(momenta: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(momenta[..., 0] ** 2 - (momenta[..., 1:] ** 2).sum(-1), 0))


def test_the_table_has_700_particles_and_a_label(table):
    assert table.shape == (50, 2101)
    assert list(table.columns) == list(range(2101))
    assert (table.dtypes == np.float64).all()
    label = table[2100].to_numpy()
    assert label.sum() == 30
    assert 10 < np.count_nonzero(np.diff(label)) < 40  # mixed: 24 for a shuffled deck


def test_particles_fall_in_pt_and_lie_within_the_detector(table):
    pt, eta, phi = np.moveaxis(table.to_numpy()[:, :2100].reshape(-1, 700, 3), -1, 0)
    assert (np.diff(pt) <= 0).all()
    assert (pt[:, 20] > 0).all()
    # as in the public events, whose softest particle has 0.098 GeV
    assert 0.1 < pt[pt > 0].min() < 0.15
    assert np.abs(eta).max() < 5.1  # the outermost cells
    assert np.abs(phi).max() <= np.pi
    assert not eta[pt == 0].any()
    assert not phi[pt == 0].any()


def test_every_event_passes_the_trigger(jets):
    pt = np.hypot(jets[:, 0, 1], jets[:, 0, 2])
    assert pt.min() > 1200
    assert np.abs(np.arcsinh(jets[:, 0, 3] / pt)).max() < 2.5


def test_signal_is_a_resonance_of_two_heavy_jets(table, jets):
    signal = table[2100].to_numpy() == 1
    heavy, light = (np.median(side(mass(jets[signal]), axis=1)) for side in (np.max, np.min))
    assert abs(heavy - 500) < 40
    assert abs(light - 100) < 15
    dijet = mass(jets.sum(axis=1))
    assert abs(np.median(dijet[signal]) - 3450) < 150
    assert np.median(dijet[~signal]) < 3200


def test_the_alternative_sample_is_background_of_another_shower(tmp_path):
    args = parser().parse_args(["lhco", "--jets", "12", "--alternative", "--out", str(tmp_path)])
    assert "alpha_s 0.12" in description(args)["stand_in"]
    produce(CARD, files(args), seed=1, workers=1)
    sample = pd.read_hdf(tmp_path / FILE_NAME)
    assert len(sample) == 12
    assert not sample[2100].any()
    nominal = parser().parse_args(["lhco", "--jets", "22", "--out", str(tmp_path)])
    assert "stand_in" not in description(nominal)
    assert files(nominal)[0].jets == (20, 2, 0)
