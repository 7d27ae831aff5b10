"""JetClass: ten classes of jets in ROOT files, one class per file, as the public files are.

H. Qu, C. Li, S. Qian, arXiv:2202.03772 and doi:10.5281/zenodo.6619768 (there: MadGraph, Pythia 8,
Delphes). The particle branches share one counter, `npart`, which the public files do not have.
"""

import argparse
from functools import partial

import awkward as ak
import numpy as np

from omnilearn.clustering import softdrop_mass, subjettiness
from simulation.detector import KINDS
from simulation.early import can_give_jet
from simulation.generator_card import (
    LONG_LIVED,
    QUARKS,
    TOP_PAIR,
    W_TO_QUARKS,
    Z_AND_PARTON,
    Z_TO_QUARKS,
    GeneratorCard,
    Process,
)
from simulation.plan import OutputFile, add_sizes, at_least, one_process, sizes
from simulation.sample import jets_in_window, pt_eta_phi, wrap_jagged_phi
from simulation.writers import root_tree, typed

# split -> folder, first file number
LAYOUT = {"train": ("train_100M", 0), "val": ("val_5M", 120), "test": ("test_20M", 100)}
PUBLIC_NAMES = {
    "QCD": "ZJetsToNuNu",
    "Hbb": "HToBB",
    "Hcc": "HToCC",
    "Hgg": "HToGG",
    "H4q": "HToWW4Q",
    "Hqql": "HToWW2Q1L",
    "Zqq": "ZToQQ",
    "Wqq": "WToQQ",
    "Tbqq": "TTBar",
    "Tbl": "TTBarLep",
}
LABEL_TYPES = {"QCD": np.float32} | dict.fromkeys(("Hbb", "Hcc", "Hgg", "H4q", "Hqql"), np.bool_)

INVISIBLE_Z = ("23:onMode = off", "23:onIfAny = 12 14 16")
Z_PLUS_JET = (*Z_AND_PARTON, "WeakZ0:gmZmode = 2", *INVISIBLE_Z)
HIGGS = ("HiggsSM:ffbar2HZ = on", "25:m0 = 125.", *INVISIBLE_Z, "25:onMode = off")
HIGGS_TO_WW = (*HIGGS, "25:onIfMatch = 24 -24", "24:onMode = off")


def resonant(name: str, resonance: int, rate: float, *variants: tuple[str, ...]) -> Process:
    return Process(name, variants, rate, resonance)


PROCESSES = (
    Process("QCD", (Z_PLUS_JET,), jets_per_second=82, leading_only=True),
    resonant("Hbb", 25, 82, (*HIGGS, "25:onIfMatch = 5 -5")),
    resonant("Hcc", 25, 85, (*HIGGS, "25:onIfMatch = 4 -4")),
    resonant("Hgg", 25, 91, (*HIGGS, "25:onIfMatch = 21 21")),
    resonant("H4q", 25, 97, (*HIGGS_TO_WW, f"24:onIfAny = {QUARKS}")),
    # two variants, so that leptons of both charges occur
    resonant(
        "Hqql",
        25,
        77,
        (*HIGGS_TO_WW, "24:onPosIfAny = 11 13", f"24:onNegIfAny = {QUARKS}"),
        (*HIGGS_TO_WW, "24:onNegIfAny = 11 13", f"24:onPosIfAny = {QUARKS}"),
    ),
    resonant("Zqq", 23, 141, ("WeakDoubleBoson:ffbar2gmZgmZ = on", *Z_TO_QUARKS)),
    resonant("Wqq", 24, 102, ("WeakDoubleBoson:ffbar2ZW = on", *INVISIBLE_Z, *W_TO_QUARKS)),
    resonant("Tbqq", 6, 71, (*TOP_PAIR, *W_TO_QUARKS)),
    resonant("Tbl", 6, 59, (*TOP_PAIR, "24:onMode = off", "24:onIfAny = 11 13")),
)


