"""Pythia 8 events as flat arrays: one entry per particle, `event` says to which event it belongs.

Reference: C. Bierlich et al., arXiv:2203.11601.
"""

from collections.abc import Callable
from dataclasses import dataclass

import awkward as ak
import numpy as np
import pythia8mc

from omnilearn.progress import stdout_nowhere

LARGEST_PYTHIA_SEED = 900_000_000
EARLY_SCALE = 10.0  # GeV in the pT of the evolution; most multiple interactions are softer
INTERLEAVED = 5  # calls from this position on are about the decays, after the soft interactions


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
    weight: np.ndarray  # (events,), 1 unless a bias was asked for


class EarlyVeto(pythia8mc.UserHooks):
    """Pythia's question whether to go on, asked once per collision at `EARLY_SCALE`.

    promising(process, event) answers it from the record of the hard process with its decays and
    from the event as evolved down to `EARLY_SCALE`, where resonances have not decayed yet.
    """

    def __init__(self, pythia: pythia8mc.Pythia, promising: Callable[..., bool]):
        super().__init__()
        self.pythia, self.promising = pythia, promising

    def canVetoPT(self) -> bool:
        return True

    def scaleVetoPT(self) -> float:
        return EARLY_SCALE

    def doVetoPT(self, position: int, event: pythia8mc.Event) -> bool:
        return position < INTERLEAVED and not self.promising(self.pythia.process, event)


class Generator:
    """Pythia with the given settings and seed; the same two give the same events.

    promising(process, event): whether to go on with a collision that has come down to
    `EARLY_SCALE`; those given up are replaced.
    """

    def __init__(
        self, settings: tuple[str, ...], seed: int, promising: Callable[..., bool] | None = None
    ):
        # the empty path and False keep the banner away, but not that of the Vincia shower
        self.pythia = pythia8mc.Pythia("", False)
        if promising:
            self.hook = EarlyVeto(self.pythia, promising)  # Pythia does not keep it alive
            assert self.pythia.setUserHooksPtr(self.hook)
        for setting in (
            "Print:quiet = on",
            *settings,
            "Random:setSeed = on",
            f"Random:seed = {seed}",
        ):
            # an unknown setting is only printed by Pythia
            assert self.pythia.readString(setting), f"Pythia refuses the setting {setting!r}"
        with stdout_nowhere():
            initialised = self.pythia.init()
        assert initialised, "Pythia could not be initialised"
        self.known_charges: dict[int, float] = {}  # by PDG id

    def events(self, count: int) -> Events:
        """The next `count` events; Pythia replaces the few it cannot finish."""
        found = self.pythia.nextBatch(count)
        batch = found.prt
        multiplicity = ak.to_numpy(ak.num(batch))  # (events,)
        first = np.cumsum(multiplicity) - multiplicity
        event = np.repeat(np.arange(count), multiplicity)
        particles = ak.flatten(batch)
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
            weight=ak.to_numpy(ak.firsts(found.info.weights)),
        )

    def charges(self, pdg_id: np.ndarray) -> np.ndarray:
        """Electric charge of each particle in units of the positron's."""
        species, inverse = np.unique(pdg_id, return_inverse=True)
        for one in map(int, species):
            if one not in self.known_charges:
                self.known_charges[one] = self.pythia.particleData.charge(one)
        return np.array([self.known_charges[int(one)] for one in species])[inverse]
