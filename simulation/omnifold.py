"""OmniFold Z+jets: the hardest jet beside a Z, with and without the detector, in npz files.

A. Andreassen et al., arXiv:1911.09107 and doi:10.5281/zenodo.3548091: 14 TeV, a stable Z above
200 GeV, anti-kT 0.4, Delphes with the CMS card. There Herwig plays the data; here it is a second
Pythia with less radiation and other fragmentation, called PythiaAlt in the file names.

By default one detector measures both samples. With --response shifted that of PythiaAlt alone
differs by amounts that an imperfect simulation may have: track efficiency 3 % lower, resolution of
tracks and calorimeters 20 % worse, hadronic energy scale 2 % higher. Particle level and Pythia21
stay the same, event by event. An unfolding, which takes the response from the simulation, is then
biased, by any method.
"""

import argparse
from dataclasses import asdict, replace
from functools import partial

import awkward as ak
import numpy as np

from omnilearn.clustering import angularity, cluster, softdrop, subjettiness
from omnilearn.kinematics import delta_phi
from simulation.detector import NOMINAL, Detector, Objects, reconstruct, visible
from simulation.generator import Events
from simulation.generator_card import Z_AND_PARTON, GeneratorCard, Process
from simulation.plan import OutputFile, add_jets, files_of_one_process
from simulation.sample import total_momentum
from simulation.writers import npz, slots

Z_BOSON, Z_PT_MIN = 23, 200.0  # GeV
JETS_PER_FILE = 100_000
PT_UNIT = 100.0  # GeV
# f_PID of the public files: k / 10 for the k-th of these ids
PDG_IDS = (22, 211, -211, 130, 11, -11, 13, -13, 321, -321, 2212, -2212, 2112, -2112)
Z_PLUS_JET = (*Z_AND_PARTON, "WeakZ0:gmZmode = 2", "23:mayDecay = off", "Tune:pp = 21")
STAND_IN = (
    "PythiaAlt is Pythia 8 with alpha_s 0.105 in the final-state shower and Lund a 0.3, b 0.8; "
    "it takes the place of Herwig"
)
DATA = "PythiaAlt"  # the sample that plays the data
SHIFTED = Detector(track_efficiency=0.97, resolution=1.2, hadronic_scale=1.02)
RESPONSES = {"nominal": NOMINAL, "shifted": SHIFTED}  # of the detector that measures DATA

PROCESSES = (
    Process("Pythia21", (Z_PLUS_JET,), jets_per_second=56),
    Process(
        DATA,
        (
            (
                *Z_PLUS_JET,
                "TimeShower:alphaSvalue = 0.105",
                "StringZ:aLund = 0.3",
                "StringZ:bLund = 0.8",
            ),
        ),
        jets_per_second=75,
    ),
)


def hardest_jets(card: GeneratorCard, objects: Objects, count: int) -> ak.Array:
    """Constituents (count, var objects) of the hardest jet of each event, if it has one."""
    constituents, event = cluster(objects.by_event(count), card.jet_radius, card.pt_range[0])
    px, py, _, _ = total_momentum(constituents)
    order = np.lexsort((-np.hypot(px, py), event))
    with_jet, first = np.unique(event[order], return_index=True)
    hardest = constituents[order[first]]
    size = np.zeros(count, np.int64)
    size[with_jet] = ak.num(hardest)
    return ak.unflatten(ak.flatten(hardest), size)


def boosted_events(
    card: GeneratorCard,
    process: Process,
    events: Events,
    rng: np.random.Generator,
    data_detector: Detector = NOMINAL,
) -> ak.Array:
    """Events with a hard Z and a jet at particle level, with the jets of both levels.

    Events without a jet at detector level are kept as events that the detector missed. Events of
    the process DATA are measured by `data_detector`. Fields: sim and gen (events, var objects),
    Z_{pt, y, phi}.
    """
    measured = card.objects
    if process.name == DATA:
        measured = partial(card.objects, detector=data_detector)
    final = (events.status > 0) & (events.pdg_id == Z_BOSON)
    # without the Z, which belongs to no jet
    rest = replace(events, status=np.where(final, -events.status, events.status))
    levels = {
        "sim": hardest_jets(card, measured(rest, rng), events.count),
        "gen": hardest_jets(card, visible(rest, rng), events.count),
    }
    z = np.zeros(events.count, np.int64)
    z[events.event[final]] = np.flatnonzero(final)
    z_pt = np.hypot(events.px[z], events.py[z])
    z_momentum = {
        "Z_pt": z_pt,
        "Z_y": np.arctanh(events.pz[z] / events.energy[z]),
        "Z_phi": np.arctan2(events.py[z], events.px[z]),
    }
    selected = (z_pt > Z_PT_MIN) & (ak.to_numpy(ak.num(levels["gen"])) > 0)
    return ak.zip(levels | z_momentum, depth_limit=1)[selected]


