"""H1 deep inelastic scattering: kT jets of neutral-current events in ROOT minitrees.

H1 Collaboration, arXiv:2303.13620; its files are not public. Positrons of 27.6 GeV on protons of
920 GeV. There Rapgap and Djangoh generate the events; here Pythia's dipole shower replaces Rapgap
and the antenna shower Vincia replaces Djangoh, whose colour dipoles it resembles. The detector is a
smearing with constants that are H1-like (Nucl. Instrum. Meth. A 386 (1997) 310) but ours.
"""

import argparse
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.clustering import cluster
from simulation.detector import Objects, log_normal, pseudorapidity, visible
from simulation.generator import Events
from simulation.generator_card import GeneratorCard, Process
from simulation.plan import OutputFile, add_jets, files_of_one_process
from simulation.sample import pt_eta_phi, total_momentum, wrap_jagged_phi
from simulation.truth import last_copy
from simulation.writers import TreeWriter, root_tree, typed

PROTON_ENERGY, POSITRON_ENERGY = 920.0, 27.6  # GeV; the proton flies towards positive z
POSITRON, OUTGOING = -11, 23  # PDG id; Pythia's |status| of a particle from the hard process
FOLDER, EVENTS_PER_FILE = "out_ep0607", 100_000
STAND_IN = "Pythia's dipole shower stands for Rapgap, the Vincia shower for Djangoh"
# cuts on the events of a tree, looser than those of the analyses
Q2_MIN, Y_RANGE, JET_PT_MIN = 120.0, (0.05, 0.9), 5.0

# the detector: tracks, else calorimeters of relative resolution sqrt(a^2 + b^2 / E)
ETA_RANGE, LOWEST_PT = (-2.0, 3.35), 0.2
TRACK_ETA_MAX, TRACK_EFFICIENCY = 1.75, 0.95
TRACK_CONSTANT, TRACK_SLOPE = 0.01, 0.005  # of pT, and per GeV of it
ELECTROMAGNETIC, HADRONIC = (0.01, 0.12), (0.02, 0.50)

PROCESSES = (
    Process("Django", (("PartonShowers:model = 2",),), jets_per_second=500),
    # with recoil against the whole event, not the dipole, a third more events pass the cuts
    Process(
        "Rapgap",
        (("SpaceShower:dipoleRecoil = on", "SpaceShower:pTmaxMatch = 2"),),
        jets_per_second=1500,
    ),
)


def calorimeter(energy: np.ndarray, constants: tuple[float, float]) -> np.ndarray:
    """Relative resolution of an energy [GeV]."""
    return np.sqrt(constants[0] ** 2 + constants[1] ** 2 / energy)


def smeared(events: Events, rng: np.random.Generator) -> Objects:
    """The measured final particles: energies are smeared, only tracks have a charge."""
    particles = visible(events, rng)
    pt = np.hypot(particles.px, particles.py)
    eta = pseudorapidity(pt, particles.pz)
    has_track = (particles.charge != 0) & (np.abs(eta) < TRACK_ETA_MAX)
    has_track &= rng.random(len(pt)) < TRACK_EFFICIENCY
    resolution = np.select(
        [has_track, np.isin(np.abs(particles.pdg_id), (11, 22))],
        [TRACK_CONSTANT + TRACK_SLOPE * pt, calorimeter(particles.energy, ELECTROMAGNETIC)],
        calorimeter(particles.energy, HADRONIC),
    )
    scale = log_normal(np.ones_like(pt), resolution, rng)
    measured = {name: getattr(particles, name) * scale for name in ("px", "py", "pz", "energy")}
    measured["charge"] = np.where(has_track, particles.charge, 0.0)
    accepted = (eta > ETA_RANGE[0]) & (eta < ETA_RANGE[1]) & (pt * scale > LOWEST_PT)
    return replace(particles, **measured)[accepted]


