"""CMS's own format PFNano, whole events: `python -m simulation aspen --events N`.

The branches are those that preprocessing and the composition of Aspen Open Jets read (O. Amram et
al., arXiv:2412.10504): all candidates, the AK8 jets above 170 GeV and the candidates of each,
filters of event quality and, for simulated processes, hard resonances with their decays. There is
no pile-up: every PUPPI weight is 1, jet energies need no correction. Events are not numbered.
"""

import argparse
from functools import partial
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.clustering import cluster, softdrop_mass, subjettiness
from omnilearn.kinematics import from_cartesian, invariant_mass
from simulation.generator import Events
from simulation.generator_card import (
    LONG_LIVED,
    TOP_PAIR,
    W_TO_QUARKS,
    Z_AND_PARTON,
    Z_TO_QUARKS,
    GeneratorCard,
    Process,
)
from simulation.plan import OutputFile, one_process
from simulation.sample import hardest_pt, pt_eta_phi, total_momentum
from simulation.truth import HEAVY, direction, last_copy, resonances
from simulation.writers import root_tree, typed

LOWEST_JET_PT = 170.0  # GeV, of AK8 jets in NanoAOD
CM = 0.1  # per mm
NO_TRACK = -1.0
TIGHT_LEPTON_VETO = 6
FILTERS = ("Flag_goodVertices", "Flag_BadPFMuonFilter")
W_AND_PARTON = ("WeakBosonAndParton:qqbar2Wg = on", "WeakBosonAndParton:qg2Wq = on")


def boosted(name: str, resonance: int, *settings: str) -> Process:
    return Process(name, (("PhaseSpace:pTHatMin = 300.", *settings),), 20, resonance)


# prefixes of data sets of CMS; `resonance` selects the generator's particles to write
PROCESSES = (
    boosted("JetHT", 0, "HardQCD:all = on"),
    boosted("QCD_Pt_300to470", 0, "HardQCD:all = on", "PhaseSpace:pTHatMax = 470."),
    boosted("TTToHadronic", 6, *TOP_PAIR, *W_TO_QUARKS),
    boosted("WJetsToQQ_HT-400to600", 24, *W_AND_PARTON, *W_TO_QUARKS),
    boosted("ZJetsToQQ_HT-400to600", 23, *Z_AND_PARTON, *Z_TO_QUARKS),
    boosted(
        "GluGluHToBB_Pt-200ToInf",
        25,
        "HiggsSM:gg2Hg(l:t) = on",
        "HiggsSM:qg2Hq(l:t) = on",
        "25:m0 = 125.",
        "25:onMode = off",
        "25:onIfMatch = 5 -5",
    ),
)
DATA = PROCESSES[0].name


def recorded_events(
    card: GeneratorCard, process: Process, events: Events, rng: np.random.Generator
) -> ak.Array:
    """The events that have a jet above the trigger (data: 450 GeV), (events,).

    Fields: objects; jets with pt, eta, phi, mass, msoftdrop, tau1 to tau4; links with the indices
    of jet and candidate within the event; particles of the generator.
    """
    objects = card.objects(events, rng).by_event(events.count)
    indexed = ak.with_field(objects, ak.local_index(objects.px), "index")
    constituents, event = cluster(indexed, card.jet_radius, LOWEST_JET_PT)
    momentum = from_cartesian(np.stack(total_momentum(constituents), axis=-1))
    pt, eta, phi, _ = momentum.T
    mass = invariant_mass(momentum)
    order = np.lexsort((-pt, event))
    constituents, event = constituents[order], event[order]
    pt, eta, phi, mass = pt[order], eta[order], phi[order], mass[order]
    tau = subjettiness(constituents, card.jet_radius)
    fields = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": mass,
        "msoftdrop": softdrop_mass(constituents, card.jet_radius),
        **{f"tau{n}": tau[:, n - 1] for n in (1, 2, 3, 4)},
    }
    jets_of = np.bincount(event, minlength=events.count)
    jets = ak.unflatten(ak.zip(fields), jets_of)
    size = ak.to_numpy(ak.num(constituents))
    index = np.arange(len(event)) - (np.cumsum(jets_of) - jets_of)[event]
    links = ak.zip({"jet": np.repeat(index, size), "candidate": ak.flatten(constituents.index)})
    links = ak.unflatten(links, np.bincount(event, size, events.count).astype(np.int64))
    threshold = card.trigger_pt if process.name == DATA else LOWEST_JET_PT
    recorded = np.unique(event[hardest_pt(pt, event, events.count) > threshold])
    record = {
        "objects": objects,
        "jets": jets,
        "links": links,
        "particles": generator_particles(events, process.resonance),
    }
    return ak.zip(record, depth_limit=1)[recorded]


