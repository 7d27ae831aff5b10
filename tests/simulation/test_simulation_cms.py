"""The simulated MOD files: read by EnergyFlow itself, partons matched, slices weighted."""

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
from energyflow.datasets.mod import MODDataset

from omnilearn.data.catalogue import CMS
from omnilearn.data.reader import JetFiles
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import delta_phi, from_cartesian, from_rapidity, to_cartesian
from preprocessing import cms as reader
from preprocessing.__main__ import plan
from preprocessing.convert import convert
from simulation import cms
from simulation.detector import RESPONSE
from simulation.generator import Generator
from simulation.runner import produce
from simulation.sample import jets_in_window

JETS = 16  # of each slice
CLEAN = replace(cms.CARD, settings=(*cms.CARD.settings, "PartonLevel:MPI = off"), chunk_size=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cms")
    arguments = argparse.Namespace(out=out, jets=JETS * len(cms.SLICES))
    produce(CLEAN, cms.files(arguments), seed=1, workers=1)
    return out


@pytest.fixture(scope="module")
def slices(folder: Path) -> list[MODDataset]:
    """By rising parton pt."""
    return [
        MODDataset(str(folder / f"SIM{pt}_Jet300_pT375-infGeV_0_compressed.h5"))
        for pt in cms.SLICES
    ]


def test_energyflow_reads_the_files_with_the_public_columns(slices: list[MODDataset]) -> None:
    for found in slices:
        assert len(found) == JETS
        assert {found.jets_i.dtype, found.jets_f.dtype} == {np.dtype("i8"), np.dtype("f8")}
        assert found.jets_i_cols.tolist() == list(cms.COLUMNS["jets_i"])
        assert found.jets_f_cols.tolist() == list(cms.COLUMNS["jets_f"])
        assert found.pfcs_cols.tolist() == list(cms.COLUMNS["pfcs"])
        assert all(len(particles) > 3 for particles in found.pfcs)


def test_columns_are_those_that_preprocessing_expects() -> None:
    assert cms.COLUMNS == reader.COLUMNS


def test_corrected_jets_lie_above_the_threshold_and_rise_with_the_slice(
    slices: list[MODDataset],
) -> None:
    for found in slices:
        assert found.corr_jet_pts.min() > 375
        assert np.abs(found.jet_etas).max() < 1.9
    medians = [np.median(found.corr_jet_pts) for found in slices]
    assert (np.diff(medians) > 0).all()
    # the response is that of the detector
    matched = [(found.jet_pts / found.hard_pts)[found.hard_pids != 0] for found in slices]
    assert abs(np.median(np.concatenate(matched)) - RESPONSE) < 0.06


def test_a_jet_is_the_sum_of_its_particles(slices: list[MODDataset]) -> None:
    for found in slices:
        for jet, particles in zip(found.jets_f, found.pfcs, strict=True):
            momenta = to_cartesian(from_rapidity(*particles[:, :4].T))
            ours = from_cartesian(momenta.sum(axis=0))
            np.testing.assert_allclose(ours[:2], jet[[found.jet_pt, found.jet_eta]], rtol=1e-6)
            assert abs(delta_phi(ours[2], jet[found.jet_phi])) < 1e-6


def test_partons_are_near_their_jets_and_gluons_make_more_particles(
    slices: list[MODDataset],
) -> None:
    parton, multiplicity, weights = [], [], []
    for found in slices:
        near = found.hard_pids != 0
        distance = np.hypot(
            found.hard_ys - found.jet_ys, delta_phi(found.hard_phis, found.jet_phis)
        )
        assert distance[near].max() < 0.55
        assert (found.hard_pts[~near] == -1).all()
        parton.extend(np.abs(found.hard_pids))
        multiplicity.extend(map(len, found.pfcs))
        weights.append(found.weights[0])
        assert len(set(found.weights)) == 1
    parton, multiplicity = np.array(parton), np.array(multiplicity)
    assert set(parton) <= {0, 1, 2, 3, 4, 5, 21}
    assert (parton != 0).mean() > 0.9
    gluon, quark = parton == 21, np.isin(parton, (1, 2, 3))
    assert multiplicity[gluon].mean() > multiplicity[quark].mean() + 5
    assert (np.diff(weights) < 0).all()


def test_the_two_hardest_jets_of_an_event_are_taken() -> None:
    process = cms.PROCESSES[3]
    card = replace(CLEAN, pt_range=(50.0, 3500.0))  # so that third jets are found, too
    events = Generator((*card.settings, *process.variants[0]), seed=1).events(25)
    found, chosen = (
        by_event(choose(card, process, events, np.random.default_rng(2)))
        for choose in (jets_in_window, cms.select)
    )
    assert max(map(len, found.values())) > 2
    assert chosen == {event: pts[:2] for event, pts in found.items()}


def by_event(jets: ak.Array) -> dict[int, list[float]]:
    """Falling pt of the jets of each event."""
    pts = defaultdict(list)
    for event, pt in zip(ak.firsts(jets.constituents.event), jets.pt, strict=True):
        pts[event].append(pt)
    return {event: sorted(values, reverse=True) for event, values in pts.items()}


def test_jets_are_shared_among_the_slices(tmp_path: Path) -> None:
    planned = cms.files(argparse.Namespace(out=tmp_path, jets=9))
    assert [sum(file.jets) for file in planned] == [2, 2, 1, 1, 1, 1, 1]
    assert len(cms.files(argparse.Namespace(out=tmp_path, jets=2))) == 2
    assert all(reader.FILE_NAME.fullmatch(file.path.name) for file in planned)


def test_the_sample_goes_through_preprocessing_into_the_reader(
    folder: Path, slices: list[MODDataset], tmp_path: Path
) -> None:
    convert(plan("cms", reader.shards(folder), folder, tmp_path, seed=0), workers=1)
    parton = np.abs(np.concatenate([found.hard_pids for found in slices]))
    found = []
    for split in ("train", "val", "test"):
        path = tmp_path / f"cms/{split}/cms_{split}_000.h5"
        with JetFiles([path], CMS) as files:
            jets = files.read(0, files.num_jets)
            assert (jets["jet"][:, 0] > 375).all()
            found.extend(jets["pid"].argmax(axis=1))
        with h5py.File(path) as file:
            assert len(attributes(file)["sources"]) == len(cms.SLICES)
    quarks, gluons = np.isin(parton, (1, 2, 3)).sum(), (parton == 21).sum()
    assert np.bincount(found).tolist() == [gluons, quarks]
