"""Early veto of collisions that cannot give a jet in the window.

Pythia evolves a collision from hard to soft, and nine tenths of the time are spent on the soft end:
most multiple interactions, hadrons, detector. At `generator.EARLY_SCALE` the hard recoil is fixed,
after a fiftieth of that time. A collision without a jet candidate within generous margins is then
replaced by a new, independent one. At most a percent of the jets selected without this is lost (0
to 0.5 % of the classes of JetClass, 0.9 +- 0.4 % of the QCD jets of top tagging, none of 559 quark
and gluon jets), fewer than by the cut in pTHat; they lie at the lower edge of the window
(tests/simulation/test_simulation_early.py).
Hook: doVetoPT of Pythia's "User Hooks"; C. Bierlich et al., arXiv:2203.11601.
"""

from math import asinh, atan2, hypot, inf, pi

import pythia8mc

from simulation.detector import ELECTRON, NEUTRINOS, TRACK_ETA_EDGES, TRACK_RESOLUTION
from simulation.generator_card import GeneratorCard, Process
from simulation.truth import HARD_PROCESS, HEAVY

# required pT over the lower edge of the window; a jet's pT is measured to 3 to 5 %
LOWEST_SHARE = 0.90
LOWEST_SHARE_OF_PARTONS = 0.90  # for jets without a resonance
REACH = 0.2  # partons up to this distance beyond the radius of a decay may still enter the jet
ETA_MARGIN, RADIUS_MARGIN = 0.15, 0.15  # the jet's axis differs from that of its products
ELECTRON_DEVIATIONS = 2.0  # the resolution of an electron of some 100 GeV is poor
HARDEST = 3  # number of partons that may become the axis of a jet without a resonance
FIRST_OUTGOING = 5  # index of the first outgoing particle of the hard process in Pythia's record


def can_give_jet(
    card: GeneratorCard, process: Process, hard: pythia8mc.Event, event: pythia8mc.Event
) -> bool:
    """Whether the collision may give a jet in the window of the card."""
    if not process.resonance:
        return parton_can_give_jet(card, event)
    return any(
        decay_can_give_jet(card, hard, event, index)
        for index in range(FIRST_OUTGOING, hard.size())
        if hard[index].idAbs() == process.resonance and hard[index].status() == HARD_PROCESS
    )


def decay_can_give_jet(
    card: GeneratorCard, hard: pythia8mc.Event, event: pythia8mc.Event, index: int
) -> bool:
    """The same for the decay products of the resonance at `index` of the hard process."""
    recoiled = event[event[index].iBotCopyId()]
    boost = pythia8mc.RotBstMatrix()
    boost.bst(hard[index].p(), recoiled.p())  # the recoil, which Pythia applies to the decay later
    directions, total, margin = [], [0.0, 0.0, 0.0], 0.0
    for product in visible_products(hard, index):
        momentum = pythia8mc.Vec4(hard[product].p())
        momentum.rotbst(boost)
        eta, pt = momentum.eta(), momentum.pT()
        directions.append((eta, momentum.phi()))
        for axis, component in enumerate((momentum.px(), momentum.py(), momentum.pz())):
            total[axis] += component
        if hard[product].idAbs() == 11:
            margin += ELECTRON_DEVIATIONS * electron_deviation(pt, eta)
    pt = hypot(total[0], total[1])
    eta, phi = asinh(total[2] / pt), atan2(total[1], total[0])
    if abs(eta) > card.eta_max + ETA_MARGIN:
        return False
    widest = card.jet_radius + RADIUS_MARGIN
    if any(distance(eta, phi, *direction) > widest for direction in directions):
        return False
    missing = LOWEST_SHARE * card.pt_range[0] - pt - margin
    return missing < 0 or missing < pt_around(eta, phi, partons(event), card.jet_radius + REACH)


def parton_can_give_jet(
    card: GeneratorCard, event: pythia8mc.Event, reach: float = 0.0, highest: float = inf
) -> bool:
    """The same for a jet around one of the hardest partons, whose own pT is below `highest` (GeV).

    reach: added to the radius, as the axis of a narrow jet may lie between two hard partons. With
    a trigger above the window, the candidate is the jet that fires it, at any eta.
    """
    lowest, eta_max = card.pt_range[0], card.eta_max
    if card.trigger_pt > lowest:
        lowest, eta_max = card.trigger_pt, inf
    by_pt = sorted(partons(event), reverse=True)
    return any(
        pt_around(eta, phi, by_pt, card.jet_radius + reach) > LOWEST_SHARE_OF_PARTONS * lowest
        for pt, eta, phi in by_pt[:HARDEST]
        if pt < highest and abs(eta) < eta_max + ETA_MARGIN
    )


def visible_products(hard: pythia8mc.Event, index: int) -> list[int]:
    """Indices of the quarks, gluons and charged leptons of the decay of a resonance."""
    products = []
    for daughter in range(hard[index].daughter1(), hard[index].daughter2() + 1):
        species = hard[daughter].idAbs()
        if species in HEAVY:
            products += visible_products(hard, daughter)
        elif species not in NEUTRINOS:
            products.append(daughter)
    return products


def partons(event: pythia8mc.Event) -> list[tuple[float, float, float]]:
    """pT, eta and phi of the final particles so far, without resonances."""
    particles = map(event.__getitem__, range(FIRST_OUTGOING, event.size()))
    return [
        (particle.pT(), particle.eta(), particle.phi())
        for particle in particles
        if particle.isFinal() and particle.idAbs() not in HEAVY
    ]


def pt_around(
    eta: float, phi: float, particles: list[tuple[float, float, float]], radius: float
) -> float:
    """Sum of the pT of particles within `radius` of a direction."""
    return sum(pt for pt, *direction in particles if distance(eta, phi, *direction) < radius)


def electron_deviation(pt: float, eta: float) -> float:
    """Standard deviation [GeV] of an electron's measured pT."""
    region = sum(abs(eta) > edge for edge in TRACK_ETA_EDGES)
    constant, slope = TRACK_RESOLUTION[ELECTRON][region]
    return pt * hypot(constant, slope * pt)


def distance(eta: float, phi: float, other_eta: float, other_phi: float) -> float:
    """Delta R of two directions."""
    angle = abs(phi - other_phi)
    return hypot(eta - other_eta, min(angle, 2 * pi - angle))
