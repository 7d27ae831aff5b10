"""LHC Olympics R&D: QCD dijets and W' -> XY in one pandas table of events, as the public file.

G. Kasieczka et al., arXiv:2101.08320, and doi:10.5281/zenodo.6466204: 13 TeV, no multiple
interactions, a W' of 3.5 TeV to X (500 GeV) and Y (100 GeV), both to quarks; leading anti-kT 1.0
jet above 1.2 TeV. There the detector is the default card of Delphes; here it is the CMS-like one.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd

from omnilearn.clustering import cluster
from simulation.detector import pseudorapidity, reconstruct
from simulation.generator import Events
from simulation.generator_card import LONG_LIVED, GeneratorCard, Process
from simulation.plan import OutputFile, at_least
from simulation.sample import hardest_pt, pt_eta_phi, total_momentum
from simulation.writers import pandas_store, slots

SLOTS = 700
LOWEST_PT = 0.1  # GeV; the softest of the first 1000 public events has 0.098
SIGNAL = 1  # position among the processes
SIGNAL_SHARE = 11  # one event in so many is signal: 100 000 of 1 100 000
FILE_NAME = "events_anomalydetection_v2.h5"
KEY = "df"

# with 1050 GeV, a tenth of the background events would be missed
BACKGROUND = ("HardQCD:all = on", "PhaseSpace:pTHatMin = 900.")
ALTERNATIVE = (
    "the alternative background is Pythia 8 with alpha_s 0.12 in the final-state shower and Lund "
    "a 0.4; it takes the place of another generator"
)
PROCESSES = (
    Process("background", (BACKGROUND,), jets_per_second=75),
    Process(
        "signal",
        (
            (
                "NewGaugeBoson:ffbar2Wprime = on",
                "34:m0 = 3500.",
                "34:mWidth = 10.",
                "34:doForceWidth = on",
                "34:mMin = 3000.",
                "34:mMax = 4000.",
                "34:onMode = off",
                # X has the charge of the W', which decays to X and the neutral Y
                "9000001:all = Xp Xm 1 3 0 500. 2. 480. 520. 0.",
                "9000001:isResonance = on",
                "9000001:addChannel = 1 0.5 101 2 -1",
                "9000001:addChannel = 1 0.5 101 4 -3",
                "9000002:all = Y0 void 1 0 0 100. 1. 90. 110. 0.",
                "9000002:isResonance = on",
                *(f"9000002:addChannel = 1 0.25 101 {quark} -{quark}" for quark in range(1, 5)),
                "34:addChannel = 1 1.0 101 9000001 9000002",
            ),
        ),
        jets_per_second=300,
    ),
    Process(
        "alternative background",
        ((*BACKGROUND, "TimeShower:alphaSvalue = 0.12", "StringZ:aLund = 0.4"),),
        jets_per_second=75,
    ),
)


def triggered_events(
    card: GeneratorCard, process: Process, events: Events, rng: np.random.Generator
) -> ak.Array:
    """The objects of every event whose hardest jet passes the trigger, (events, var objects)."""
    objects = card.objects(events, rng).by_event(events.count)
    constituents, event = cluster(objects, card.jet_radius, card.pt_range[0])
    px, py, pz, _ = total_momentum(constituents)
    pt = np.hypot(px, py)
    is_hardest = pt == hardest_pt(pt, event, events.count)
    passed = is_hardest & (np.abs(pseudorapidity(pt, pz)) < card.eta_max)
    return ak.zip({"objects": objects[np.unique(event[passed])]}, depth_limit=1)


def columns(events: ak.Array, split: str) -> np.ndarray:
    """Rows (events, 2101): 700 times pt, eta, phi, falling pt, zero-padded, then the label."""
    objects = events.objects
    momenta = pt_eta_phi(objects)
    order = ak.argsort(momenta[0], ascending=False)
    particles = np.stack([slots(values[order], SLOTS) for values in momenta], axis=-1)
    particles = particles.reshape(len(events), -1)
    return np.column_stack([particles, ak.to_numpy(events.process) == SIGNAL])


@contextmanager
def writer(path: Path) -> Iterator[list[np.ndarray]]:
    """A new file, whose events are held in memory until the end, 17 kB each.

    The fixed format of pandas cannot grow.
    """
    chunks: list[np.ndarray] = []
    yield chunks
    frame = pd.DataFrame(np.concatenate(chunks))
    with pandas_store(path) as store:
        store.put(KEY, frame, format="fixed", track_times=False)


CARD = GeneratorCard(
    name="lhco",
    settings=("Beams:eCM = 13000.", "PartonLevel:MPI = off", *LONG_LIVED),
    processes=PROCESSES,
    jet_radius=1.0,
    pt_range=(1200.0, np.inf),
    eta_max=2.5,
    chunk_size=250,
    columns=columns,
    writer=writer,
    select=triggered_events,
    objects=partial(reconstruct, lowest_pt=LOWEST_PT),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    parser.add_argument(
        "--jets",
        dest="events",
        type=at_least(1),
        required=True,
        metavar="N",
        help=f"events of two jets, one in {SIGNAL_SHARE} of them signal",
    )
    parser.add_argument(
        "--alternative",
        action="store_true",
        help="background only, with less radiation and other fragmentation: the second simulation "
        "that finetune.py lhco --simulation takes",
    )


def stand_in(args: argparse.Namespace) -> str | None:
    """What takes the place of another generator, if anything does."""
    return ALTERNATIVE if args.alternative else None


def files(args: argparse.Namespace) -> list[OutputFile]:
    """One file of all events, background and signal mixed."""
    signal = args.events // SIGNAL_SHARE
    counts = (0, 0, args.events) if args.alternative else (args.events - signal, signal, 0)
    return [OutputFile(args.out / FILE_NAME, "train", counts)]
