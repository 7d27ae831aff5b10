"""Quark/Gluon: the hardest jet beside an invisible Z, without a detector, in npz files.

P. Komiske, E. Metodiev, J. Thaler, arXiv:1810.05165 and doi:10.5281/zenodo.3164691 (there: Pythia
8.226): 14 TeV, anti-kT 0.4, 500-550 GeV, |y| < 1.7, no charm and no beauty.
"""

import argparse

import awkward as ak
import numpy as np
import pythia8mc

from simulation.detector import Objects, visible
from simulation.early import FIRST_OUTGOING, REACH, parton_can_give_jet
from simulation.generator import Events
from simulation.generator_card import GeneratorCard, Process
from simulation.plan import OutputFile, add_jets
from simulation.sample import jets_in_window, pt_eta_phi, wrap_jagged_phi
from simulation.truth import OUTGOING
from simulation.writers import npz, slots

RAPIDITY_MAX = 1.7
HEAVY_QUARKS = (4, 5)
INVISIBLE_Z = ("WeakZ0:gmZmode = 2", "23:onMode = off", "23:onIfAny = 12 14 16")
JETS_PER_FILE = 100_000
HIGHEST_SHARE = 1.15  # of the upper edge of the window; a jet of radius 0.4 loses some of its pT

PROCESSES = tuple(
    Process(name, ((setting, *INVISIBLE_Z),), rate, leading_only=True)
    for name, setting, rate in (
        ("gluon", "WeakBosonAndParton:qqbar2gmZg = on", 20),
        ("quark", "WeakBosonAndParton:qg2gmZq = on", 24),
    )
)
QUARK = 1


def light_events(events: Events, rng: np.random.Generator) -> Objects:
    """The visible particles of the events whose parton is neither charm nor beauty."""
    heavy = (events.status == OUTGOING) & np.isin(np.abs(events.pdg_id), HEAVY_QUARKS)
    objects = visible(events, rng)
    return objects[~np.isin(objects.event, events.event[heavy])]


def can_give_jet(
    card: GeneratorCard, process: Process, hard: pythia8mc.Event, event: pythia8mc.Event
) -> bool:
    """Whether the collision may give a jet, see `simulation.early`: of a light parton, in pT."""
    outgoing = map(hard.__getitem__, range(FIRST_OUTGOING, hard.size()))
    if any(parton.idAbs() in HEAVY_QUARKS for parton in outgoing):
        return False
    return parton_can_give_jet(card, event, REACH, HIGHEST_SHARE * card.pt_range[1])


def select(
    card: GeneratorCard, process: Process, events: Events, rng: np.random.Generator
) -> ak.Array:
    """The hardest jets in the window of pt and rapidity, with shuffled constituents."""
    jets = jets_in_window(card, process, events, rng)
    pz = ak.to_numpy(ak.sum(jets.constituents.pz, axis=1))
    jets = jets[np.abs(np.arctanh(pz / ak.to_numpy(jets.energy))) < RAPIDITY_MAX]
    size = ak.num(jets.constituents)
    order = ak.argsort(ak.unflatten(rng.random(ak.sum(size)), size))
    return ak.with_field(jets, jets.constituents[order], "constituents")


def columns(jets: ak.Array, split: str) -> dict[str, np.ndarray]:
    """X (jets, longest, 4) of pt, rapidity, phi within pi of the jet's, PDG id; y: 1 is quark."""
    part = jets.constituents
    pt, _, phi = pt_eta_phi(part)
    phi = jets.phi + wrap_jagged_phi(phi - jets.phi)
    fields = (pt, np.arctanh(part.pz / part.energy), phi, part.pdg_id)
    longest = int(ak.max(ak.num(part)))
    return {
        "X": np.stack([slots(values, longest).astype(np.float64) for values in fields], axis=-1),
        "y": ak.to_numpy(jets.process == QUARK).astype(np.int64),
    }


CARD = GeneratorCard(
    name="qg",
    # with 450, a tenth of the quark jets would be missed
    settings=("Beams:eCM = 14000.", "PhaseSpace:pTHatMin = 400."),
    processes=PROCESSES,
    jet_radius=0.4,
    pt_range=(500.0, 550.0),
    eta_max=RAPIDITY_MAX + 0.3,  # pseudorapidity exceeds rapidity
    chunk_size=200,
    columns=columns,
    writer=npz,
    select=select,
    objects=light_events,
    can_give_jet=can_give_jet,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    add_jets(parser, "jets, half of them quarks; preprocessing shares them among the splits")


def files(args: argparse.Namespace) -> list[OutputFile]:
    """Files of 100k jets, numbered as the public ones; an odd jet is a gluon."""
    result = []
    for number, start in enumerate(range(0, args.jets, JETS_PER_FILE)):
        count = min(JETS_PER_FILE, args.jets - start)
        path = args.out / (f"QG_jets_{number}.npz" if number else "QG_jets.npz")
        result.append(OutputFile(path, "train", (count - count // 2, count // 2)))
    return result
