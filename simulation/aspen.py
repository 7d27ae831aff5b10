"""Aspen Open Jets: dijets in the HDF5 layout of CMS open data, two files as of two runs.

O. Amram et al., arXiv:2412.10504 and doi:10.25592/uhhfdm.16505: AK8 jets above 300 GeV of CMS data
of 2016. Here they are simulated without pile-up: every PUPPI weight is 1, jet energies need no
correction, ParticleNet scores are -1, and events are not numbered (run 1). The trigger is the
lowest unprescaled one of 2016, a jet above 450 GeV: jets between 300 and 450 GeV are the other jets
of these events.
"""

import argparse

import awkward as ak
import numpy as np

from omnilearn.clustering import softdrop_mass, subjettiness
from omnilearn.errors import UserError
from simulation import pfnano
from simulation.early import can_give_jet
from simulation.generator_card import LONG_LIVED, GeneratorCard, Process
from simulation.plan import OutputFile, at_least
from simulation.sample import jets_in_window
from simulation.writers import hdf5, slots

SLOTS = 150
PARTICLENET = 8  # scores and mass
RUNS = ("G", "H")

PROCESSES = (Process("data", (("HardQCD:all = on",),), jets_per_second=50),)


def columns(jets: ak.Array, split: str) -> dict[str, np.ndarray]:
    """A chunk of a file: candidates (jets, 150, 11), jets, tagging variables, event numbers."""
    part = jets.constituents
    candidates = [
        *(part[name] for name in ("px", "py", "pz", "energy")),
        *pfnano.impact_parameters(part).values(),
        part.charge,
        part.pdg_id,
        ak.ones_like(part.px),
    ]
    groomed = softdrop_mass(part, CARD.jet_radius)
    kinematics = [*(ak.to_numpy(jets[name]) for name in ("pt", "eta", "phi")), groomed]
    tau = subjettiness(part, CARD.jet_radius)  # (jets, 4)
    particlenet = np.full((len(jets), PARTICLENET), -1.0)
    tagging = np.column_stack([ak.to_numpy(ak.num(part)), tau, particlenet])
    return {
        "event_info": np.tile(np.array([1, 0, 0]), (len(jets), 1)),  # run, lumi section, event
        "jet_kinematics": np.stack(kinematics, axis=-1).astype(np.float32),
        "jet_tagging": tagging.astype(np.float32),
        "PFCands": np.stack([slots(values, SLOTS) for values in candidates], axis=-1).astype(
            np.float32
        ),
    }


CARD = GeneratorCard(
    name="aspen",
    settings=(
        "Beams:eCM = 13000.",
        *LONG_LIVED,
        # two thirds of the trigger's threshold; at 0.87 of it, one jet of seven would be missed
        "PhaseSpace:pTHatMin = 300.",
    ),
    processes=PROCESSES,
    jet_radius=0.8,
    pt_range=(300.0, 6500.0),
    trigger_pt=450.0,
    eta_max=2.5,
    chunk_size=250,
    columns=columns,
    writer=hdf5,
    select=jets_in_window,
    can_give_jet=can_give_jet,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument(
        "--jets",
        type=at_least(1),
        metavar="N",
        help="jets of both files; preprocessing shares them among train, val and test",
    )
    size.add_argument(
        "--events",
        type=at_least(1),
        metavar="N",
        help="instead: N events in CMS's own format, PFNano, of each of the --processes",
    )
    parser.add_argument(
        "--processes",
        type=pfnano.processes,
        metavar="A,B",
        help="of --events: JetHT (default) for the data, others to study their composition: "
        + ", ".join(process.name for process in pfnano.PROCESSES[1:]),
    )


def card(args: argparse.Namespace) -> GeneratorCard:
    """The card of jets in the public HDF5, or of events in PFNano."""
    return pfnano.CARD if args.events else CARD


def files(args: argparse.Namespace) -> list[OutputFile]:
    """The first file of each run, with half of the jets; or a folder of PFNano per process.

    Raises UserError for --processes without --events.
    """
    if args.events:
        return pfnano.files(args.out, args.events, args.processes or [pfnano.DATA])
    if args.processes:
        raise UserError("--processes needs --events: the HDF5 files hold jets of data alone")
    counts = (args.jets - args.jets // 2, args.jets // 2)
    return [
        OutputFile(args.out / f"Run{run}_batch0.h5", "train", (count,))
        for run, count in zip(RUNS, counts, strict=True)
        if count
    ]
