"""Four-momenta and the features of constituents relative to their jet.

A four-momentum is (pt, eta, phi, energy) in GeV and radians; eta is the pseudorapidity, of the
constituent and of the jet alike. The seven kinematic features follow arXiv:2502.14652, Table 8.
Everything is computed in float64.
"""

import numpy as np

LOG_FLOOR = 1e-6  # least 1 - rel: a constituent may carry the whole jet


def wrap_phi(phi: np.ndarray) -> np.ndarray:
    """The same angle in [-pi, pi), any shape, radians."""
    phi = np.asarray(phi, dtype=np.float64)
    # whole turns are subtracted: an angle inside the interval keeps its last bit
    wrapped = phi - 2 * np.pi * np.floor((phi + np.pi) / (2 * np.pi))
    return np.where(wrapped >= np.pi, -np.pi, wrapped)


def delta_phi(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The angle from b to a in [-pi, pi), broadcast over any shapes, radians."""
    return wrap_phi(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64))


def to_cartesian(momenta: np.ndarray) -> np.ndarray:
    """(..., 4) pt, eta, phi, energy -> (..., 4) px, py, pz, energy [GeV]."""
    pt, eta, phi, energy = np.moveaxis(np.asarray(momenta, dtype=np.float64), -1, 0)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=-1)


def from_cartesian(momenta: np.ndarray) -> np.ndarray:
    """(..., 4) px, py, pz, energy -> (..., 4) pt, eta, phi, energy; eta is 0 where pt is 0."""
    px, py, pz, energy = np.moveaxis(np.asarray(momenta, dtype=np.float64), -1, 0)
    pt = np.sqrt(px * px + py * py)
    eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pt), where=pt > 0))
    return np.stack([pt, eta, wrap_phi(np.arctan2(py, px)), energy], axis=-1)


def from_rapidity(pt: np.ndarray, y: np.ndarray, phi: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """pt, rapidity, phi and mass, all (...) -> (..., 4) pt, eta, phi, energy; eta 0 where pt is."""
    pt, y, phi, mass = (np.asarray(values, dtype=np.float64) for values in (pt, y, phi, mass))
    transverse = np.sqrt(pt * pt + mass * mass)
    eta = np.arcsinh(np.divide(transverse * np.sinh(y), pt, out=np.zeros_like(pt), where=pt > 0))
    return np.stack([pt, eta, wrap_phi(phi), transverse * np.cosh(y)], axis=-1)


def invariant_mass(momenta: np.ndarray) -> np.ndarray:
    """Mass of (..., 4) pt, eta, phi, energy -> (...) [GeV]; a negative squared mass counts as 0."""
    pt, eta, _, energy = np.moveaxis(np.asarray(momenta, dtype=np.float64), -1, 0)
    momentum = pt * np.cosh(eta)
    # (E - p)(E + p) keeps digits that E^2 - p^2 loses for boosted jets
    return np.sqrt(np.maximum((energy - momentum) * (energy + momentum), 0.0))


def to_rapidity(momenta: np.ndarray) -> np.ndarray:
    """(..., 4) pt, eta, phi, energy -> (..., 4) pt, rapidity, phi, mass [GeV]."""
    pt, eta, phi, _ = np.moveaxis(np.asarray(momenta, dtype=np.float64), -1, 0)
    mass = invariant_mass(momenta)
    transverse = np.hypot(pt, mass)
    pz = pt * np.sinh(eta)
    ratio = np.divide(pz, transverse, out=np.zeros_like(pz), where=transverse > 0)
    return np.stack([pt, np.arcsinh(ratio), phi, mass], axis=-1)


def sum_constituents(constituents: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """The jet (..., 4) of constituents (..., P, 4), both pt, eta, phi, energy.

    `mask` (..., P) is 1 for real constituents; without it those with pt > 0 are summed.
    """
    constituents = np.asarray(constituents, dtype=np.float64)
    real = constituents[..., 0] > 0 if mask is None else np.asarray(mask, dtype=bool)
    return from_cartesian((to_cartesian(constituents) * real[..., None]).sum(axis=-2))


def jet_mass(constituents: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Mass (...) of the sum of constituents (..., P, 4) pt, eta, phi, energy [GeV]."""
    return invariant_mass(sum_constituents(constituents, mask))


def log_one_minus(relative: np.ndarray) -> np.ndarray:
    """log(1 - relative), with 1 - relative clipped at LOG_FLOOR so that it is finite."""
    return np.log1p(-np.minimum(relative, 1 - LOG_FLOOR))


def relative_features(constituents: np.ndarray, jet: np.ndarray) -> np.ndarray:
    """Constituents (..., P, 4) and their jet (..., 4), pt eta phi energy -> (..., P, 7) features.

    eta_rel, phi_rel, log(1 - pt/pt_jet), log pt, log(1 - E/E_jet), log E, delta R; slots with
    pt = 0 are padding and stay zero. Ragged jets come as (n, 1, 4) with one jet per constituent.
    """
    constituents = np.asarray(constituents, dtype=np.float64)
    jet = np.asarray(jet, dtype=np.float64)[..., None, :]
    pt, eta, phi, energy = np.moveaxis(constituents, -1, 0)
    jet_pt, jet_eta, jet_phi, jet_energy = np.moveaxis(jet, -1, 0)
    real = pt > 0
    features = np.empty((*constituents.shape[:-1], 7))
    features[..., 0] = eta - jet_eta
    features[..., 1] = delta_phi(phi, jet_phi)
    features[..., 2] = log_one_minus(pt / jet_pt)
    features[..., 3] = np.log(np.where(real, pt, 1.0))
    features[..., 4] = log_one_minus(energy / jet_energy)
    features[..., 5] = np.log(np.where(real, energy, 1.0))
    features[..., 6] = np.sqrt(features[..., 0] ** 2 + features[..., 1] ** 2)
    if not real.all():
        features[~real] = 0.0
    return features


def from_relative(features: np.ndarray, jet: np.ndarray) -> np.ndarray:
    """The inverse: features (..., P, 7 or more) and jet (..., 4) -> (..., P, 4) pt eta phi energy.

    Padded slots (all features zero) stay zero.
    """
    features = np.asarray(features, dtype=np.float64)
    _, jet_eta, jet_phi, _ = np.moveaxis(np.asarray(jet, dtype=np.float64)[..., None, :], -1, 0)
    eta = features[..., 0] + jet_eta
    phi = wrap_phi(features[..., 1] + jet_phi)
    # log pt and log E keep all digits; log(1 - rel) loses those of soft and of clipped ones
    pt, energy = np.exp(features[..., 3]), np.exp(features[..., 5])
    real = (features[..., :7] != 0).any(axis=-1)
    return np.stack([pt, eta, phi, energy], axis=-1) * real[..., None]


def count_clipped(features: np.ndarray) -> int:
    """Number of log(1 - pt_rel) and log(1 - e_rel) of features (..., 7 or more) at the floor."""
    floor = log_one_minus(np.asarray(1.0))
    # float32 files hold the floor rounded, by at most one part in 10^7
    return int(np.count_nonzero(np.asarray(features)[..., (2, 4)] <= floor * (1 - 1e-7)))
