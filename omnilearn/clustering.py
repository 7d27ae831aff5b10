"""Jets and their substructure, of many events at once, with FastJet.

References: M. Cacciari, G. Salam, G. Soyez, arXiv:1111.6097 (FastJet) and arXiv:0802.1189
(anti-kT); S. Ellis, D. Soper, hep-ph/9305266 (kT); A. Larkoski et al., arXiv:1402.2657 (soft
drop); J. Thaler, K. Van Tilburg, arXiv:1011.2268 (N-subjettiness); A. Larkoski, J. Thaler,
W. Waalewijn, arXiv:1408.3122 (angularities).
"""

from functools import cache

import awkward as ak
import fastjet
import numpy as np

from omnilearn.progress import suppress_stdout

ALGORITHMS = {"antikt": fastjet.antikt_algorithm, "kt": fastjet.kt_algorithm}
WHOLE_JET = 10.0  # radius that leaves a jet in one piece when it is clustered again


@cache
def discard_banner() -> None:
    """Cluster one particle without output: FastJet prints its banner on the first clustering."""
    with suppress_stdout():
        particle = fastjet.PseudoJet(1.0, 0.0, 0.0, 1.0)
        fastjet.ClusterSequence([particle], fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4))


def momenta(objects: ak.Array) -> ak.Array:
    """Four-momenta of jagged objects in the record that FastJet takes."""
    return ak.zip(
        {"px": objects.px, "py": objects.py, "pz": objects.pz, "E": objects.energy},
        with_name="Momentum4D",
    )


def cluster(
    objects: ak.Array, radius: float, pt_min: float, algorithm: str = "antikt"
) -> tuple[ak.Array, np.ndarray]:
    """Constituents (jets, var objects), falling pT, of all jets above `pt_min` [GeV].

    Also returns the event of each jet; jets of one event stand together.
    """
    discard_banner()
    definition = fastjet.JetDefinition(ALGORITHMS[algorithm], radius)
    index = fastjet.ClusterSequence(momenta(objects), definition).constituent_index(min_pt=pt_min)
    jets_per_event = ak.to_numpy(ak.num(index))
    event = np.repeat(np.arange(len(objects)), jets_per_event)  # (jets,)
    size = ak.num(objects)
    first = np.cumsum(size) - size
    position = ak.flatten(index) + first[event]  # (jets, var objects), in the flat objects
    constituents = ak.unflatten(ak.flatten(objects)[ak.flatten(position)], ak.num(position))
    falling = ak.argsort(np.hypot(constituents.px, constituents.py), ascending=False, stable=True)
    return constituents[falling], event


def softdrop(constituents: ak.Array, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Mass [GeV] and momentum fraction z_g after soft drop with z_cut 0.1, beta 0, each (jets,).

    z_g is 0 where one particle is left.
    """
    discard_banner()
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, WHOLE_JET)
    groomed = fastjet.ClusterSequence(
        momenta(constituents), definition
    ).exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=0.1, R0=radius)
    # rounding can make the squared mass of a single particle negative; its z_g is -1
    return tuple(
        np.maximum(np.nan_to_num(ak.to_numpy(values)), 0.0)
        for values in (groomed.msoftdrop, groomed.symmetrysoftdrop)
    )


def softdrop_mass(constituents: ak.Array, radius: float) -> np.ndarray:
    """Mass [GeV] after soft drop with z_cut 0.1, beta 0, (jets,)."""
    return softdrop(constituents, radius)[0]


def subjettiness(constituents: ak.Array, radius: float) -> np.ndarray:
    """tau_1 to tau_4, normalised measure, beta 1, one-pass kT axes, (jets, 4)."""
    discard_banner()
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, WHOLE_JET)
    taus = fastjet.ClusterSequence(momenta(constituents), definition).njettiness(
        measure_definition="NormalizedMeasure",
        axes_definition="OnePass_KT_Axes",
        njets=[1, 2, 3, 4],
        beta=1.0,
        R0=radius,
    )
    return ak.to_numpy(taus)


def angularity(constituents: ak.Array, radius: float, beta: float) -> np.ndarray:
    """Sum of z (Delta R / R)^beta, z the share of the constituents' summed pT, (jets,).

    Delta R is the distance to the jet's momentum in rapidity and phi. beta 1 is the jet width.
    """
    part = momenta(constituents)
    jet = {name: ak.sum(part[name], axis=1) for name in part.fields}
    pt = np.hypot(part.px, part.py)
    y = np.arctanh(part.pz / part.E) - np.arctanh(jet["pz"] / jet["E"])
    # the angle between two directions, without wrapping
    cross = jet["px"] * part.py - jet["py"] * part.px
    phi = np.arctan2(cross, jet["px"] * part.px + jet["py"] * part.py)
    share = pt / ak.sum(pt, axis=1)
    return ak.to_numpy(ak.sum(share * (np.hypot(y, phi) / radius) ** beta, axis=1))
