"""Relative features against a literal implementation, and under rotations, boosts and scaling."""

import math

import numpy as np
import pytest

from omnilearn import kinematics as kin


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def jets(rng):
    """Constituents (50, 20, 4) and jets (50, 4), axes at phi = pi among them."""
    axis_eta = rng.uniform(-2, 2, (50, 1))
    axis_phi = np.where(rng.random((50, 1)) < 0.5, math.pi, rng.uniform(-math.pi, math.pi, (50, 1)))
    pt = rng.exponential(20.0, (50, 20)) + 0.5
    eta = axis_eta + rng.normal(0, 0.2, (50, 20))
    phi = kin.wrap_phi(axis_phi + rng.normal(0, 0.2, (50, 20)))
    mass = rng.choice([0.0, 0.13957, 0.938], (50, 20))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    constituents = np.stack([pt, eta, phi, energy], axis=-1)
    constituents[np.arange(20) >= rng.integers(2, 21, 50)[:, None]] = 0.0
    return constituents, kin.sum_constituents(constituents)


def literal_features(constituents, jet):
    """The seven features, one constituent at a time, as the table of the paper reads."""
    rows = []
    for pt, eta, phi, energy in constituents:
        if pt <= 0:
            rows.append([0.0] * 7)
            continue
        eta_rel = eta - jet[1]
        phi_rel = phi - jet[2]
        while phi_rel >= math.pi:
            phi_rel -= 2 * math.pi
        while phi_rel < -math.pi:
            phi_rel += 2 * math.pi
        rows.append(
            [
                eta_rel,
                phi_rel,
                math.log(max(1 - pt / jet[0], 1e-6)),
                math.log(pt),
                math.log(max(1 - energy / jet[3], 1e-6)),
                math.log(energy),
                math.hypot(eta_rel, phi_rel),
            ]
        )
    return rows


def test_features_equal_the_literal_implementation(jets):
    constituents, jet = jets
    expected = [literal_features(c, j) for c, j in zip(constituents, jet, strict=True)]
    np.testing.assert_allclose(kin.relative_features(constituents, jet), expected, atol=1e-9)


def test_features_invert_to_four_momenta(jets):
    constituents, jet = jets
    features = kin.relative_features(constituents, jet).astype(np.float32)
    momenta = kin.from_relative(features, jet)
    np.testing.assert_allclose(momenta[..., [0, 3]], constituents[..., [0, 3]], rtol=1e-5)
    np.testing.assert_allclose(momenta[..., 1], constituents[..., 1], atol=1e-5)
    difference = kin.delta_phi(momenta[..., 2], constituents[..., 2])
    np.testing.assert_allclose(difference, 0.0, atol=1e-5)


def test_phi_wraps_into_minus_pi_to_pi():
    angles = np.array(
        [math.pi, -math.pi, 3 * math.pi, 0.0, 3.0, 3.5, -3.5, -1e-17 - math.pi, 100.0]
    )
    wrapped = kin.wrap_phi(angles)
    assert (wrapped >= -math.pi).all()
    assert (wrapped < math.pi).all()
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angles), atol=1e-13)
    assert wrapped[0] == -math.pi


def test_an_angle_inside_the_interval_keeps_its_last_bit(rng):
    angles = rng.uniform(-3.1, 3.1, 1000)
    assert (kin.wrap_phi(angles) == angles).all()


def test_delta_phi_across_pi_is_small():
    assert kin.delta_phi(math.pi - 0.1, -math.pi + 0.1) == pytest.approx(-0.2)
    assert kin.delta_phi(-math.pi + 0.1, math.pi - 0.1) == pytest.approx(0.2)


def test_rotating_jet_and_constituents_in_phi_changes_nothing(jets):
    constituents, jet = jets
    before = kin.relative_features(constituents, jet)
    for angle in (0.3, math.pi, -2.5):
        constituents[..., 2] = kin.wrap_phi(constituents[..., 2] + angle)
        jet[..., 2] = kin.wrap_phi(jet[..., 2] + angle)
        np.testing.assert_allclose(kin.relative_features(constituents, jet), before, atol=1e-12)


def test_boost_along_the_beam_changes_only_the_energies_of_massless_jets(jets):
    constituents, _ = jets
    constituents[..., 3] = constituents[..., 0] * np.cosh(constituents[..., 1])
    jet = np.stack([kin.sum_constituents(constituents)[:, i] for i in range(4)], axis=-1)
    jet[:, 3] = jet[:, 0] * np.cosh(jet[:, 1])
    before = kin.relative_features(constituents, jet)
    for momenta in (constituents, jet):
        momenta[..., 1] += 0.7 * (momenta[..., 0] > 0)
        momenta[..., 3] = momenta[..., 0] * np.cosh(momenta[..., 1])
    after = kin.relative_features(constituents, jet)
    np.testing.assert_allclose(
        after[..., [0, 1, 2, 3, 6]], before[..., [0, 1, 2, 3, 6]], atol=1e-12
    )
    assert np.abs(after[..., 5] - before[..., 5]).max() > 0.1


