"""Top tagging landscape: tops and QCD jets in one pandas HDF table per split, as the public files.

G. Kasieczka, T. Plehn et al., arXiv:1902.09914 and doi:10.5281/zenodo.2603256: 14 TeV, no multiple
interactions, leading anti-kT 0.8 jets; tops with all decay quarks inside. There the detector is the
ATLAS card of Delphes; here it is the CMS-like one.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd

from simulation.early import can_give_jet
from simulation.generator_card import LONG_LIVED, TOP_PAIR, W_TO_QUARKS, GeneratorCard, Process
from simulation.plan import OutputFile, add_sizes, sizes
from simulation.sample import jets_in_window
from simulation.writers import pandas_store, slots

SLOTS = 200
MOMENTUM = ("E", "PX", "PY", "PZ")
COLUMNS = (
    *(f"{name}_{slot}" for slot in range(SLOTS) for name in MOMENTUM),
    *(f"truth{name}" for name in MOMENTUM),
)
SPLIT_NUMBER = {"train": 0, "test": 1, "val": 2}  # column ttv

PROCESSES = (
    Process("QCD", (("HardQCD:all = on",),), jets_per_second=100, leading_only=True),
    Process(
        "top", ((*TOP_PAIR, *W_TO_QUARKS),), jets_per_second=80, resonance=6, leading_only=True
    ),
)
SIGNAL = 1


def columns(jets: ak.Array, split: str) -> pd.DataFrame:
    """A chunk of the table: E first, falling pT, zero-padded to 200 constituents, GeV."""
    part = jets.constituents
    momenta = np.stack([slots(part[name], SLOTS) for name in ("energy", "px", "py", "pz")], axis=-1)
    truth = [ak.to_numpy(jets[f"truth_{name}"]) for name in ("energy", "px", "py", "pz")]
    floats = np.column_stack([momenta.reshape(len(jets), -1), *truth])  # (jets, 804)
    frame = pd.DataFrame(floats.astype(np.float32), columns=list(COLUMNS))
    labels = {
        "ttv": np.full(len(jets), SPLIT_NUMBER[split], np.int64),
        "is_signal_new": ak.to_numpy(jets.process == SIGNAL).astype(np.int64),
    }
    return pd.concat([frame, pd.DataFrame(labels)], axis=1)


class TableWriter:
    """The table `table` of an open store, with consecutive row numbers."""

    def __init__(self, store: pd.HDFStore):
        self.store, self.rows = store, 0

    def append(self, chunk: pd.DataFrame) -> None:
        self.store.append("table", chunk.set_axis(chunk.index + self.rows), index=False)
        self.rows += len(chunk)


@contextmanager
def writer(path: Path) -> Iterator[TableWriter]:
    """A new file, held in memory until the end, about 1 kB per jet."""
    with pandas_store(path) as store:
        yield TableWriter(store)


CARD = GeneratorCard(
    name="top",
    settings=(
        "Beams:eCM = 14000.",
        "PartonLevel:MPI = off",
        # with 520, a quarter of the background jets would be missed
        "PhaseSpace:pTHatMin = 420.",
        *LONG_LIVED,
    ),
    processes=PROCESSES,
    jet_radius=0.8,
    pt_range=(550.0, 650.0),
    eta_max=2.0,
    match_resonance=True,
    chunk_size=500,
    columns=columns,
    writer=writer,
    select=jets_in_window,
    can_give_jet=can_give_jet,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    add_sizes(parser, "jets", ", half of them tops", share=3)


def files(args: argparse.Namespace) -> list[OutputFile]:
    """One file per split; half of its jets are signal, an odd one is background."""
    return [
        OutputFile(args.out / f"{split}.h5", split, (count - count // 2, count // 2))
        for split, count in sizes(args).items()
        if count
    ]