def level_columns(part: ak.Array) -> dict[str, np.ndarray]:
    """Suffix of the public name -> values (events, ...) at one level; zeros without a jet.

    Angularities and tau2 have angles in units of the jet radius.
    """
    radius, has_jet = CARD.jet_radius, ak.to_numpy(ak.num(part)) > 0
    part = part[has_jet]
    px, py, pz, energy = total_momentum(part)
    pt, y, phi = np.hypot(px, py), np.arctanh(pz / energy), np.arctan2(py, px)
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0.0))
    part_phi = ak.to_numpy(ak.flatten(np.arctan2(part.py, part.px)))
    size = ak.num(part)
    code = np.zeros(len(part_phi))
    for index, pdg_id in enumerate(PDG_IDS):
        code[ak.to_numpy(ak.flatten(part.pdg_id)) == pdg_id] = index / 10
    relative = (
        np.hypot(part.px, part.py) / PT_UNIT,
        np.arctanh(part.pz / part.energy) - y,
        ak.unflatten(delta_phi(part_phi, np.repeat(phi, size)), size),
        ak.unflatten(code, size),
    )
    longest = int(ak.max(size, initial=1, mask_identity=False))
    softdrop_mass, z_g = softdrop(part, radius)
    arrays = {
        "jets": np.stack([pt, y, phi % (2 * np.pi), mass], axis=-1),
        "particles": np.stack([slots(values, longest) for values in relative], axis=-1),
        "mults": ak.to_numpy(size),
        "lhas": angularity(part, radius, beta=0.5),
        "widths": angularity(part, radius, beta=1.0),
        "ang2s": angularity(part, radius, beta=2.0),
        "tau2s": subjettiness(part, radius)[:, 1],
        "sdms": softdrop_mass,
        "zgs": z_g,
    }
    result = {name: np.zeros((len(has_jet), *values.shape[1:])) for name, values in arrays.items()}
    for name, values in arrays.items():
        result[name][has_jet] = values
    return result


def columns(events: ak.Array, split: str) -> dict[str, np.ndarray]:
    """The public arrays of both levels, (events, ...) float64, and the Z."""
    z = np.stack([ak.to_numpy(events[f"Z_{name}"]) for name in ("pt", "y", "phi")], axis=-1)
    z[:, 2] %= 2 * np.pi
    levels = {
        f"{level}_{name}": values
        for level in ("gen", "sim")
        for name, values in level_columns(events[level]).items()
    }
    return levels | {"gen_Zs": z}


CARD = GeneratorCard(
    name="omnifold",
    # with 190, the Z would have a mean pT of 273 GeV instead of 267
    settings=("Beams:eCM = 14000.", "PhaseSpace:pTHatMin = 150."),
    processes=PROCESSES,
    jet_radius=0.4,
    pt_range=(20.0, np.inf),  # as in the card of Delphes
    eta_max=np.inf,
    chunk_size=500,
    columns=columns,
    writer=npz,
    select=boosted_events,
    objects=reconstruct,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that only this dataset has."""
    add_jets(
        parser, "events of each of the two samples; preprocessing shares them among the splits"
    )
    factors = ", ".join(f"{name} {value:g}" for name, value in asdict(SHIFTED).items())
    parser.add_argument(
        "--response",
        choices=RESPONSES,
        default="nominal",
        help=f"detector of {DATA}; nominal: that of Pythia21, shifted: that times the factors "
        f"{factors} (default: nominal)",
    )


def card(args: argparse.Namespace) -> GeneratorCard:
    """The card whose data are measured with the response of --response."""
    return replace(CARD, select=partial(boosted_events, data_detector=RESPONSES[args.response]))


def stand_in(args: argparse.Namespace) -> str:
    """What takes the place of the public data, for simulation.json."""
    detector = RESPONSES[args.response]
    if detector == NOMINAL:
        return STAND_IN
    factors = ", ".join(f"{name} {value:g}" for name, value in asdict(detector).items())
    return f"{STAND_IN}; its detector differs from that of Pythia21 by the factors {factors}"


def files(args: argparse.Namespace) -> list[OutputFile]:
    """Files of 100k events, numbered as the public ones."""
    return files_of_one_process(
        CARD,
        args.jets,
        JETS_PER_FILE,
        lambda process, number: args.out / f"{process}_Zjet_pTZ-200GeV_{number}.npz",
    )
