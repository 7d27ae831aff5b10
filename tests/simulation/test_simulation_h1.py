"""Simulated DIS: the branches of a minitree, the scattered positron, two showers."""

import argparse
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot
from small_samples import converted, simulated

from preprocessing import h1 as reader
from simulation import h1
from simulation.detector import visible
from simulation.generator import Generator

EVENTS = 400
GENERATORS = ("Django", "Rapgap")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    card = replace(h1.CARD, chunk_size=300)
    return simulated(h1, tmp_path_factory.mktemp("h1"), card, jets=EVENTS)


@pytest.fixture(scope="module")
def trees(folder):
    return {
        name: uproot.open(folder / f"out_ep0607/{name}_Eplus0607_0.root")[
            f"{name}/minitree"
        ].arrays()
        for name in GENERATORS
    }


@pytest.fixture(params=GENERATORS)
def tree(request, trees):
    return trees[request.param]


def test_the_branches_are_those_of_a_minitree(tree):
    assert len(tree) == EVENTS
    assert set(tree.fields) == {*reader.BRANCHES, "jet_mass", "njet", "njet_part"}
    assert tree.Q2.type.content == ak.types.NumpyType("float32")
    assert tree.jet_part_idx.ndim == tree.jet_pt.ndim == 2


def test_events_lie_in_the_loose_windows(tree):
    assert ak.min(tree.Q2) > 120
    assert 0.05 < ak.min(tree.y) < ak.max(tree.y) < 0.9
    assert ak.min(ak.num(tree.jet_pt)) >= 1
    assert ak.min(tree.jet_pt) > 5
    # at a fixed s Q2 is x y s, and x is below 1
    assert ak.all(tree.Q2 / tree.y < 4 * 920 * 27.6)


def test_energy_and_momentum_are_balanced_but_for_the_detector(tree):
    # E - pz of the beams is twice the positron's energy; the proton has none
    assert np.median(tree.Empz) == pytest.approx(2 * 27.6, abs=2.0)
    assert np.median(tree.ptmiss) < 4


def test_the_first_jet_is_the_hardest_and_parts_add_up(tree):
    assert ak.all(tree.jet_pt[:, 1:] <= tree.jet_pt[:, :-1])
    assert ak.max(tree.jet_part_idx) < ak.max(ak.num(tree.jet_pt))
    for name in ("e", "pt"):
        fraction = tree[f"jet_part_{name}"]
        first = ak.sum(fraction[tree.jet_part_idx == 0], axis=1)
        # energies add up to 1; transverse momenta are a little more than their vector sum
        assert ak.min(first) > 1 - 1e-4
        assert ak.max(first) < {"e": 1 + 1e-4, "pt": 1.5}[name]
    assert ak.all(np.abs(tree.jet_part_phi) <= np.pi + 1e-6)
    assert set(ak.to_numpy(ak.flatten(tree.jet_part_charge))) == {-1, 0, 1}


def test_the_positron_is_measured_and_in_no_jet():
    generator = Generator((*h1.CARD.settings, *h1.PROCESSES[1].variants[0]), seed=3)
    events = generator.events(200)
    # with a perfect detector nothing but neutrinos is lost
    card = replace(h1.CARD, objects=visible)
    selected = h1.scattering(card, h1.PROCESSES[1], events, np.random.default_rng(1))
    assert len(selected) > 50
    assert np.median(selected.Empz) == pytest.approx(2 * 27.6, rel=0.01)
    positrons = ak.sum(ak.flatten(selected.jets.constituents.pdg_id == -11, axis=2), axis=1)
    assert np.mean(ak.to_numpy(positrons) > 0) < 0.2  # a few come from pi0 decays


def test_two_showers_agree_approximately(trees):
    means = {
        name: (np.mean(tree.jet_pt[:, 0]), np.mean(ak.sum(tree.jet_part_idx == 0, axis=1)))
        for name, tree in trees.items()
    }
    np.testing.assert_allclose(means["Django"], means["Rapgap"], rtol=0.15)
    assert means["Django"] != means["Rapgap"]


def test_the_banner_of_vincia_is_not_printed(capfd):
    Generator((*h1.CARD.settings, *h1.PROCESSES[0].variants[0]), seed=1)
    assert capfd.readouterr().out == ""


def test_large_samples_are_cut_into_files(tmp_path):
    files = h1.files(argparse.Namespace(out=tmp_path, jets=100_001))
    assert [(str(file.path.relative_to(tmp_path)), file.jets) for file in files] == [
        ("out_ep0607/Django_Eplus0607_0.root", (100_000, 0)),
        ("out_ep0607/Django_Eplus0607_1.root", (1, 0)),
        ("out_ep0607/Rapgap_Eplus0607_0.root", (0, 100_000)),
        ("out_ep0607/Rapgap_Eplus0607_1.root", (0, 1)),
    ]


def test_converted_jets_are_those_of_the_sample(folder, trees, tmp_path):
    splits = converted("h1", folder, tmp_path).values()
    assert all(np.isfinite(arrays["data"]).all() for arrays in splits)
    jet_pt = np.concatenate([arrays["jet"][:, 0] for arrays in splits])
    expected = []
    for tree in trees.values():
        pt, eta = ak.to_numpy(tree.jet_pt[:, 0]), ak.to_numpy(tree.jet_eta[:, 0])
        passed = (pt > 10) & (eta > -1.5) & (eta < 2.75) & (tree.Q2 > 150) & (tree.ptmiss < 10)
        passed = passed & (tree.y > 0.08) & (tree.y < 0.7) & (tree.Empz > 45) & (tree.Empz < 65)
        expected.extend(pt[ak.to_numpy(passed)])
    np.testing.assert_allclose(np.sort(jet_pt), np.sort(expected), rtol=1e-6)
    assert len(jet_pt) > EVENTS / 2
