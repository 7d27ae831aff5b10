"""Give a collision up before its costly part when no jet of it can come into the window.

Pythia evolves a collision from hard to soft, and nine tenths of the time go into the soft end: most
multiple interactions, hadrons, detector. At `generator.EARLY_SCALE` the hard recoil is decided, for
a fiftieth of that time. A collision goes on if a jet may come out of it within generous margins; a
new and independent one takes its place otherwise, so that jets have no more in common than before.
Of the jets selected without this, at most a percent is given up (0 to 0.5 % of the classes of
JetClass, 0.9 +- 0.4 % of the QCD jets of top tagging), fewer than the cut in pTHat takes; they lie
at the lower edge of the window (tests/simulation/test_simulation_early.py).
Hook: doVetoPT of Pythia's "User Hooks"; C. Bierlich et al., arXiv:2203.11601.
"""

from math import asinh, atan2, hypot, inf, pi

import pythia8mc

from simulation.detector import ELECTRON, NEUTRINOS, TRACK_ETA_EDGES, TRACK_RESOLUTION
from simulation.generator_card import GeneratorCard, Process
from simulation.truth import HARD_PROCESS, HEAVY

# how much of the lower edge in pT has to be in sight: a jet's pT is measured to 3 to 5 %
LOWEST_SHARE = 0.90
LOWEST_SHARE_OF_PARTONS = 0.90  # a jet that no decay is asked of may collect more around it
REACH = 0.2  # beyond the radius of a decay: what lies there may still move into the jet
ETA_MARGIN, RADIUS_MARGIN = 0.15, 0.15  # the jet's axis is not yet that of its products
ELECTRON_DEVIATIONS = 2.0  # an electron of some 100 GeV is measured badly, which may lift the jet
HARDEST = 3  # partons that a jet without a resonance is looked for around
FIRST_OUTGOING = 5  # place of the first outgoing particle of the hard process in Pythia's record


def jet_in_sight(
    recipe: GeneratorCard, process: Process, hard: pythia8mc.Event, event: pythia8mc.Event
) -> bool:
    """Whether a jet of the recipe's window may come out of the collision."""
    if not process.resonance:
        return parton_in_sight(recipe, event)
    created = range(FIRST_OUTGOING, hard.size())
    return any(
        decay_in_sight(recipe, hard, event, place)
        for place in created
        if hard[place].idAbs() == process.resonance and hard[place].status() == HARD_PROCESS
    )


def decay_in_sight(
    recipe: GeneratorCard, hard: pythia8mc.Event, event: pythia8mc.Event, place: int
) -> bool:
    """The same for the decay products of the resonance at `place` of the hard process."""
    recoiled = event[event[place].iBotCopyId()]
    turn = pythia8mc.RotBstMatrix()
    turn.bst(hard[place].p(), recoiled.p())  # as Pythia will place the decay after the recoil
    directions, total, slack = [], [0.0, 0.0, 0.0], 0.0
    for product in visible_products(hard, place):
        momentum = pythia8mc.Vec4(hard[product].p())
        momentum.rotbst(turn)
        eta, pt = momentum.eta(), momentum.pT()
        directions.append((eta, momentum.phi()))
        for axis, component in enumerate((momentum.px(), momentum.py(), momentum.pz())):
            total[axis] += component
        if hard[product].idAbs() == 11:
            slack += ELECTRON_DEVIATIONS * electron_deviation(pt, eta)
    pt = hypot(total[0], total[1])
    eta, phi = asinh(total[2] / pt), atan2(total[1], total[0])
    if abs(eta) > recipe.eta_max + ETA_MARGIN:
        return False
    widest = recipe.jet_radius + RADIUS_MARGIN
    if any(distance(eta, phi, *direction) > widest for direction in directions):
        return False
    missing = LOWEST_SHARE * recipe.pt_range[0] - pt - slack
    return missing < 0 or missing < pt_around(eta, phi, partons(event), recipe.jet_radius + REACH)


def parton_in_sight(recipe: GeneratorCard, event: pythia8mc.Event) -> bool:
    """The same around one of the hardest partons.

    Where a trigger asks for a hard jet at any eta, that jet is looked for: the others follow it.
    """
    lowest, eta_max = recipe.pt_range[0], recipe.eta_max
    if recipe.trigger_pt > lowest:
        lowest, eta_max = recipe.trigger_pt, inf
    radiated = sorted(partons(event), reverse=True)
    return any(
        pt_around(eta, phi, radiated, recipe.jet_radius) > LOWEST_SHARE_OF_PARTONS * lowest
        for _, eta, phi in radiated[:HARDEST]
        if abs(eta) < eta_max + ETA_MARGIN
    )


def visible_products(hard: pythia8mc.Event, place: int) -> list[int]:
    """Places of the quarks, gluons and charged leptons that a resonance decays to."""
    found = []
    for daughter in range(hard[place].daughter1(), hard[place].daughter2() + 1):
        species = hard[daughter].idAbs()
        if species in HEAVY:
            found += visible_products(hard, daughter)
        elif species not in NEUTRINOS:
            found.append(daughter)
    return found


def partons(event: pythia8mc.Event) -> list[tuple[float, float, float]]:
    """pT, eta and phi of what the evolution has radiated so far, resonances left out."""
    places = range(FIRST_OUTGOING, event.size())
    return [
        (one.pT(), one.eta(), one.phi())
        for one in map(event.__getitem__, places)
        if one.isFinal() and one.idAbs() not in HEAVY
    ]


def pt_around(
    eta: float, phi: float, others: list[tuple[float, float, float]], radius: float
) -> float:
    """Sum of the pT within `radius` of a direction."""
    return sum(pt for pt, *direction in others if distance(eta, phi, *direction) < radius)


def electron_deviation(pt: float, eta: float) -> float:
    """Standard deviation [GeV] of an electron's measured pT."""
    region = sum(abs(eta) > edge for edge in TRACK_ETA_EDGES)
    constant, slope = TRACK_RESOLUTION[ELECTRON][region]
    return pt * hypot(constant, slope * pt)


def distance(eta: float, phi: float, other_eta: float, other_phi: float) -> float:
    """Delta R of two directions."""
    turn = abs(phi - other_phi)
    return hypot(eta - other_eta, min(turn, 2 * pi - turn))
