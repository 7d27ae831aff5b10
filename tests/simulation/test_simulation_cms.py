"""The simulated MOD files: read with EnergyFlow, matched partons, weights of slices."""

import argparse
from collections import defaultdict
from dataclasses import replace

import awkward as ak
import h5py
import numpy as np
import pytest
from energyflow.datasets.mod import MODDataset
from small_samples import converted, simulated, without_mpi

from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import delta_phi, from_cartesian, from_rapidity, to_cartesian
from preprocessing import cms as reader
from simulation import cms
from simulation.detector import RESPONSE
from simulation.generator import Generator
from simulation.sample import jets_in_window

JETS = 16  # of each slice
CLEAN = without_mpi(cms.CARD, chunk_size=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulated(cms, tmp_path_factory.mktemp("cms"), CLEAN, jets=JETS * len(cms.SLICES))


@pytest.fixture(scope="module")
def slices(folder):
    """In order of rising parton pt."""
    return [
        MODDataset(str(folder / f"SIM{pt}_Jet300_pT375-infGeV_0_compressed.h5"))
        for pt in cms.SLICES
    ]


def test_energyflow_reads_the_files_with_the_public_columns(slices):
    for dataset in slices:
        assert len(dataset) == JETS
        assert {dataset.jets_i.dtype, dataset.jets_f.dtype} == {np.dtype("i8"), np.dtype("f8")}
        assert dataset.jets_i_cols.tolist() == list(cms.COLUMNS["jets_i"])
        assert dataset.jets_f_cols.tolist() == list(cms.COLUMNS["jets_f"])
        assert dataset.pfcs_cols.tolist() == list(cms.COLUMNS["pfcs"])
        assert all(len(particles) > 3 for particles in dataset.pfcs)


def test_columns_are_those_that_preprocessing_expects():
    assert cms.COLUMNS == reader.COLUMNS


def test_corrected_jets_lie_above_the_threshold_and_rise_with_the_slice(slices):
    for dataset in slices:
        assert dataset.corr_jet_pts.min() > 375
        assert np.abs(dataset.jet_etas).max() < 1.9
    medians = [np.median(dataset.corr_jet_pts) for dataset in slices]
    assert (np.diff(medians) > 0).all()
    # the response is that of the detector
    matched = [(dataset.jet_pts / dataset.hard_pts)[dataset.hard_pids != 0] for dataset in slices]
    assert abs(np.median(np.concatenate(matched)) - RESPONSE) < 0.06


def test_a_jet_is_the_sum_of_its_particles(slices):
    for dataset in slices:
        for jet, particles in zip(dataset.jets_f, dataset.pfcs, strict=True):
            momenta = to_cartesian(from_rapidity(*particles[:, :4].T))
            ours = from_cartesian(momenta.sum(axis=0))
            np.testing.assert_allclose(ours[:2], jet[[dataset.jet_pt, dataset.jet_eta]], rtol=1e-6)
            assert abs(delta_phi(ours[2], jet[dataset.jet_phi])) < 1e-6


def test_partons_are_near_their_jets_and_gluons_make_more_particles(slices):
    parton, multiplicity, weights = [], [], []
    for dataset in slices:
        near = dataset.hard_pids != 0
        distance = np.hypot(
            dataset.hard_ys - dataset.jet_ys, delta_phi(dataset.hard_phis, dataset.jet_phis)
        )
        assert distance[near].max() < 0.55
        assert (dataset.hard_pts[~near] == -1).all()
        parton.extend(np.abs(dataset.hard_pids))
        multiplicity.extend(map(len, dataset.pfcs))
        weights.append(dataset.weights[0])
        assert len(set(dataset.weights)) == 1
    parton, multiplicity = np.array(parton), np.array(multiplicity)
    assert set(parton) <= {0, 1, 2, 3, 4, 5, 21}
    assert (parton != 0).mean() > 0.9
    gluon, quark = parton == 21, np.isin(parton, (1, 2, 3))
    assert multiplicity[gluon].mean() > multiplicity[quark].mean() + 5
    assert (np.diff(weights) < 0).all()


def test_the_two_hardest_jets_of_an_event_are_taken():
    process = cms.PROCESSES[3]
    card = replace(CLEAN, pt_range=(50.0, 3500.0))  # so that some events have a third jet
    events = Generator((*card.settings, *process.variants[0]), seed=1).events(25)
    all_jets, selected = (
        by_event(select(card, process, events, np.random.default_rng(2)))
        for select in (jets_in_window, cms.select)
    )
    assert max(map(len, all_jets.values())) > 2
    assert selected == {event: pts[:2] for event, pts in all_jets.items()}


def by_event(jets: ak.Array) -> dict[int, list[float]]:
    """Falling pt of the jets of each event."""
    pts = defaultdict(list)
    for event, pt in zip(ak.firsts(jets.constituents.event), jets.pt, strict=True):
        pts[event].append(pt)
    return {event: sorted(values, reverse=True) for event, values in pts.items()}


def test_jets_are_shared_among_the_slices(tmp_path):
    planned = cms.files(argparse.Namespace(out=tmp_path, jets=9))
    assert [sum(file.jets) for file in planned] == [2, 2, 1, 1, 1, 1, 1]
    assert len(cms.files(argparse.Namespace(out=tmp_path, jets=2))) == 2
    assert all(reader.FILE_NAME.fullmatch(file.path.name) for file in planned)


def test_converted_jets_are_those_of_the_sample(folder, slices, tmp_path):
    splits = converted("cms", folder, tmp_path).values()
    assert all((arrays["jet"][:, 0] > 375).all() for arrays in splits)
    for path in (tmp_path / "cms").rglob("*.h5"):
        with h5py.File(path) as file:
            assert len(attributes(file)["sources"]) == len(cms.SLICES)
    parton = np.abs(np.concatenate([dataset.hard_pids for dataset in slices]))
    quarks, gluons = np.isin(parton, (1, 2, 3)).sum(), (parton == 21).sum()
    assert sum(arrays["pid"].sum(axis=0) for arrays in splits).tolist() == [gluons, quarks]
