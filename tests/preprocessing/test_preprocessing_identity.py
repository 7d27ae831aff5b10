"""Identity features: the electric charge, and one flag per constituent."""

from pathlib import Path

import numpy as np
import pytest
import pythia8mc

from omnilearn.errors import UserError
from preprocessing.identity import SPECIES, identity, masses

HERE = Path("file.npz")


def test_the_charge_is_electric_for_leptons_and_zero_for_neutrons():
    ids = np.array([211, -211, 11, -11, 13, -13, 22, 130, 2112, -2112, 2212, -321, 0], float)
    charge = identity(ids, HERE, "X")[:, 0]
    np.testing.assert_array_equal(charge, [1, -1, -1, 1, -1, 1, 0, 0, 0, 0, 1, -1, 0])


def test_every_constituent_has_exactly_one_flag():
    flags = identity(np.array([211, 130, 22, 11, 13]), HERE, "X")[:, 1:]
    np.testing.assert_array_equal(flags, np.eye(5))


def test_masses_are_those_of_the_particle_data_tables():
    pythia = pythia8mc.Pythia("", False)
    stable = [pdg_id for pdg_id in SPECIES if pdg_id > 2]
    expected = [pythia.particleData.m0(pdg_id) for pdg_id in stable]
    np.testing.assert_allclose(masses(np.array(stable), HERE, "X"), expected, atol=2e-4)
    np.testing.assert_array_equal(masses(np.array([0, 1, 2, 22]), HERE, "X"), 0.0)
    assert masses(np.array([-211]), HERE, "X") == masses(np.array([211]), HERE, "X")


@pytest.mark.parametrize("impossible", [6.0, 0.5, np.nan, 1e12])
def test_an_impossible_particle_is_named(impossible):
    with pytest.raises(UserError, match=r"file\.npz: X holds the particle"):
        identity(np.array([211.0, impossible]), HERE, "X")


def test_charges_in_place_of_ids_are_refused():
    with pytest.raises(UserError, match="X holds the particle -1, which is no PDG id of a jet"):
        identity(np.array([-1, 0, 1, 1]), Path("QG_jets.npz"), "X")
