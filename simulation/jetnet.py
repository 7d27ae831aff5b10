"""JetNet: jets of about 1 TeV without a detector, one HDF5 file per class, relative constituents.

R. Kansal et al., arXiv:2106.11535; doi:10.5281/zenodo.6975118 (30 constituents) and
doi:10.5281/zenodo.6975117 (150). There: MadGraph and Pythia 8.
"""

import argparse
from functools import partial

import awkward as ak
import numpy as np

from omnilearn.kinematics import invariant_mass
from simulation.detector import visible
from simulation.generator_card import TOP_PAIR, W_TO_QUARKS, Z_TO_QUARKS, GeneratorCard, Process
from simulation.plan import OutputFile, add_jets, one_process
from simulation.sample import four_momenta, jets_in_window, pt_eta_phi, wrap_jagged_phi
from simulation.writers import hdf5, slots


def produced(name: str, rate: float, *settings: str) -> Process:
    return Process(name, (settings,), rate)


PROCESSES = (
    produced("g", 168, "HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    produced(
        "q", 237, "HardQCD:qq2qq = on", "HardQCD:gg2qqbar = on", "HardQCD:qqbar2qqbarNew = on"
    ),
    produced("t", 241, *TOP_PAIR, *W_TO_QUARKS),
    produced("w", 317, "WeakDoubleBoson:ffbar2WW = on", *W_TO_QUARKS),
    produced("z", 341, "WeakDoubleBoson:ffbar2gmZgmZ = on", *Z_TO_QUARKS),
)


def columns(jets: ak.Array, split: str, num_slots: int) -> dict[str, np.ndarray]:
    """A chunk: constituents (jets, num_slots, 4) relative to their jet, jets (jets, 4)."""
    pt, eta, phi = pt_eta_phi(jets.constituents)
    relative = (eta - jets.eta, wrap_jagged_phi(phi - jets.phi), pt / jets.pt, ak.ones_like(pt))
    momenta = four_momenta(jets)
    multiplicity = np.minimum(ak.to_numpy(ak.num(pt)), num_slots)
    per_jet = (momenta[:, 0], momenta[:, 1], invariant_mass(momenta), multiplicity)
    return {
        "particle_features": np.stack(
            [slots(values, num_slots) for values in relative], axis=-1
        ).astype(np.float32),
        "jet_features": np.stack(per_jet, axis=-1).astype(np.float32),
    }


def card(name: str, num_slots: int) -> GeneratorCard:
    """The card of the set with `num_slots` constituents per jet."""
    return GeneratorCard(
        name=name,
        settings=(
            "Beams:eCM = 13000.",
            # the window of the public partons
            "PhaseSpace:pTHatMin = 1000.",
            "PhaseSpace:pTHatMax = 1020.",
        ),
        processes=PROCESSES,
        jet_radius=0.4,
        pt_range=(800.0, 1600.0),
        eta_max=2.5,
        chunk_size=250,
        columns=partial(columns, num_slots=num_slots),
        writer=hdf5,
        select=jets_in_window,
        objects=visible,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only these datasets have."""
    explanation = "jets of all five classes; preprocessing shares them among train, val and test"
    add_jets(parser, explanation, lowest=len(PROCESSES))


def files(args: argparse.Namespace, suffix: str) -> list[OutputFile]:
    """One file per class, with N // 5 jets or one more."""
    result = []
    for index, process in enumerate(PROCESSES):
        count = (args.jets + len(PROCESSES) - 1 - index) // len(PROCESSES)
        path = args.out / f"{process.name}{suffix}.hdf5"
        result.append(OutputFile(path, "train", one_process(index, count, PROCESSES)))
    return result
