"""Features of jets with NumPy on padded float64 arrays of a whole file, for comparison.

`benchmarks.preprocessing` compares the speed of `preprocessing` with that of this short script,
which computes the same numbers.
"""

import numpy as np

FLOOR = 1e-6


def padded(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Values (constituents, F) of jets with counts (jets,) constituents as (jets, longest, F)."""
    slots = int(counts.max(initial=1))
    array = np.zeros((len(counts), slots, values.shape[1]))
    array[np.arange(slots) < counts[:, None]] = values
    return array


def whole_features(
    momenta: np.ndarray, identity: np.ndarray | None, jet: np.ndarray, slots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features (jets, slots, 7 or more) and jets (jets, 4): pt, eta, mass, multiplicity.

    momenta (jets, P, 4) and jet (jets, 4): pt, eta, phi, energy in GeV, zero where empty;
    identity (jets, P, F). The hardest `slots` constituents are kept.
    """
    multiplicity = np.sum(momenta[:, :, 0] > 0, axis=1)
    order = np.argsort(-momenta[:, :, 0], axis=1, kind="stable")[:, :, None]
    momenta = np.take_along_axis(momenta, order, axis=1)[:, :slots]
    pt, eta, phi, energy = (momenta[:, :, i] for i in range(4))
    is_filled = pt > 0
    delta_eta = eta - jet[:, None, 1]
    delta_phi = phi - jet[:, None, 2]
    delta_phi[delta_phi > np.pi] -= 2 * np.pi
    delta_phi[delta_phi < -np.pi] += 2 * np.pi
    columns = [
        delta_eta,
        delta_phi,
        np.ma.log(np.maximum(1 - pt / jet[:, None, 0], FLOOR)).filled(0),
        np.ma.log(pt).filled(0),
        np.ma.log(np.maximum(1 - energy / jet[:, None, 3], FLOOR)).filled(0),
        np.ma.log(energy).filled(0),
        np.sqrt(delta_eta**2 + delta_phi**2),
    ]
    features = np.stack(columns, axis=-1)
    if identity is not None:
        identity = np.take_along_axis(identity, order, axis=1)[:, :slots]
        features = np.concatenate([features, identity], axis=-1)
    features = features * is_filled[:, :, None]
    momentum = jet[:, 0] * np.cosh(jet[:, 1])
    mass = np.sqrt(np.maximum(jet[:, 3] ** 2 - momentum**2, 0))
    return features, np.stack([jet[:, 0], jet[:, 1], mass, multiplicity], axis=-1)
