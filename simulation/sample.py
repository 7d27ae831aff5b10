"""From a recipe to jets: generate, reconstruct, cluster, select, match, until there are enough."""

from functools import partial

import awkward as ak
import numpy as np

from omnilearn.clustering import cluster
from omnilearn.kinematics import delta_phi
from simulation.detector import pseudorapidity
from simulation.generator import Events, Generator
from simulation.generator_card import GeneratorCard, Process
from simulation.truth import decay_products, direction, resonances

SMALLEST_BATCH, LARGEST_BATCH = 8, 100  # events


def simulate(
    recipe: GeneratorCard,
    process: Process,
    variant: int,
    count: int,
    pythia_seed: int,
    rng: np.random.Generator,
) -> ak.Array:
    """Exactly `count` records of one process: the jets or events that the recipe selects."""
    in_sight = partial(recipe.in_sight, recipe, process) if recipe.in_sight else None
    settings = (*recipe.settings, *process.variants[variant])
    generator = Generator(settings, pythia_seed, in_sight)
    kept, found, generated = [], 0, 0
    batch = int(np.clip(2 * count, SMALLEST_BATCH, LARGEST_BATCH))
    while found < count:
        events = generator.events(batch)
        jets = recipe.select(recipe, process, events, rng)
        kept.append(jets)
        found, generated = found + len(jets), generated + batch
        expected = (count - found) * generated / max(found, 1)  # events that are still needed
        batch = int(np.clip(1.05 * expected, SMALLEST_BATCH, LARGEST_BATCH))
    return ak.concatenate(kept)[:count]


def jets_in_window(
    recipe: GeneratorCard, process: Process, events: Events, rng: np.random.Generator
) -> ak.Array:
    """The jets of a batch inside the kinematic window that hold what the process asks for.

    Fields: event (its number in the batch), constituents (var objects, falling pT), pt, eta, phi,
    energy, matched, and the matched resonance as truth_{pdg_id, pt, eta, phi, px, py, pz, energy}
    (zeros without one).
    """
    objects = recipe.objects(events, rng).by_event(events.count)
    constituents, event = cluster(objects, recipe.jet_radius, recipe.pt_range[0])
    px, py, pz, energy = (
        ak.to_numpy(ak.sum(constituents[name], axis=1)) for name in ("px", "py", "pz", "energy")
    )
    pt, phi = np.hypot(px, py), np.arctan2(py, px)
    eta = pseudorapidity(pt, pz)

    wanted = (pt > recipe.pt_range[0]) & (pt < recipe.pt_range[1]) & (abs(eta) < recipe.eta_max)
    hardest = hardest_pt(pt, event, events.count)
    wanted &= hardest > recipe.trigger_pt
    if process.leading_only:
        wanted &= pt == hardest
    resonance = np.full(len(pt), -1)
    if process.resonance:
        resonance = contained(recipe, process, events, event, eta, phi)
        wanted &= resonance >= 0

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
    return ak.zip({"constituents": constituents, **jets}, depth_limit=1)[wanted]


def hardest_pt(pt: np.ndarray, event: np.ndarray, count: int) -> np.ndarray:
    """pT of the hardest jet in the event of each jet, (jets,); `event` numbers `count` events."""
    hardest = np.zeros(count)
    np.maximum.at(hardest, event, pt)
    return hardest[event]


def contained(
    recipe: GeneratorCard,
    process: Process,
    events: Events,
    event: np.ndarray,
    eta: np.ndarray,
    phi: np.ndarray,
) -> np.ndarray:
    """The resonance whose whole visible decay lies in each jet, -1 for none, (jets,).

    `event`, `eta`, `phi` are those of the jets.
    """
    resonance = resonances(events, process.resonance)
    products = decay_products(events, resonance)  # (resonances, products)
    if recipe.match_resonance:
        products = np.concatenate([products, resonance[:, None]], axis=1)
    _, product_eta, product_phi = direction(events, products)
    distance = np.hypot(
        eta[:, None, None] - product_eta, delta_phi(phi[:, None, None], product_phi)
    )  # (jets, resonances, products)
    inside = (distance < recipe.jet_radius) | (products < 0)
    inside &= (event[:, None] == events.event[resonance])[..., None]
    whole = inside.all(axis=2)  # (jets, resonances)
    return np.where(whole.any(axis=1), resonance[whole.argmax(axis=1)], -1)
