"""Simulates jets of a generator card: generate, reconstruct, cluster, select, match."""

from functools import partial

import awkward as ak
import numpy as np

from omnilearn.clustering import cluster
from omnilearn.kinematics import delta_phi, wrap_phi
from simulation.detector import pseudorapidity
from simulation.generator import Events, Generator
from simulation.generator_card import GeneratorCard, Process
from simulation.truth import decay_products, direction, resonances

SMALLEST_BATCH, LARGEST_BATCH = 8, 100  # events


def simulate(
    card: GeneratorCard,
    process: Process,
    variant: int,
    count: int,
    pythia_seed: int,
    rng: np.random.Generator,
) -> ak.Array:
    """Exactly `count` records of one process: the jets or events that the card selects."""
    can_give_jet = partial(card.can_give_jet, card, process) if card.can_give_jet else None
    settings = (*card.settings, *process.variants[variant])
    generator = Generator(settings, pythia_seed, can_give_jet)
    batches, selected, generated = [], 0, 0
    batch_size = int(np.clip(2 * count, SMALLEST_BATCH, LARGEST_BATCH))
    while selected < count:
        events = generator.events(batch_size)
        jets = card.select(card, process, events, rng)
        batches.append(jets)
        selected, generated = selected + len(jets), generated + batch_size
        needed = (count - selected) * generated / max(selected, 1)  # expected number of events
        batch_size = int(np.clip(1.05 * needed, SMALLEST_BATCH, LARGEST_BATCH))
    return ak.concatenate(batches)[:count]


def total_momentum(constituents: ak.Array) -> list[np.ndarray]:
    """px, py, pz and energy (jets,) of jets with constituents (jets, var)."""
    names = ("px", "py", "pz", "energy")
    return [ak.to_numpy(ak.sum(constituents[name], axis=1)) for name in names]


def four_momenta(jets: ak.Array) -> np.ndarray:
    """pt, eta, phi, energy (jets, 4) of records with these fields."""
    return np.stack([ak.to_numpy(jets[name]) for name in ("pt", "eta", "phi", "energy")], axis=-1)


def pt_eta_phi(part: ak.Array) -> tuple[ak.Array, ak.Array, ak.Array]:
    """pt, eta and phi of records with px, py and pz, in any nesting."""
    pt = np.hypot(part.px, part.py)
    return pt, np.arcsinh(part.pz / pt), np.arctan2(part.py, part.px)


def wrap_jagged_phi(phi: ak.Array) -> ak.Array:
    """Angles (jets, var) in [-pi, pi)."""
    return ak.unflatten(wrap_phi(ak.to_numpy(ak.flatten(phi))), ak.num(phi))


def jets_in_window(
    card: GeneratorCard, process: Process, events: Events, rng: np.random.Generator
) -> ak.Array:
    """The jets of a batch inside the kinematic window that contain the resonance of the process.

    Fields: event (its index in the batch), constituents (var objects, falling pT), pt, eta, phi,
    energy, matched, and the matched resonance as truth_{pdg_id, pt, eta, phi, px, py, pz, energy}
    (zeros without one).
    """
    objects = card.objects(events, rng).by_event(events.count)
    constituents, event = cluster(objects, card.jet_radius, card.pt_range[0])
    px, py, pz, energy = total_momentum(constituents)
    pt, phi = np.hypot(px, py), np.arctan2(py, px)
    eta = pseudorapidity(pt, pz)

    selected = (pt > card.pt_range[0]) & (pt < card.pt_range[1]) & (abs(eta) < card.eta_max)
    hardest = hardest_pt(pt, event, events.count)
    selected &= hardest > card.trigger_pt
    if process.leading_only:
        selected &= pt == hardest
    resonance = np.full(len(pt), -1)
    if process.resonance:
        resonance = contained_resonance(card, process, events, event, eta, phi)
        selected &= resonance >= 0

    truth_pt, truth_eta, truth_phi = direction(events, resonance)
    truth = {
        "pdg_id": events.pdg_id[resonance],
        "pt": truth_pt,
        "eta": truth_eta,
        "phi": truth_phi,
        "px": events.px[resonance],
        "py": events.py[resonance],
        "pz": events.pz[resonance],
        "energy": events.energy[resonance],
    }
    matched = resonance >= 0
    jets = {"event": event, "pt": pt, "eta": eta, "phi": phi, "energy": energy, "matched": matched}
    jets |= {f"truth_{name}": np.where(matched, values, 0) for name, values in truth.items()}
    return ak.zip({"constituents": constituents, **jets}, depth_limit=1)[selected]


def hardest_pt(pt: np.ndarray, event: np.ndarray, count: int) -> np.ndarray:
    """pT (jets,) of the hardest jet in the event (jets,) of each jet, of `count` events."""
    hardest = np.zeros(count)
    np.maximum.at(hardest, event, pt)
    return hardest[event]


def contained_resonance(
    card: GeneratorCard,
    process: Process,
    events: Events,
    event: np.ndarray,
    eta: np.ndarray,
    phi: np.ndarray,
) -> np.ndarray:
    """Index (jets,) of the resonance whose visible decay products all lie in the jet, or -1.

    `event`, `eta`, `phi` (jets,) are those of the jets.
    """
    resonance = resonances(events, process.resonance)
    products = decay_products(events, resonance)  # (resonances, products)
    if card.match_resonance:
        products = np.concatenate([products, resonance[:, None]], axis=1)
    _, product_eta, product_phi = direction(events, products)
    distance = np.hypot(
        eta[:, None, None] - product_eta, delta_phi(phi[:, None, None], product_phi)
    )  # (jets, resonances, products)
    inside = (distance < card.jet_radius) | (products < 0)
    inside &= (event[:, None] == events.event[resonance])[..., None]
    contained = inside.all(axis=2)  # (jets, resonances)
    return np.where(contained.any(axis=1), resonance[contained.argmax(axis=1)], -1)