def test_scaling_all_momenta_shifts_only_the_logarithms(jets):
    constituents, jet = jets
    before = kin.relative_features(constituents, jet)
    scale = np.array([3.0, 1.0, 1.0, 3.0])
    after = kin.relative_features(constituents * scale, jet * scale)
    np.testing.assert_allclose(after[..., [0, 1, 2, 4, 6]], before[..., [0, 1, 2, 4, 6]], atol=1e-9)
    real = constituents[..., 0] > 0
    np.testing.assert_allclose(after[real][:, [3, 5]] - before[real][:, [3, 5]], math.log(3.0))


def test_a_constituent_with_the_momentum_of_the_jet_is_clipped_and_counted():
    jet = np.array([[600.0, 0.5, 1.0, 600.0 * math.cosh(0.5)]])
    constituents = np.stack([jet, [[1.0, 0.4, 1.1, 1.1]], np.zeros((1, 4))], axis=1)
    features = kin.relative_features(constituents, jet)
    assert features[0, 0, 2] == pytest.approx(math.log(1e-6))
    assert features[0, 0, 4] == pytest.approx(math.log(1e-6))
    assert np.isfinite(features).all()
    assert kin.count_clipped(features) == 2
    assert kin.count_clipped(features.astype(np.float32)) == 2


def test_a_constituent_above_the_jet_pt_gives_the_floor_and_not_nan():
    jet = np.array([500.0, 0.0, 0.0, 500.0])
    features = kin.relative_features(np.array([[700.0, 0.0, 0.0, 700.0]]), jet)
    assert features[0, 2] == pytest.approx(math.log(1e-6))


def test_padding_stays_zero_in_both_directions():
    jet = np.array([[500.0, 1.0, 2.0, 800.0]])
    features = kin.relative_features(np.zeros((1, 5, 4)), jet)
    assert (features == 0).all()
    assert (kin.from_relative(features, jet) == 0).all()


def test_ragged_constituents_give_the_same_features(jets):
    constituents, jet = jets
    real = constituents[..., 0] > 0
    jet_of = np.repeat(jet, real.sum(axis=1), axis=0)
    flat = kin.relative_features(constituents[real][:, None], jet_of)[:, 0]
    np.testing.assert_array_equal(flat, kin.relative_features(constituents, jet)[real])


def test_cartesian_and_cylindrical_are_inverse(jets):
    constituents, _ = jets
    inverted = kin.from_cartesian(kin.to_cartesian(constituents))
    np.testing.assert_allclose(inverted, constituents, atol=1e-10)


def test_rapidity_and_pseudorapidity_are_inverse_and_equal_for_photons(jets):
    constituents, _ = jets
    momenta = constituents[constituents[..., 0] > 0]
    inverted = kin.from_rapidity(*np.moveaxis(kin.to_rapidity(momenta), -1, 0))
    np.testing.assert_allclose(inverted, momenta, rtol=1e-9)
    photon = np.array([30.0, 1.3, 0.2, 30.0 * np.cosh(1.3)])
    np.testing.assert_allclose(kin.to_rapidity(photon)[:2], [30.0, 1.3])


def test_rapidity_is_that_of_energy_and_longitudinal_momentum():
    energy, pz = 50.0, 40.0
    rapidity = 0.5 * np.log((energy + pz) / (energy - pz))
    momentum = kin.from_rapidity(10.0, rapidity, 0.0, np.sqrt(50**2 - 40**2 - 10**2))
    np.testing.assert_allclose(kin.to_cartesian(momentum), [10.0, 0.0, 40.0, 50.0], atol=1e-12)
    assert kin.from_rapidity(0.0, 0.0, 0.0, 0.0).tolist() == [0.0, 0.0, 0.0, 0.0]


def test_two_back_to_back_photons_have_the_mass_of_the_z():
    momenta = kin.from_cartesian(
        np.array([[45.5, 0, 0, 45.5], [-45.5, 0, 0, 45.5], [9, 9, 9, 99.0]])
    )
    assert kin.jet_mass(momenta, mask=np.array([1, 1, 0])) == pytest.approx(91.0)


def test_negative_squared_mass_counts_as_zero():
    assert kin.invariant_mass(np.array([500.0, 0.0, 0.0, 499.0])) == 0.0


def test_mass_is_the_same_after_a_rotation(jets):
    constituents, _ = jets
    before = kin.jet_mass(constituents)
    constituents[..., 2] = kin.wrap_phi(constituents[..., 2] + 1.3)
    np.testing.assert_allclose(kin.jet_mass(constituents), before, rtol=1e-9)
