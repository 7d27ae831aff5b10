"""Simulated PFNano: events in CMS's branches, links, generator particles; conversion."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from small_samples import without_mpi

from benchmarks import aspen_composition
from omnilearn.clustering import cluster
from omnilearn.errors import UserError
from omnilearn.kinematics import delta_phi
from preprocessing import aspen as reader
from preprocessing import pfnano as nano
from simulation import aspen, pfnano
from simulation.__main__ import parser
from simulation.runner import produce

EVENTS = 20
PROCESSES = "JetHT,TTToHadronic,GluGluHToBB_Pt-200ToInf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("pfnano")
    files = pfnano.files(out, EVENTS, PROCESSES.split(","))
    produce(without_mpi(pfnano.CARD), files, seed=1, workers=1)
    return out


def events_of(folder: Path, process: str) -> ak.Array:
    with uproot.open(folder / process / "nano_1.root") as file:
        return file["Events"].arrays()


def test_flags_choose_the_format_and_its_processes(tmp_path):
    command = ["aspen", "--out", str(tmp_path), "--events", "3"]
    args = parser().parse_args(command)
    assert aspen.card(args) is pfnano.CARD
    assert [str(file.path.relative_to(tmp_path)) for file in aspen.files(args)] == [
        "JetHT/nano_1.root"
    ]
    args = parser().parse_args([*command, "--processes", PROCESSES])
    assert [file.path.parent.name for file in aspen.files(args)] == PROCESSES.split(",")
    with pytest.raises(UserError, match="'ttbar' is none of JetHT"):
        parser().parse_args([*command, "--processes", "ttbar"])
    args = parser().parse_args(
        ["aspen", "--out", str(tmp_path), "--jets", "3", "--processes", "JetHT"]
    )
    with pytest.raises(UserError, match="--processes needs --events"):
        aspen.files(args)


def test_linked_candidates_are_those_of_a_clustering(folder):
    events = events_of(folder, "JetHT")
    assert len(events) == EVENTS
    pt, eta, phi = (events[f"PFCands_{name}"] for name in ("pt", "eta", "phi"))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + events.PFCands_mass**2)
    candidates = ak.zip(
        {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": energy}
    )
    constituents, event = cluster(candidates, 0.8, 171.0)
    for row, members in zip(event, constituents, strict=True):
        px, py = ak.sum(members.px), ak.sum(members.py)
        jets = np.hypot(
            *(
                ak.to_numpy(events[f"FatJet_{name}"][row]) - value
                for name, value in (("pt", np.hypot(px, py)), ("phi", np.arctan2(py, px)))
            )
        )
        nearest = int(np.argmin(jets))
        assert jets[nearest] < 0.1
        linked = events.FatJetPFCands_jetIdx[row] == nearest
        assert ak.sum(linked) == len(members)
        index = events.FatJetPFCands_pFCandsIdx[row][linked]
        assert ak.sum(candidates[row][index].px) == pytest.approx(px, abs=1e-2)


def test_data_pass_the_trigger_and_have_no_truth(folder):
    events = events_of(folder, "JetHT")
    assert ak.all(ak.max(events.FatJet_pt, axis=1) > 450)
    assert ak.all(events.FatJet_pt[:, :1] == ak.max(events.FatJet_pt, axis=1, keepdims=True))
    assert not [name for name in events.fields if name.lower().startswith("gen")]


@pytest.mark.parametrize(
    ("process", "resonance", "quarks"), [("TTToHadronic", 6, 6), ("GluGluHToBB_Pt-200ToInf", 25, 2)]
)
def test_resonances_decay_to_quarks_whose_mothers_are_named(folder, process, resonance, quarks):
    events = events_of(folder, process)
    particle, mother = np.abs(events.GenPart_pdgId), events.GenPart_genPartIdxMother
    assert ak.all(particle[mother < 0] == resonance)
    light = particle <= 5
    assert ak.all(ak.sum(light, axis=1) == quarks)
    parent = particle[mother[mother >= 0]]
    assert ak.all(parent > 5)  # quarks do not decay
    # a decay keeps the direction of a boosted parent
    child = mother >= 0
    distance = np.hypot(
        ak.flatten(events.GenPart_eta[child] - events.GenPart_eta[mother[child]]),
        delta_phi(
            ak.to_numpy(ak.flatten(events.GenPart_phi[child])),
            ak.to_numpy(ak.flatten(events.GenPart_phi[mother[child]])),
        ),
    )
    assert np.median(distance) < 0.8


def test_the_sample_is_read_as_cms_data(folder):
    path = folder / "JetHT" / "nano_1.root"
    events = events_of(folder, "JetHT")
    selected_pt = events.FatJet_pt[(events.FatJet_pt > 300) & (np.abs(events.FatJet_eta) < 2.5)]
    (chunk,) = reader.read(path)
    np.testing.assert_allclose(chunk.jet[:, 0], ak.to_numpy(ak.flatten(selected_pt)))
    assert reader.count(path) == ak.sum(ak.num(events.FatJet_pt))
    owner = np.repeat(np.arange(len(chunk.counts)), chunk.counts)
    pt, _, phi, _ = chunk.constituents.T
    px, py = (np.bincount(owner, pt * part(phi)) for part in (np.cos, np.sin))
    np.testing.assert_allclose(np.hypot(px, py), chunk.jet[:, 0], rtol=1e-4)


def test_jets_that_hold_a_higgs_decay_have_its_mass(folder):
    path = folder / "GluGluHToBB_Pt-200ToInf" / "nano_1.root"
    with nano.open_events(path) as (tree, names):
        events = tree.arrays()
        jets = nano.select(events, names, path, 0)
    inside = aspen_composition.holds_decay(jets, *aspen_composition.decays(events, 25, path, 0))
    mass = ak.to_numpy(ak.flatten(events.FatJet_mass))[jets.kept]
    assert 5 < inside.sum() < EVENTS  # one Higgs boson in an event, not all boosted enough
    assert 105 < np.median(mass[inside]) < 145
    assert np.median(mass[~inside]) < 90