def scattering(
    card: GeneratorCard, process: Process, events: Events, rng: np.random.Generator
) -> ak.Array:
    """The events of a batch with a scattered positron and a jet in loose windows.

    Fields: Q2, y, ptmiss, Empz from the measured positron and all objects, and jets
    (events, var jets), falling pT, each with its constituents.
    """
    hard = (np.abs(events.status) == OUTGOING) & (events.pdg_id == POSITRON)
    positron = np.zeros(events.count, np.int64)
    positron[events.event[hard]] = np.flatnonzero(hard)
    positron = last_copy(events, positron)
    status = events.status.copy()
    status[positron] = -np.abs(status[positron])  # excluded from the jets
    objects = card.objects(replace(events, status=status), rng).by_event(events.count)

    scale = log_normal(
        np.ones(events.count), calorimeter(events.energy[positron], ELECTROMAGNETIC), rng
    )
    px, py, pz, energy = (
        getattr(events, name)[positron] * scale for name in ("px", "py", "pz", "energy")
    )
    q2 = 2 * POSITRON_ENERGY * (energy + pz)
    y = 1 - (energy - pz) / (2 * POSITRON_ENERGY)
    total = {name: ak.to_numpy(ak.sum(objects[name], axis=1)) for name in objects.fields}
    kinematics = {
        "Q2": q2,
        "y": y,
        "ptmiss": np.hypot(total["px"] + px, total["py"] + py),
        "Empz": total["energy"] - total["pz"] + energy - pz,
    }

    constituents, event = cluster(objects, card.jet_radius, card.pt_range[0], "kt")
    px, py, pz, energy = total_momentum(constituents)
    pt = np.hypot(px, py)
    jets = {
        "pt": pt,
        "eta": pseudorapidity(pt, pz),
        "phi": np.arctan2(py, px),
        "e": energy,
        "mass": np.sqrt(np.maximum(energy**2 - (pt**2 + pz**2), 0.0)),
        "constituents": constituents,
    }
    jets = ak.zip(jets, depth_limit=1)[np.lexsort((-pt, event))]
    count = np.bincount(event, minlength=events.count)
    selected = (q2 > Q2_MIN) & (y > Y_RANGE[0]) & (y < Y_RANGE[1]) & (count > 0)
    jets = ak.unflatten(jets, count)
    return ak.zip({**kinematics, "jets": jets}, depth_limit=1)[selected]


def columns(events: ak.Array, split: str) -> dict[str, ak.Array]:
    """The branches of the tree; the constituents of all jets of an event are one list."""
    jets, part = events.jets, events.jets.constituents
    pt, eta, phi = pt_eta_phi(part)
    relative = {  # (events, var jets, var constituents)
        "pt": pt / jets.pt,
        "eta": eta - jets.eta,
        "phi": phi - jets.phi,
        "e": part.energy / jets.e,
        "charge": part.charge,
    }
    relative = {name: ak.flatten(values, axis=2) for name, values in relative.items()}
    relative["phi"] = wrap_jagged_phi(relative["phi"])
    index = ak.broadcast_arrays(ak.local_index(jets.pt, axis=1), part.px)[0]

    kinematics = {name: events[name] for name in ("Q2", "y", "ptmiss", "Empz")}
    jet = {name: jets[name] for name in ("pt", "eta", "phi", "e", "mass")}
    index = ak.flatten(index, axis=2)
    return {
        **{name: ak.to_numpy(values) for name, values in typed(kinematics, np.float32).items()},
        "jet": ak.zip(typed(jet, np.float32)),
        "jet_part": ak.zip(typed(relative, np.float32) | typed({"idx": index}, np.int32)),
    }


def minitree(path: Path) -> AbstractContextManager[TreeWriter]:
    """A ROOT file with the tree of the generator in its name, as Rapgap/minitree."""
    name = next(process.name for process in PROCESSES if process.name in path.name)
    return root_tree(path, f"{name}/minitree")


CARD = GeneratorCard(
    name="h1",
    settings=(
        "Beams:frameType = 2",
        "Beams:idA = 2212",
        "Beams:idB = -11",
        f"Beams:eA = {PROTON_ENERGY}",
        f"Beams:eB = {POSITRON_ENERGY}",
        "WeakBosonExchange:ff2ff(t:gmZ) = on",
        f"PhaseSpace:Q2Min = {Q2_MIN}",
        "PDF:lepton = off",
        "TimeShower:QEDshowerByL = off",
    ),
    processes=PROCESSES,
    jet_radius=1.0,
    pt_range=(JET_PT_MIN, np.inf),
    eta_max=np.inf,
    chunk_size=2000,
    columns=columns,
    writer=minitree,
    select=scattering,
    objects=smeared,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    add_jets(
        parser,
        "events of each generator, before the cuts of preprocessing, which shares them among the "
        "splits",
    )


def stand_in(_: argparse.Namespace) -> str:
    """What takes the place of the public generators, for simulation.json."""
    return STAND_IN


def files(args: argparse.Namespace) -> list[OutputFile]:
    """Files of 100k events of one generator each."""
    return files_of_one_process(
        CARD,
        args.jets,
        EVENTS_PER_FILE,
        lambda process, number: args.out / FOLDER / f"{process}_Eplus0607_{number}.root",
    )
