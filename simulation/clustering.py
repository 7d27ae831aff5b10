"""Anti-kT jets, soft drop and N-subjettiness of many events at once, with FastJet.

References: M. Cacciari, G. Salam, G. Soyez, arXiv:1111.6097 (FastJet) and arXiv:0802.1189
(anti-kT); A. Larkoski et al., arXiv:1402.2657 (soft drop); J. Thaler, K. Van Tilburg,
arXiv:1011.2268 (N-subjettiness).
"""

import os
import sys
from functools import cache

import awkward as ak
import fastjet
import numpy as np

from simulation.detector import Objects

WHOLE_JET = 10.0  # radius that leaves a jet in one piece when it is clustered again


@cache
def print_banner_nowhere() -> None:
    """FastJet greets on the first clustering; let that be one nobody sees."""
    sys.stdout.flush()
    stdout, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        particle = fastjet.PseudoJet(1.0, 0.0, 0.0, 1.0)
        fastjet.ClusterSequence([particle], fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4))
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(nowhere)


def momenta(objects: ak.Array) -> ak.Array:
    """The four-momenta of jagged objects as FastJet wants them."""
    return ak.zip(
        {"px": objects.px, "py": objects.py, "pz": objects.pz, "E": objects.energy},
        with_name="Momentum4D",
    )


def jagged(objects: Objects, count: int) -> ak.Array:
    """Objects of a batch as records, (events, var objects)."""
    return ak.unflatten(ak.zip(vars(objects)), np.bincount(objects.event, minlength=count))


def cluster(objects: ak.Array, radius: float, pt_min: float) -> tuple[ak.Array, np.ndarray]:
    """Constituents (jets, var objects), falling pT, of all anti-kT jets above `pt_min` [GeV].

    Also returns the event of each jet; jets of one event stand together.
    """
    print_banner_nowhere()
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    index = fastjet.ClusterSequence(momenta(objects), definition).constituent_index(min_pt=pt_min)
    jets_per_event = ak.to_numpy(ak.num(index))
    event = np.repeat(np.arange(len(objects)), jets_per_event)  # (jets,)
    size = ak.num(objects)
    first = np.cumsum(size) - size
    position = ak.flatten(index) + first[event]  # (jets, var objects), in the flat objects
    constituents = ak.unflatten(ak.flatten(objects)[ak.flatten(position)], ak.num(position))
    falling = ak.argsort(np.hypot(constituents.px, constituents.py), ascending=False, stable=True)
    return constituents[falling], event


def softdrop_mass(constituents: ak.Array, radius: float) -> np.ndarray:
    """Mass [GeV] after soft drop with z_cut 0.1, beta 0, (jets,)."""
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, WHOLE_JET)
    groomed = fastjet.ClusterSequence(
        momenta(constituents), definition
    ).exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=0.1, R0=radius)
    # rounding can make the squared mass of a single particle negative
    return np.maximum(np.nan_to_num(ak.to_numpy(groomed.msoftdrop)), 0.0)


def subjettiness(constituents: ak.Array, radius: float) -> np.ndarray:
    """tau_1 to tau_4, normalised measure, beta 1, one-pass kT axes, (jets, 4)."""
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, WHOLE_JET)
    taus = fastjet.ClusterSequence(momenta(constituents), definition).njettiness(
        measure_definition="NormalizedMeasure",
        axes_definition="OnePass_KT_Axes",
        njets=[1, 2, 3, 4],
        beta=1.0,
        R0=radius,
    )
    return ak.to_numpy(taus)