def columns(jets: ak.Array, split: str) -> dict[str, ak.Array]:
    """The branches of a chunk of jets, in the public order and types."""
    part = jets.constituents
    _, eta, phi = pt_eta_phi(part)
    floats = {
        "px": part.px,
        "py": part.py,
        "pz": part.pz,
        "energy": part.energy,
        "deta": np.sign(jets.eta) * (eta - jets.eta),
        "dphi": wrap_jagged_phi(phi - jets.phi),
        "d0val": part.d0,
        "d0err": part.d0_error,
        "dzval": part.dz,
        "dzerr": part.dz_error,
        "charge": part.charge,
    }
    flags = {f"is{name}": part.kind == kind for kind, name in enumerate(KINDS)}
    branches = typed(floats, np.float32) | typed(flags, np.int32)
    labels = {
        f"label_{process.name}": ak.to_numpy(jets.process == index).astype(
            LABEL_TYPES.get(process.name, np.int32)
        )
        for index, process in enumerate(PROCESSES)
    }
    tau = subjettiness(part, CARD.jet_radius)
    per_jet = {
        "jet_pt": jets.pt,
        "jet_eta": jets.eta,
        "jet_phi": jets.phi,
        "jet_energy": jets.energy,
        "jet_nparticles": ak.num(part),
        "jet_sdmass": softdrop_mass(part, CARD.jet_radius),
        **{f"jet_tau{n}": tau[:, n - 1] for n in (1, 2, 3, 4)},
        "aux_genpart_eta": jets.truth_eta,
        "aux_genpart_phi": jets.truth_phi,
        "aux_genpart_pid": jets.truth_pdg_id,
        "aux_genpart_pt": jets.truth_pt,
        "aux_truth_match": jets.matched,
    }
    per_jet = {name: ak.to_numpy(values).astype(np.float32) for name, values in per_jet.items()}
    return {"part": ak.zip(branches), **labels, **per_jet}


CARD = GeneratorCard(
    name="jetclass",
    settings=(
        "Beams:eCM = 13000.",
        *LONG_LIVED,
        # at most a percent of the jets above 500 GeV is missed
        "PhaseSpace:pTHatMin = 400.",
        "PhaseSpace:pTHatMax = 1100.",
    ),
    processes=PROCESSES,
    jet_radius=0.8,
    pt_range=(500.0, 1000.0),
    eta_max=2.0,
    chunk_size=1000,  # starting Pythia costs as much as fifty jets
    columns=columns,
    writer=partial(root_tree, name="tree"),
    select=jets_in_window,
    can_give_jet=can_give_jet,
)


def classes(text: str) -> list[str]:
    """Names of classes, comma-separated."""
    names = text.split(",")
    if unknown := [name for name in names if name not in PUBLIC_NAMES]:
        known = ",".join(PUBLIC_NAMES)
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no class of JetClass; known: {known}")
    return names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    add_sizes(parser, "jets-per-class", " of each class", share=10)
    names = ",".join(PUBLIC_NAMES)
    parser.add_argument(
        "--classes",
        type=classes,
        default=list(PUBLIC_NAMES),
        metavar="A,B",
        help=f"only these of {names} (default: all ten)",
    )
    parser.add_argument(
        "--jets-per-file",
        type=at_least(1),
        default=100_000,
        metavar="N",
        help="a larger class is written to several files (default: 100000, as the public files)",
    )


def files(args: argparse.Namespace) -> list[OutputFile]:
    """The files of the sample, named and numbered as the public ones."""
    result = []
    for split, total in sizes(args).items():
        folder, first_number = LAYOUT[split]
        for index, process in enumerate(PROCESSES):
            if process.name not in args.classes:
                continue
            for number, start in enumerate(range(0, total, args.jets_per_file), first_number):
                jets = one_process(index, min(args.jets_per_file, total - start), PROCESSES)
                path = args.out / folder / f"{PUBLIC_NAMES[process.name]}_{number:03d}.root"
                result.append(OutputFile(path, split, jets))
    return result
