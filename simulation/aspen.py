"""Aspen Open Jets: dijets in the HDF5 layout of CMS open data, two files as of two runs.

O. Amram et al., arXiv:2412.10504 and doi:10.25592/uhhfdm.16505: AK8 jets above 300 GeV of CMS data
of 2016. Here they are simulated without pile-up: every PUPPI weight is 1, jet energies need no
correction, ParticleNet did not see the jets (-1), and events are not numbered (run 1). Of the jet
triggers only the lowest of 2016 that recorded every event counts, one jet above 450 GeV: the other
jets of these events make the spectrum between 300 and 450 GeV.
"""

import argparse

import awkward as ak
import numpy as np

from omnilearn.clustering import softdrop_mass, subjettiness
from omnilearn.errors import UserError
from simulation import pfnano
from simulation.early import jet_in_sight
from simulation.generator_card import GeneratorCard, Process
from simulation.plan import OutputFile, at_least
from simulation.sample import jets_in_window
from simulation.writers import hdf5, slots

SLOTS = 150
CM = 0.1  # per mm
NO_TRACK = -1.0  # in place of the impact parameters of a particle without a track
PARTICLENET = 8  # scores and mass
RUNS = ("G", "H")

PROCESSES = (
    Process("data", (("HardQCD:all = on",),), resonance=0, leading_only=False, jets_per_second=50),
)


def columns(jets: ak.Array, split: str) -> dict[str, np.ndarray]:
    """A chunk of a file: candidates (jets, 150, 11), jets, tagging variables, event numbers."""
    part = jets.constituents
    tracks = [
        ak.where(part.charge != 0, CM * part[name], NO_TRACK)
        for name in ("d0", "d0_error", "dz", "dz_error")
    ]
    candidates = [
        part.px,
        part.py,
        part.pz,
        part.energy,
        *tracks,
        part.charge,
        part.pdg_id,
        ak.ones_like(part.px),
    ]
    groomed = softdrop_mass(part, RECIPE.jet_radius)
    kinematics = [*(ak.to_numpy(jets[name]) for name in ("pt", "eta", "phi")), groomed]
    tau = subjettiness(part, RECIPE.jet_radius)  # (jets, 4)
    unseen = np.full((len(jets), PARTICLENET), -1.0)
    tagging = np.column_stack([ak.to_numpy(ak.num(part)), tau, unseen])
    return {
        "event_info": np.tile(np.array([1, 0, 0]), (len(jets), 1)),  # run, lumi section, event
        "jet_kinematics": np.stack(kinematics, axis=-1).astype(np.float32),
        "jet_tagging": tagging.astype(np.float32),
        "PFCands": np.stack([slots(values, SLOTS) for values in candidates], axis=-1).astype(
            np.float32
        ),
    }


RECIPE = GeneratorCard(
    name="aspen",
    settings=(
        "Beams:eCM = 13000.",
        "ParticleDecays:limitTau0 = on",
        "ParticleDecays:tau0Max = 10.",
        # two thirds of the trigger's threshold: at 0.87 of a threshold every seventh jet is missed
        "PhaseSpace:pTHatMin = 300.",
    ),
    processes=PROCESSES,
    jet_radius=0.8,
    pt_range=(300.0, 6500.0),
    trigger_pt=450.0,
    eta_max=2.5,
    match_resonance=False,
    chunk_size=250,
    columns=columns,
    writer=hdf5,
    select=jets_in_window,
    in_sight=jet_in_sight,
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
        help="of --events: JetHT (default) for the data, others for their composition: "
        + ", ".join(process.name for process in pfnano.PROCESSES[1:]),
    )


def recipe(args: argparse.Namespace) -> GeneratorCard:
    """Jets in the public HDF5, or events in PFNano."""
    return pfnano.RECIPE if args.events else RECIPE


def files(args: argparse.Namespace) -> list[OutputFile]:
    """The first file of each run, with half of the jets; or a folder of PFNano per process.

    Raises UserError for --processes of jets.
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