def generator_particles(events: Events, pdg_id: int) -> ak.Array:
    """Hard resonances with this |PDG id| and their decays down to quarks, (events, var particles).

    Fields: pdgId, pt, eta, phi, genPartIdxMother (index in the list of the event, -1 for none).
    """
    parents, first = resonances(events, pdg_id), 0
    index, mother = [parents], [np.full(len(parents), -1)]
    while len(parents):
        heavy = np.isin(np.abs(events.pdg_id[parents]), HEAVY)
        rank = first + np.flatnonzero(heavy)
        copy = last_copy(events, parents[heavy])
        is_copy = copy != parents[heavy]  # the particle radiates before it decays
        decays = copy[~is_copy]
        children = np.concatenate(
            [copy[is_copy], events.daughter1[decays], events.daughter2[decays]]
        )
        first += len(parents)
        index.append(children)
        mother.append(np.concatenate([rank[is_copy], rank[~is_copy], rank[~is_copy]]))
        parents = children
    index, mother = np.concatenate(index), np.concatenate(mother)
    order = np.argsort(events.event[index], kind="stable")
    count = np.bincount(events.event[index], minlength=events.count)
    local = np.empty(len(order), np.int64)  # index of each particle in the list of its event
    local[order] = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    pt, eta, phi = direction(events, index)
    fields = {"pdgId": events.pdg_id[index], "pt": pt, "eta": eta, "phi": phi}
    fields["genPartIdxMother"] = np.where(mother >= 0, local[mother], -1)
    return ak.unflatten(ak.zip(fields)[order], count)


def impact_parameters(objects: ak.Array) -> dict[str, ak.Array]:
    """d0, d0Err, dz, dzErr [cm] of objects in any nesting; -1 without a track."""
    names = {"d0": "d0", "d0Err": "d0_error", "dz": "dz", "dzErr": "dz_error"}
    return {
        name: ak.where(objects.charge != 0, CM * objects[column], NO_TRACK)
        for name, column in names.items()
    }


def columns(events: ak.Array, split: str) -> dict[str, ak.Array]:
    """The branches of a chunk of events of one process."""
    part, count = events.objects, len(events)
    pt, eta, phi = pt_eta_phi(part)
    mass2 = part.energy**2 - pt**2 - part.pz**2
    candidates = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": np.sqrt(ak.where(mass2 > 0, mass2, 0.0)),
        "puppiWeight": ak.ones_like(pt),
        **impact_parameters(part),
    }
    integers = {"charge": part.charge, "pdgId": part.pdg_id}
    jets = {name: events.jets[name] for name in events.jets.fields}
    links = {"jetIdx": events.links.jet, "pFCandsIdx": events.links.candidate}
    flag = np.full(count, 1)
    branches = {
        "run": flag.astype(np.uint32),
        "luminosityBlock": np.zeros(count, np.uint32),
        "event": np.zeros(count, np.uint64),
        "PFCands": ak.zip(typed(candidates, np.float32) | typed(integers, np.int32)),
        "FatJet": ak.zip(
            typed(jets | {"rawFactor": ak.zeros_like(jets["pt"])}, np.float32)
            | typed({"jetId": ak.full_like(jets["pt"], TIGHT_LEPTON_VETO)}, np.int32)
        ),
        "FatJetPFCands": ak.zip(typed(links, np.int32)),
        **{name: flag.astype(bool) for name in FILTERS},
    }
    if PROCESSES[int(events.process[0])].name != DATA:
        particles = {name: events.particles[name] for name in events.particles.fields}
        integers = {name: particles[name] for name in ("pdgId", "genPartIdxMother")}
        branches["genWeight"] = flag.astype(np.float32)
        branches["GenPart"] = ak.zip(typed(particles, np.float32) | typed(integers, np.int32))
    return branches


CARD = GeneratorCard(
    name="pfnano",
    settings=("Beams:eCM = 13000.", *LONG_LIVED),
    processes=PROCESSES,
    jet_radius=0.8,
    pt_range=(LOWEST_JET_PT, 6500.0),
    trigger_pt=450.0,
    eta_max=np.inf,
    chunk_size=250,
    columns=columns,
    writer=partial(root_tree, name="Events"),
    unit="events",
    select=recorded_events,
)


def processes(text: str) -> list[str]:
    """Names of processes, comma-separated."""
    known = [process.name for process in PROCESSES]
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return names


def files(out: Path, events: int, names: list[str]) -> list[OutputFile]:
    """OUT/<process>/nano_1.root of each of the named processes, `events` in each."""
    return [
        OutputFile(
            out / process.name / "nano_1.root", "train", one_process(index, events, PROCESSES)
        )
        for index, process in enumerate(PROCESSES)
        if process.name in names
    ]
