"""From PDG ids to the six identity features (charge, then five flags) and to masses."""

from pathlib import Path

import numpy as np

from omnilearn.errors import UserError

CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(5)
# |PDG id| -> (flag, electric charge of the positive id, mass in GeV); Review of Particle Physics,
# where a lepton with positive id is negative. 1 and 2 are the hadronic and electromagnetic
# deposits that CMS sees in its forward calorimeters; 0 is a particle nothing is known of.
SPECIES = {
    0: (NEUTRAL_HADRON, 0, 0.0),
    1: (NEUTRAL_HADRON, 0, 0.0),
    2: (PHOTON, 0, 0.0),
    11: (ELECTRON, -1, 0.000511),
    13: (MUON, -1, 0.105658),
    22: (PHOTON, 0, 0.0),
    130: (NEUTRAL_HADRON, 0, 0.497611),
    310: (NEUTRAL_HADRON, 0, 0.497611),
    2112: (NEUTRAL_HADRON, 0, 0.939565),
    3122: (NEUTRAL_HADRON, 0, 1.115683),
    3322: (NEUTRAL_HADRON, 0, 1.31486),
    211: (CHARGED_HADRON, 1, 0.139570),
    321: (CHARGED_HADRON, 1, 0.493677),
    2212: (CHARGED_HADRON, 1, 0.938272),
    3112: (CHARGED_HADRON, -1, 1.197449),
    3222: (CHARGED_HADRON, 1, 1.18937),
    3312: (CHARGED_HADRON, -1, 1.32171),
    3334: (CHARGED_HADRON, -1, 1.67245),
}


def identity(pdg_id: np.ndarray, path: Path, key: str) -> np.ndarray:
    """Charge and flags (n, 6) float32 of PDG ids (n,), which may be stored as floats.

    Raises UserError naming file and key for an id that no constituent has.
    """
    found, sign, inverse = species_of(pdg_id, path, key)
    table = np.zeros((len(found), 6), np.float32)
    for row, (flag, charge, _) in enumerate(found):
        table[row, 0] = charge * sign[row]
        table[row, 1 + flag] = 1.0
    return table[inverse]


def masses(pdg_id: np.ndarray, path: Path, key: str) -> np.ndarray:
    """Masses (n,) in GeV of PDG ids (n,); raises UserError as `identity` does."""
    found, _, inverse = species_of(pdg_id, path, key)
    return np.array([mass for _, _, mass in found])[inverse]


def species_of(
    pdg_id: np.ndarray, path: Path, key: str
) -> tuple[list[tuple[int, int, float]], np.ndarray, np.ndarray]:
    """Entry of SPECIES and sign of each different id, and which of them each constituent has."""
    different, inverse = np.unique(pdg_id, return_inverse=True)
    found = []
    for one in different:
        if not np.isfinite(one) or one != int(one) or abs(int(one)) not in SPECIES:
            raise UserError(
                f"{path}: {key} holds the particle {one:g}, which is no PDG id of a jet "
                f"constituent ({', '.join(map(str, SPECIES))} are); is this file of another "
                "layout?"
            )
        found.append(SPECIES[abs(int(one))])
    return found, np.sign(different), inverse
