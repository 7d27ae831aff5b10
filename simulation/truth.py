"""Resonances and their decay products before the shower."""

import numpy as np

from simulation.detector import NEUTRINOS, pseudorapidity
from simulation.generator import Events

HARD_PROCESS = -22  # Pythia's status of a resonance in the hard process
OUTGOING = -23  # that of a parton that leaves it
HEAVY = (6, 23, 24, 25)  # |PDG ids| whose decay products are matched in their place


def resonances(events: Events, pdg_id: int) -> np.ndarray:
    """Last copies (resonances,) of hard-process particles with this |PDG id|."""
    created = (events.status == HARD_PROCESS) & (np.abs(events.pdg_id) == pdg_id)
    return last_copy(events, np.flatnonzero(created))


def last_copy(events: Events, particle: np.ndarray) -> np.ndarray:
    """The entry that decays, after recoil and radiation; -1 stays -1."""
    while True:
        following = particle
        for daughter in (events.daughter2[particle], events.daughter1[particle]):
            same = (particle >= 0) & (daughter >= 0)
            same &= events.pdg_id[daughter] == events.pdg_id[particle]
            following = np.where(same, daughter, following)
        if np.array_equal(following, particle):
            return particle
        particle = following


def decay_products(events: Events, particle: np.ndarray) -> np.ndarray:
    """Quarks, gluons and charged leptons of each decay (resonances, products), padded with -1."""
    products = particle[:, None]
    while True:
        heavy = (products >= 0) & np.isin(np.abs(events.pdg_id[products]), HEAVY)
        if not heavy.any():
            break
        decaying = last_copy(events, np.where(heavy, products, -1))
        first = np.where(heavy, events.daughter1[decaying], products)
        second = np.where(heavy, events.daughter2[decaying], -1)
        products = np.concatenate([first, second], axis=1)
    return np.where(np.isin(np.abs(events.pdg_id[products]), NEUTRINOS), -1, products)


def direction(events: Events, particle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """pT, eta and phi of the particles."""
    px, py = events.px[particle], events.py[particle]
    pt = np.hypot(px, py)
    return pt, pseudorapidity(pt, events.pz[particle]), np.arctan2(py, px)
