"""The detector response: energy scale, mixture of objects, and each of its parts."""

import awkward as ak
import numpy as np
import pytest

from omnilearn.clustering import cluster, softdrop_mass, subjettiness
from omnilearn.kinematics import delta_phi, from_cartesian
from simulation.detector import (
    CHARGED_HADRON,
    ECAL_REGIONS,
    ELECTRON,
    MUON,
    NEUTRAL_HADRON,
    PHOTON,
    Detector,
    cells,
    log_normal,
    reconstruct,
    track_efficiency,
    visible,
)
from simulation.generator import Events, Generator
from simulation.sample import total_momentum
from simulation.truth import decay_products, resonances

MUON_ID, PHOTON_ID, PION_ID, KLONG_ID, NEUTRINO_ID = 13, 22, 211, 130, 12


@pytest.fixture(scope="module")
def dijets():
    settings = (
        "Beams:eCM = 13000.",
        "HardQCD:all = on",
        "PhaseSpace:pTHatMin = 200.",
        "PartonLevel:MPI = off",
        "ParticleDecays:limitTau0 = on",
        "ParticleDecays:tau0Max = 10.",
    )
    return Generator(settings, seed=1).events(400)


@pytest.fixture(scope="module")
def objects(dijets):
    return reconstruct(dijets, np.random.default_rng(1))


def gun(pdg_id: int, charge: float, energy: float, eta: float, count: int) -> Events:
    """`count` events with one massless particle each."""
    pt, phi = energy / np.cosh(eta), np.linspace(-3, 3, count)
    integers = {"pdg_id": pdg_id, "status": 1, "daughter1": -1, "daughter2": -1}
    return Events(
        count=count,
        event=np.arange(count),
        px=pt * np.cos(phi),
        py=pt * np.sin(phi),
        pz=np.full(count, pt * np.sinh(eta)),
        energy=np.full(count, energy),
        x=np.zeros(count),
        y=np.zeros(count),
        z=np.zeros(count),
        charge=np.full(count, charge),
        weight=np.ones(count),
        **{name: np.full(count, value) for name, value in integers.items()},
    )


def test_jet_response_is_close_to_one(dijets, objects):
    truth = visible(dijets, np.random.default_rng(1))
    generated, generated_event = cluster(truth.by_event(dijets.count), 0.4, 200.0)
    measured, measured_event = cluster(objects.by_event(dijets.count), 0.4, 50.0)
    (pt, eta, phi, _), (measured_pt, measured_eta, measured_phi, _) = (
        from_cartesian(np.stack(total_momentum(jets), axis=-1)).T for jets in (generated, measured)
    )
    response = []
    for jet in np.flatnonzero(abs(eta) < 2):
        distance = np.hypot(measured_eta - eta[jet], delta_phi(measured_phi, phi[jet]))
        close = (distance < 0.2) & (measured_event == generated_event[jet])
        if close.any():
            response.append(measured_pt[close].max() / pt[jet])
    assert len(response) > 300
    assert abs(np.median(response) - 0.98) < 0.015
    assert 0.03 < np.std(response) < 0.12


def test_objects_are_half_charged_hadrons_and_two_fifths_photons(dijets, objects):
    jets, _ = cluster(objects.by_event(dijets.count), 0.8, 200.0)
    kinds = np.bincount(ak.to_numpy(ak.flatten(jets.kind)), minlength=5)
    share = kinds / kinds.sum()
    assert 0.49 < share[CHARGED_HADRON] < 0.60
    assert 0.35 < share[PHOTON] < 0.44
    assert 0.03 < share[NEUTRAL_HADRON] < 0.075
    assert share[ELECTRON] + share[MUON] < 0.03


@pytest.mark.parametrize(
    ("pdg_id", "charge", "kind", "resolution"),
    [
        (MUON_ID, -1, MUON, 0.0112),
        (PHOTON_ID, 0, PHOTON, 0.0203),
        (KLONG_ID, 0, NEUTRAL_HADRON, 0.22),
    ],
)
def test_a_single_particle_is_measured_with_the_resolution_of_its_detector(
    pdg_id, charge, kind, resolution
):
    objects = reconstruct(gun(pdg_id, charge, 50.0, 0.3, 4000), np.random.default_rng(2))
    assert set(objects.kind) == {kind}
    assert len(objects.event) > 3800
    assert abs(objects.energy.mean() / 50.0 - 1) < 0.02
    assert abs(objects.energy.std() / 50.0 / resolution - 1) < 0.15


@pytest.mark.parametrize(
    ("pdg_id", "detector", "mean", "resolution"),
    [
        (MUON_ID, Detector(resolution=1.5), 1.0, 1.5 * 0.0112),
        (PHOTON_ID, Detector(resolution=1.5), 1.0, 1.5 * 0.0203),
        (KLONG_ID, Detector(resolution=1.5), 1.0, 1.5 * 0.22),
        (PHOTON_ID, Detector(hadronic_scale=1.2), 1.0, 0.0203),
        (KLONG_ID, Detector(hadronic_scale=1.2), 1.2, 1.2 * 0.22),
    ],
)
def test_another_detector_has_another_scale_and_resolution(pdg_id, detector, mean, resolution):
    particles = gun(pdg_id, -1 if pdg_id == MUON_ID else 0, 50.0, 0.3, 4000)
    objects = reconstruct(particles, np.random.default_rng(2), detector=detector)
    assert abs(objects.energy.mean() / 50.0 - mean) < 0.025
    assert abs(objects.energy.std() / 50.0 / resolution - 1) < 0.15


