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
from simulation.generator_card import GeneratorCard, Process
from simulation.plan import OutputFile, at_least
from simulation.sample import hardest_pt

SLOTS = 700
LOWEST_PT = 0.1  # GeV; the softest of the first 1000 public events has 0.098
SIGNAL_SHARE = 11  # one event in so many is signal: 100 000 of 1 100 000
FILE_NAME = "events_anomalydetection_v2.h5"
KEY = "df"

PROCESSES = (
    # 1050 would miss a tenth of the background events
    Process(
        "background",
        (("HardQCD:all = on", "PhaseSpace:pTHatMin = 900."),),
        resonance=0,
        leading_only=True,
        jets_per_second=75,
    ),
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
                # X carries the charge of the W', so that it may decay to X and the neutral Y
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
        resonance=0,
        leading_only=True,
        jets_per_second=300,
    ),
)


def triggered_events(
    recipe: GeneratorCard, process: Process, events: Events, rng: np.random.Generator
) -> ak.Array:
    """The objects of every event whose hardest jet passes the trigger, (events, var objects)."""
    objects = recipe.objects(events, rng).by_event(events.count)
    constituents, event = cluster(objects, recipe.jet_radius, recipe.pt_range[0])
    px, py, pz = (ak.to_numpy(ak.sum(constituents[name], axis=1)) for name in ("px", "py", "pz"))
    pt = np.hypot(px, py)
    is_hardest = pt == hardest_pt(pt, event, events.count)
    passed = is_hardest & (np.abs(pseudorapidity(pt, pz)) < recipe.eta_max)
    kept = objects[np.unique(event[passed])]
    return ak.zip({"objects": kept}, depth_limit=1)


def columns(events: ak.Array, split: str) -> np.ndarray:
    """Rows (events, 2101): 700 times pt, eta, phi, falling pt, zero-padded, then the label."""
    del split  # one file holds all
    objects = events.objects
    pt = np.hypot(objects.px, objects.py)
    falling = ak.argsort(pt, ascending=False)

    def slots(values: ak.Array) -> np.ndarray:
        return ak.to_numpy(ak.fill_none(ak.pad_none(values[falling], SLOTS, clip=True), 0.0))

    momenta = [
        slots(pt),
        slots(np.arcsinh(objects.pz / pt)),
        slots(np.arctan2(objects.py, objects.px)),
    ]
    particles = np.stack(momenta, axis=-1).reshape(len(events), -1)
    return np.column_stack([particles, ak.to_numpy(events.process)])


class FrameWriter:
    """Rows of a frame, kept until all are there: the fixed format of pandas cannot grow."""

    def __init__(self):
        self.chunks: list[np.ndarray] = []

    def append(self, chunk: np.ndarray) -> None:
        self.chunks.append(chunk)


@contextmanager
def writer(path: Path) -> Iterator[FrameWriter]:
    """A new HDF store at `path`, compressed; its events are held in memory, 17 kB each.

    It is made in memory and then written at once: a full disk is an OSError that way.
    """
    frame = FrameWriter()
    yield frame
    with pd.HDFStore(
        path,
        mode="w",
        complevel=5,
        complib="blosc",
        driver="H5FD_CORE",
        driver_core_backing_store=0,
    ) as store:
        store.put(
            KEY, pd.DataFrame(np.concatenate(frame.chunks)), format="fixed", track_times=False
        )
        store.flush()
        path.write_bytes(store.root._v_file.get_file_image())


RECIPE = GeneratorCard(
    name="lhco",
    settings=(
        "Beams:eCM = 13000.",
        "PartonLevel:MPI = off",
        "ParticleDecays:limitTau0 = on",
        "ParticleDecays:tau0Max = 10.",
    ),
    processes=PROCESSES,
    jet_radius=1.0,
    pt_range=(1200.0, np.inf),
    eta_max=2.5,
    match_resonance=False,
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


def files(args: argparse.Namespace) -> list[OutputFile]:
    """One file of all events, background and signal mixed."""
    signal = args.events // SIGNAL_SHARE
    return [OutputFile(args.out / FILE_NAME, "train", (args.events - signal, signal))]
