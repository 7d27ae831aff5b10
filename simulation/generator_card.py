"""What a simulated dataset is, as data: collisions, processes, jets, window, matching, layout.

A further dataset is one module with a `GeneratorCard` and the layout of its public files; nothing
else in this room names a dataset.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from simulation.detector import reconstruct


@dataclass(frozen=True)
class Process:
    """One class of jets: how Pythia makes it and which decay a jet has to contain."""

    name: str
    variants: tuple[tuple[str, ...], ...]  # Pythia settings; several are simulated in equal parts
    resonance: int  # |PDG id| whose decay products the jet must hold; 0 asks for no match
    leading_only: bool  # only the hardest jet of an event may be kept
    jets_per_second: float  # kept jets per CPU second, roughly: slow classes are started first


@dataclass(frozen=True)
class GeneratorCard:
    """Everything that fixes a sample up to its size and seed."""

    name: str
    settings: tuple[str, ...]  # Pythia settings shared by all processes
    processes: tuple[Process, ...]
    jet_radius: float  # anti-kT
    pt_range: tuple[float, float]  # GeV
    eta_max: float
    match_resonance: bool  # the resonance itself, too, lies within the radius of the jet axis
    chunk_size: int  # jets per task, each with random streams of its own
    columns: Callable[..., Any]  # (jets, split) -> one chunk in the layout of the public file
    writer: Callable[..., AbstractContextManager]  # path -> something with append(chunk)
    # (recipe, process, events, rng) -> the records kept of a batch of events, one per jet or event
    select: Callable[..., Any]
    trigger_pt: float = 0.0  # GeV; an event is recorded if its hardest jet is above
    unit: str = "jets"  # what a record is: jets or events
    objects: Callable[..., Any] = reconstruct  # (events, rng) -> what is clustered: detector or not
    # (recipe, process, hard process, event) -> whether a collision may give a jet: see early.py
    in_sight: Callable[..., bool] | None = None

    def streams(self) -> list[tuple[int, int]]:
        """(process, variant) of every random stream, in the order that numbers them."""
        return [
            (p, v) for p, process in enumerate(self.processes) for v in range(len(process.variants))
        ]

    def identity(self) -> dict:
        """The numbers that decide the jets, for comparing two runs (JSON)."""
        return {
            "settings": self.settings,
            "chunk_size": self.chunk_size,
            "window": [*self.pt_range, self.eta_max, self.jet_radius, self.trigger_pt],
            "processes": [[one.name, one.variants] for one in self.processes],
        }
