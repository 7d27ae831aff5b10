"""The description of a simulated dataset: collisions, processes, jets, window, matching, layout.

A further dataset is one module with a `GeneratorCard` and the layout of its public files.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from simulation.detector import reconstruct

# Pythia settings that several datasets have
QUARKS = "1 2 3 4 5"
TOP_PAIR = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")
Z_AND_PARTON = ("WeakBosonAndParton:qqbar2gmZg = on", "WeakBosonAndParton:qg2gmZq = on")
W_TO_QUARKS = ("24:onMode = off", f"24:onIfAny = {QUARKS}")
Z_TO_QUARKS = ("WeakZ0:gmZmode = 2", "23:onMode = off", f"23:onIfAny = {QUARKS}")
# K0S and Lambda reach the detector
LONG_LIVED = ("ParticleDecays:limitTau0 = on", "ParticleDecays:tau0Max = 10.")


@dataclass(frozen=True)
class Process:
    """One class of jets: its Pythia settings, and the decay that a jet has to contain."""

    name: str
    variants: tuple[tuple[str, ...], ...]  # Pythia settings; several are simulated in equal parts
    jets_per_second: float  # selected jets per CPU second, roughly: slow classes are started first
    resonance: int = 0  # |PDG id| whose decay products the jet must contain; 0: no match
    leading_only: bool = False  # only the hardest jet of an event may be selected


@dataclass(frozen=True)
class GeneratorCard:
    """Everything that determines a sample, except its size and seed."""

    name: str
    settings: tuple[str, ...]  # Pythia settings shared by all processes
    processes: tuple[Process, ...]
    jet_radius: float  # anti-kT
    pt_range: tuple[float, float]  # GeV
    eta_max: float
    chunk_size: int  # jets per task; each task has its own random streams
    columns: Callable[..., Any]  # (jets, split) -> one chunk in the layout of the public file
    writer: Callable[..., AbstractContextManager]  # path -> object with append(chunk)
    # (card, process, events, rng) -> the records selected from a batch, one per jet or event
    select: Callable[..., Any]
    match_resonance: bool = False  # the resonance, too, lies within the radius of the jet axis
    trigger_pt: float = 0.0  # GeV; an event is recorded if its hardest jet is above
    unit: str = "jets"  # of a record: jets or events
    objects: Callable[..., Any] = reconstruct  # (events, rng) -> objects to cluster
    # (card, process, hard process, event) -> whether a collision can give a jet, see early.py
    can_give_jet: Callable[..., bool] | None = None

    def streams(self) -> list[tuple[int, int]]:
        """(process, variant) of every random stream, by its index."""
        return [
            (p, v) for p, process in enumerate(self.processes) for v in range(len(process.variants))
        ]

    def identity(self) -> dict:
        """The settings that determine the jets, to compare two runs (JSON)."""
        return {
            "settings": self.settings,
            "chunk_size": self.chunk_size,
            "window": [*self.pt_range, self.eta_max, self.jet_radius, self.trigger_pt],
            "processes": [[process.name, process.variants] for process in self.processes],
        }
