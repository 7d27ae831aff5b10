"""CMS 2011A: the two hardest jets of QCD events at 7 TeV, in MOD HDF5 files by slices of parton pt.

P. Komiske, R. Mastandrea, E. Metodiev, P. Naik, J. Thaler, arXiv:1908.08542 (there: Pythia 6,
Geant4, pile-up). Left out are generated jets, their particles, and the slice of 170-300 GeV, in
which jets above 375 GeV are too rare.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.kinematics import delta_phi, from_cartesian, invariant_mass, to_rapidity
from simulation.detector import NEUTRAL_HADRON, PHOTON, RESPONSE
from simulation.generator import Events
from simulation.generator_card import LONG_LIVED, GeneratorCard, Process
from simulation.plan import OutputFile, add_jets, one_process
from simulation.sample import four_momenta, jets_in_window
from simulation.truth import OUTGOING, direction
from simulation.writers import HDF5Writer, hdf5

COLUMNS = {
    "jets_i": ("fn", "rn", "lbn", "evn", "npv", "quality", "hard_pid"),
    "jets_f": (
        "jet_pt",
        "jet_y",
        "jet_phi",
        "jet_m",
        "jet_eta",
        "jec",
        "jet_area",
        "jet_max_nef",
        "gen_jet_pt",
        "gen_jet_y",
        "gen_jet_phi",
        "gen_jet_m",
        "gen_jet_eta",
        "hard_pt",
        "hard_y",
        "hard_phi",
        "weight",
    ),
    "pfcs": ("pt", "y", "phi", "m", "pid", "vertex"),
}
TIGHT = 3  # the best quality
NONE = -1.0  # quantities of a missing parton or generated jet

# lowest parton pt [GeV] of a slice -> the cross section of its jets in the public files [nb]; with
# as many jets in each slice that is the weight of a jet
SLICES = {
    300: 0.4662384,
    470: 0.1277784,
    600: 0.03037146,
    800: 0.003674906,
    1000: 0.0006637469,
    1400: 2.174157e-05,
    1800: 7.148912e-07,
}
EDGES = (*SLICES, None)

PROCESSES = tuple(
    Process(
        f"SIM{low}",
        (
            (
                "HardQCD:all = on",
                f"PhaseSpace:pTHatMin = {low}.",
                *([f"PhaseSpace:pTHatMax = {high}."] if high else []),
            ),
        ),
        jets_per_second=55,
    )
    for low, high in zip(SLICES, EDGES[1:], strict=True)
)


def select(
    card: GeneratorCard, process: Process, events: Events, rng: np.random.Generator
) -> ak.Array:
    """The two hardest jets of each event that lie in the window, with the parton of each.

    Fields besides those of `jets_in_window`: parton_{pdg_id, pt, y, phi}, the outgoing parton
    nearest to the jet; 0 and -1 where none lies within the radius.
    """
    jets = jets_in_window(card, process, events, rng)
    event = ak.to_numpy(ak.firsts(jets.constituents.event)).astype(np.int64)
    order = np.lexsort((-ak.to_numpy(jets.pt), event))
    jets, event = jets[order], event[order]
    two_hardest = np.arange(len(event)) - np.searchsorted(event, event) < 2
    jets, event = jets[two_hardest], event[two_hardest]

    partons = np.flatnonzero(events.status == OUTGOING).reshape(events.count, 2)[event]
    _, eta, phi = direction(events, partons)  # (jets, 2)
    distance = np.hypot(
        eta - ak.to_numpy(jets.eta)[:, None], delta_phi(phi, ak.to_numpy(jets.phi)[:, None])
    )
    nearest = np.arange(len(event)), distance.argmin(axis=1)
    parton, matched = partons[nearest], distance[nearest] < card.jet_radius
    momentum = np.stack([getattr(events, name)[parton] for name in ("px", "py", "pz", "energy")], 1)
    pt, y, phi, _ = to_rapidity(from_cartesian(momentum)).T
    parton_fields = {
        "pdg_id": np.where(matched, events.pdg_id[parton], 0),
        "pt": np.where(matched, pt, NONE),
        "y": np.where(matched, y, NONE),
        "phi": np.where(matched, phi % (2 * np.pi), NONE),
    }
    for name, values in parton_fields.items():
        jets = ak.with_field(jets, values, f"parton_{name}")
    return jets


def columns(jets: ak.Array, split: str) -> dict[str, np.ndarray]:
    """The tables of a chunk, and the particles of each jet (jets,) as `counts`."""
    part, size = ak.flatten(jets.constituents), ak.num(jets.constituents)
    momenta = np.stack([ak.to_numpy(part[name]) for name in ("px", "py", "pz", "energy")], axis=-1)
    pt, y, phi, mass = to_rapidity(from_cartesian(momenta)).T
    pdg_id = ak.to_numpy(part.pdg_id)
    particles = [pt, y, phi % (2 * np.pi), mass, pdg_id, np.zeros(len(part))]

    jet = four_momenta(jets)
    jet_pt, jet_y, jet_phi, _ = to_rapidity(jet).T
    fractions = [
        ak.to_numpy(ak.sum(jets.constituents.energy[jets.constituents.kind == kind], axis=1))
        for kind in (NEUTRAL_HADRON, PHOTON)
    ]
    weights = np.array(list(SLICES.values()))
    filled = np.ones(len(jets))
    floats = [
        jet_pt,
        jet_y,
        jet_phi % (2 * np.pi),
        invariant_mass(jet),
        jet[:, 1],
        filled / RESPONSE,
        np.pi * CARD.jet_radius**2 * filled,
        np.max(fractions, axis=0) / jet[:, 3],
        *[NONE * filled] * 5,
        *(ak.to_numpy(jets[f"parton_{name}"]) for name in ("pt", "y", "phi")),
        weights[ak.to_numpy(jets.process)],
    ]
    zero = np.zeros(len(jets), np.int64)
    integers = [zero, zero, zero, zero, zero + 1, zero + TIGHT, ak.to_numpy(jets.parton_pdg_id)]
    return {
        "jets_i": np.stack(integers, axis=-1).astype(np.int64),
        "jets_f": np.stack(floats, axis=-1),
        "pfcs": np.stack(particles, axis=-1).astype(np.float64),
        "counts": ak.to_numpy(size),
    }


class ModWriter:
    """The tables of an open file, and the index of the first particle of each jet."""

    def __init__(self, content: HDF5Writer):
        self.content = content
        self.content.append({"pfcs_index": np.zeros(1, np.uint32)})

    def append(self, chunk: dict[str, np.ndarray]) -> None:
        ends = self.content.file["pfcs_index"][-1] + np.cumsum(chunk["counts"])
        tables = {key: chunk[key] for key in COLUMNS}
        self.content.append({**tables, "pfcs_index": ends.astype(np.uint32)})


@contextmanager
def writer(path: Path) -> Iterator[ModWriter]:
    """A new file, with the names of the columns in the attribute `cols` of each table."""
    with hdf5(path) as content:
        yield ModWriter(content)
        for key, names in COLUMNS.items():
            content.file[key].attrs["cols"] = np.array(names, "S")
        content.file["filenames"] = np.array([[path.name, "simulated"]], "S")


CARD = GeneratorCard(
    name="cms",
    settings=("Beams:eCM = 7000.", *LONG_LIVED),
    processes=PROCESSES,
    jet_radius=0.5,
    pt_range=(RESPONSE * 375.0, 3500.0),
    eta_max=1.9,
    chunk_size=400,
    columns=columns,
    writer=writer,
    select=select,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    add_jets(
        parser,
        f"jets of all {len(SLICES)} slices in equal parts; preprocessing shares them among the "
        "splits",
    )


def files(args: argparse.Namespace) -> list[OutputFile]:
    """One file per slice, named as its first public one; the first slices take the remainder.

    Slices without a jet get no file.
    """
    share, rest = divmod(args.jets, len(PROCESSES))
    result = []
    for index, process in enumerate(PROCESSES):
        if count := share + (index < rest):
            path = args.out / f"{process.name}_Jet300_pT375-infGeV_0_compressed.h5"
            result.append(OutputFile(path, "train", one_process(index, count, PROCESSES)))
    return result
