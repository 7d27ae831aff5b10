"""The early veto loses few jets and changes no spectrum."""

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
from scipy.stats import ks_2samp
from small_samples import CLEAN, without_mpi

from omnilearn.kinematics import from_cartesian, invariant_mass
from simulation import aspen, qg, top
from simulation.early import electron_deviation
from simulation.generator import Generator
from simulation.generator_card import GeneratorCard, Process
from simulation.sample import jets_in_window, simulate, total_momentum

QG_SETTINGS = ("Beams:eCM = 14000.", "PhaseSpace:pTHatMin = 430.")  # more jets per collision
CARDS = {
    "jetclass": CLEAN,
    "top": top.CARD,
    "aspen": without_mpi(aspen.CARD),
    "qg": without_mpi(replace(qg.CARD, settings=QG_SETTINGS)),
}
CASES = [  # partons, quarks, leptons, two jets, both; a narrow window; a trigger; both edges
    *(("jetclass", name) for name in ("QCD", "Hbb", "Hqql", "Zqq", "Tbl")),
    ("top", "QCD"),
    ("top", "top"),
    ("aspen", "data"),
    ("qg", "gluon"),
    ("qg", "quark"),
]
EVENTS = 600  # per process, of which 80 or more give a jet
JETS = 250
# a smaller p-value in any of ten comparisons per process has a probability of 1 %
LOWEST_P = 0.01 / (10 * len(CASES))


def card_and_process(dataset: str, name: str) -> tuple[GeneratorCard, Process]:
    card = CARDS[dataset]
    return card, next(process for process in card.processes if process.name == name)


@pytest.mark.parametrize(("dataset", "name"), CASES)
def test_few_selected_jets_come_from_vetoed_collisions(dataset, name):
    card, process = card_and_process(dataset, name)
    decisions: dict[float, bool] = {}

    def record_decision(hard, event) -> bool:
        decisions[hard[5].px()] = card.can_give_jet(card, process, hard, event)
        return True

    generator = Generator((*card.settings, *process.variants[0]), 5, record_decision)
    events = generator.events(EVENTS)
    first = np.searchsorted(events.event, np.arange(EVENTS))
    can_give_jet = np.array([decisions[px] for px in events.px[first + 5]])
    jets = jets_in_window(card, process, events, np.random.default_rng(1))
    per_event = np.bincount(ak.to_numpy(jets.event), minlength=EVENTS)
    assert per_event.sum() > 50
    assert per_event[~can_give_jet].sum() <= 0.03 * per_event.sum()
    # a good part of the collisions without a jet is vetoed
    assert np.mean(~can_give_jet) > 0.25


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "name"), CASES)
def test_spectra_are_those_without_the_veto(dataset, name):
    card, process = card_and_process(dataset, name)
    samples = [
        observables(simulate(version, process, 0, JETS, seed, np.random.default_rng(seed)))
        for seed, version in enumerate((replace(card, can_give_jet=None), card), start=21)
    ]
    for quantity, values in samples[0].items():
        assert ks_2samp(values, samples[1][quantity]).pvalue > LOWEST_P, quantity


def observables(jets: ak.Array) -> dict[str, np.ndarray]:
    """Observables with one value per jet, as the two-sample test requires."""
    part = jets.constituents
    pt = np.hypot(part.px, part.py)
    random = np.random.default_rng(0).integers(0, ak.to_numpy(ak.num(pt)))
    return {
        "pt": jets.pt,
        "eta": jets.eta,
        "mass": invariant_mass(from_cartesian(np.stack(total_momentum(part), axis=-1))),
        "multiplicity": ak.num(pt),
        "hardest constituent": ak.max(pt, axis=1),
        "a random constituent": pt[np.arange(len(pt)), random],
        "charged constituents": ak.sum(part.charge != 0, axis=1),
        "leptons": ak.sum(part.kind >= 3, axis=1),
        "pt of the resonance": jets.truth_pt,
        "eta of the resonance": jets.truth_eta,
    }


def test_a_forward_electron_is_measured_worst():
    assert electron_deviation(300, 0.1) < electron_deviation(300, 1.0) < electron_deviation(300, 2)
    assert electron_deviation(10, 0.1) == pytest.approx(10 * np.hypot(0.03, 0.013))


def test_the_same_seed_gives_the_same_jets():
    _, process = card_and_process("jetclass", "Zqq")
    pts = [simulate(CLEAN, process, 0, 20, seed, np.random.default_rng(1)).pt for seed in (1, 1, 2)]
    assert ak.array_equal(pts[0], pts[1])
    assert not ak.array_equal(pts[0], pts[2])
