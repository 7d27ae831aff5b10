"""Pythia 8 events as flat arrays: one entry per particle, with the index of its event.

Reference: C. Bierlich et al., arXiv:2203.11601.
"""

from collections.abc import Callable
from dataclasses import dataclass

import awkward as ak
import numpy as np
import pythia8mc

from omnilearn.progress import suppress_stdout

LARGEST_PYTHIA_SEED = 900_000_000
EARLY_SCALE = 10.0  # GeV in the pT of the evolution; most multiple interactions are softer
INTERLEAVED = 5  # calls from this position on concern the decays, after the soft interactions


@dataclass(frozen=True)
class Events:
    """A batch of `count` events; all arrays are (particles,), momenta in GeV, vertices in mm."""

    count: int
    event: np.ndarray
    pdg_id: np.ndarray
    status: np.ndarray
    daughter1: np.ndarray  # position in these arrays, -1 for none
    daughter2: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    energy: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    charge: np.ndarray
    weight: np.ndarray  # (events,), 1 without a bias


class EarlyVeto(pythia8mc.UserHooks):
    """Pythia's hook that may veto a collision at `EARLY_SCALE`.

    can_give_jet(process, event): whether to go on, from the record of the hard process with its
    decays and the event evolved down to `EARLY_SCALE`, where resonances have not decayed yet.
    """

    def __init__(self, pythia: pythia8mc.Pythia, can_give_jet: Callable[..., bool]):
        super().__init__()
        self.pythia, self.can_give_jet = pythia, can_give_jet

    def canVetoPT(self) -> bool:
        return True

    def scaleVetoPT(self) -> float:
        return EARLY_SCALE

    def doVetoPT(self, position: int, event: pythia8mc.Event) -> bool:
        return position < INTERLEAVED and not self.can_give_jet(self.pythia.process, event)


class Generator:
    """Pythia with the given settings and seed; the same two give the same events.

    can_give_jet: see `EarlyVeto`; vetoed collisions are replaced.
    """

    def __init__(
        self, settings: tuple[str, ...], seed: int, can_give_jet: Callable[..., bool] | None = None
    ):
        # these arguments suppress the banner, except that of the Vincia shower
        self.pythia = pythia8mc.Pythia("", False)
        if can_give_jet:
            self.hook = EarlyVeto(self.pythia, can_give_jet)  # Pythia holds no reference to it
            assert self.pythia.setUserHooksPtr(self.hook)
        for setting in (
            "Print:quiet = on",
            *settings,
            "Random:setSeed = on",
            f"Random:seed = {seed}",
        ):
            # Pythia prints an unknown setting and goes on
            assert self.pythia.readString(setting), f"Pythia refuses the setting {setting!r}"
        with suppress_stdout():
            initialised = self.pythia.init()
        assert initialised, "Pythia could not be initialised"
        self.known_charges: dict[int, float] = {}  # by PDG id

    def events(self, count: int) -> Events:
        """The next `count` events; Pythia replaces the few that fail."""
        batch = self.pythia.nextBatch(count)
        multiplicity = ak.to_numpy(ak.num(batch.prt))  # (events,)
        first = np.cumsum(multiplicity) - multiplicity
        event = np.repeat(np.arange(count), multiplicity)
        particles = ak.flatten(batch.prt)
        pdg_id = ak.to_numpy(particles.id)

        def position(daughter: ak.Array) -> np.ndarray:
            local = ak.to_numpy(daughter).astype(np.int64)  # counts from the start of its event
            return np.where(local > 0, local + first[event], -1)

        def vertex(coordinate: ak.Array) -> np.ndarray:
            return ak.to_numpy(ak.fill_none(coordinate, 0.0))  # none: the collision point

        return Events(
            count=count,
            event=event,
            pdg_id=pdg_id,
            status=ak.to_numpy(particles.status),
            daughter1=position(particles.daughter1),
            daughter2=position(particles.daughter2),
            px=ak.to_numpy(particles.p.px),
            py=ak.to_numpy(particles.p.py),
            pz=ak.to_numpy(particles.p.pz),
            energy=ak.to_numpy(particles.p.e),
            x=vertex(particles.vProd.px),
            y=vertex(particles.vProd.py),
            z=vertex(particles.vProd.pz),
            charge=self.charges(pdg_id),
            weight=ak.to_numpy(ak.firsts(batch.info.weights)),
        )

    def charges(self, pdg_id: np.ndarray) -> np.ndarray:
        """Electric charge of each particle in units of the positron's."""
        unique, inverse = np.unique(pdg_id, return_inverse=True)
        species = unique.tolist()
        for particle in species:
            if particle not in self.known_charges:
                self.known_charges[particle] = self.pythia.particleData.charge(particle)
        return np.array([self.known_charges[particle] for particle in species])[inverse]
