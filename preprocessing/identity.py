"""The six identity features (charge, then five flags) and the masses of PDG ids."""

from pathlib import Path

import numpy as np

from omnilearn.errors import UserError

DEPOSITS = (1, 2)  # see SPECIES; -1 and -2 are quarks, or charges in place of ids
OF_FILES = "is this file of another layout?"
CHARGED_HADRON, NEUTRAL_HADRON, PHOTON, ELECTRON, MUON = range(5)
# |PDG id| -> (flag, electric charge of the positive id, mass in GeV); Review of Particle Physics,
# where a lepton with positive id is negative. 1 and 2 are the hadronic and electromagnetic
# deposits in the forward calorimeters of CMS; 0 is a particle without identification.
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


def identity(pdg_id: np.ndarray, path: Path, key: str, advice: str = OF_FILES) -> np.ndarray:
    """Charge and flags (n, 6) float32 of PDG ids (n,), which may be stored as floats.

    Raises UserError naming file and key for an id that is not in SPECIES, and ending with `advice`.
    """
    species, sign, inverse = species_of(pdg_id, path, key, advice)
    table = np.zeros((len(species), 6), np.float32)
    for row, (flag, charge, _) in enumerate(species):
        table[row, 0] = charge * sign[row]
        table[row, 1 + flag] = 1.0
    return table[inverse]


def masses(pdg_id: np.ndarray, path: Path, key: str) -> np.ndarray:
    """Masses (n,) in GeV of PDG ids (n,); raises UserError as `identity` does."""
    species, _, inverse = species_of(pdg_id, path, key)
    return np.array([mass for _, _, mass in species])[inverse]


def species_of(
    pdg_id: np.ndarray, path: Path, key: str, advice: str = OF_FILES
) -> tuple[list[tuple[int, int, float]], np.ndarray, np.ndarray]:
    """Entry of SPECIES and sign of each unique id, and the index of the one of each constituent."""
    unique, inverse = np.unique(pdg_id, return_inverse=True)
    species = []
    for value in unique:
        is_id = np.isfinite(value) and value == int(value) and abs(int(value)) in SPECIES
        if not is_id or -int(value) in DEPOSITS:
            raise UserError(
                f"{path}: {key} holds the particle {value:.16g}, which is no PDG id of a jet "
                f"constituent ({', '.join(map(str, SPECIES))} are); {advice}"
            )
        species.append(SPECIES[abs(int(value))])
    return species, np.sign(unique), inverse