def test_another_detector_loses_more_tracks():
    pions, detector = gun(PION_ID, 1, 50.0, 0.3, 4000), Detector(track_efficiency=0.9)
    found = reconstruct(pions, np.random.default_rng(3), detector=detector)
    assert abs((found.kind == CHARGED_HADRON).sum() / 4000 - 0.9 * 0.95) < 0.015


def test_energy_of_a_lost_track_stays_as_a_neutral_hadron():
    count = 4000
    objects = reconstruct(gun(PION_ID, 1, 50.0, 0.3, count), np.random.default_rng(3))
    tracks = objects.kind == CHARGED_HADRON
    assert abs(tracks.sum() / count - 0.95) < 0.015
    lost = np.setdiff1d(np.arange(count), objects.event[tracks])
    recovered = objects[np.isin(objects.event, lost)]
    assert set(recovered.kind) == {NEUTRAL_HADRON}
    assert len(recovered.event) > 0.95 * len(lost)
    # beside a track only an upward fluctuation of two resolutions remains
    assert (objects.kind == NEUTRAL_HADRON).sum() - len(recovered.event) < 0.05 * count


def test_neutrinos_and_particles_along_the_beam_are_not_reconstructed():
    rng = np.random.default_rng(4)
    assert len(reconstruct(gun(NEUTRINO_ID, 0, 50.0, 0.3, 10), rng).event) == 0
    assert len(reconstruct(gun(PION_ID, 1, 500.0, 6.0, 10), rng).event) == 0


def test_prompt_tracks_have_impact_parameters_of_one_resolution():
    objects = reconstruct(gun(MUON_ID, -1, 20.0, 1.0, 4000), np.random.default_rng(5))
    assert abs(np.std(objects.d0 / objects.d0_error) - 1) < 0.05
    assert abs(np.std(objects.dz / objects.dz_error) - 1) < 0.05


def test_efficiency_follows_momentum_and_pseudorapidity():
    pion = np.full(5, CHARGED_HADRON)
    pt, eta = np.array([0.05, 0.5, 5.0, 5.0, 5.0]), np.array([0.0, 0.0, 0.0, -2.0, 2.6])
    np.testing.assert_array_equal(track_efficiency(pion, pt, eta), [0, 0.7, 0.95, 0.85, 0])


def test_log_normal_has_the_given_mean_and_width():
    values = log_normal(np.full(100_000, 3.0), np.full(100_000, 0.6), np.random.default_rng(6))
    assert abs(values.mean() - 3.0) < 0.01
    assert abs(values.std() - 0.6) < 0.01
    assert values.min() > 0


def test_a_cell_contains_the_direction_that_hits_it():
    rng = np.random.default_rng(7)
    eta, phi = rng.uniform(-5, 5, 10_000), rng.uniform(-np.pi, np.pi, 10_000)
    event = np.zeros(10_000, int)
    key, low_eta, low_phi, width_eta, width_phi = cells(ECAL_REGIONS, event, eta, phi)
    inside_eta, inside_phi = (abs(eta) - low_eta) / width_eta, (phi - low_phi) / width_phi
    for inside in (inside_eta, inside_phi):
        assert inside.min() > -1e-9
        assert inside.max() < 1 + 1e-9
    mirrored = cells(ECAL_REGIONS, event, -eta, phi)[0]
    assert not np.isin(mirrored, key).all()
    assert (mirrored != key).all()


def test_a_jet_of_one_particle_has_no_substructure():
    momentum = {"px": [[600.0]], "py": [[0.0]], "pz": [[10.0]], "energy": [[np.hypot(600, 10)]]}
    particle = ak.zip({name: ak.Array(values) for name, values in momentum.items()})
    assert abs(softdrop_mass(particle, 0.8)[0]) < 1e-3
    np.testing.assert_array_equal(subjettiness(particle, 0.8), np.zeros((1, 4)))


def test_the_decay_of_a_top_ends_in_three_quarks():
    settings = (
        "Beams:eCM = 13000.",
        "Top:gg2ttbar = on",
        "24:onMode = off",
        "24:onIfAny = 1 2 3 4 5",
        "PartonLevel:MPI = off",
    )
    events = Generator(settings, seed=1).events(10)
    tops = resonances(events, 6)
    assert len(tops) == 20
    products = decay_products(events, tops)
    real = products >= 0
    assert (real.sum(axis=1) == 3).all()
    quarks = np.where(real, abs(events.pdg_id[products]), 0)
    assert quarks.max() <= 5
    assert (np.sort(quarks)[:, -1] == 5).all()
    energy = np.where(real, events.energy[products], 0).sum(axis=1)
    # the W recoils a little against radiation from the beauty quark before it decays
    np.testing.assert_allclose(energy, events.energy[tops], rtol=0.05)
