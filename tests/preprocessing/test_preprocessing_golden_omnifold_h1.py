"""OmniFold and H1 against the preprocessing of the released code, difference by difference."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from golden import FLOOR, released_arrays, stored_arrays

from omnilearn.data.catalogue import H1, OMNIFOLD
from omnilearn.kinematics import from_rapidity
from preprocessing import h1, omnifold
from preprocessing.identity import masses

HERE = Path("golden")
SLOTS = 101


@pytest.fixture(scope="module")
def released():
    return released_arrays("omnifold")


@pytest.fixture(scope="module")
def omnifold_rows(released):
    arrays = {}
    for level in omnifold.LEVELS:
        for key in ("jets", "particles"):
            arrays[f"{level}_{key}"] = released[f"in.{level}_{key}"]
        for key in omnifold.SUBSTRUCTURE:
            arrays[f"{level}_{key}"] = released[f"in.subs.{level}_{key}"]
    return stored_arrays(omnifold.chunk(arrays, 0, HERE, 0), OMNIFOLD, HERE)


@pytest.fixture(params=["sim", "gen"])
def level(request, released, omnifold_rows):
    """One level: (released arrays by name, ours, public constituents (events, 101, 4), species)."""
    our_level = {"sim": "reco", "gen": "gen"}[request.param]
    theirs = {key: released[f"out.{request.param}_{key}"] for key in ("points", "jets", "subs")} | {
        "axis": released[f"in.{request.param}_jets"]
    }
    ours = {
        key: omnifold_rows[OMNIFOLD.key(name, our_level)]
        for key, name in (
            ("points", "data"),
            ("jets", "jet"),
            ("subs", "observables"),
            ("multiplicity", "multiplicity"),
        )
    }
    # the constituents of these jets fall in pt already, so the same 101 are kept
    public = released[f"in.{request.param}_particles"][:, :SLOTS]
    assert (np.diff(public[..., 0]) <= 0).all()
    species = omnifold.PDG_IDS[np.rint(public[..., 3] * 10).astype(int)]
    return theirs, ours, public, np.where(public[..., 0] > 0, species, 22)


def test_omnifold_phi_pt_and_flags_equal_the_released_ones(level):
    theirs, ours, _, _ = level
    for column in (1, 3, *range(8, 13)):
        np.testing.assert_allclose(
            ours["points"][..., column], theirs["points"][..., column], atol=2e-6
        )


def test_omnifold_jets_and_multiplicities_equal_the_released_ones(level):
    theirs, ours, _, _ = level
    # jets of one particle have a mass of rounding
    np.testing.assert_allclose(ours["jets"], theirs["jets"], rtol=3e-6, atol=3e-4)
    np.testing.assert_array_equal(ours["multiplicity"], theirs["jets"][:, 3])


def test_omnifold_charge_is_electric_where_the_released_one_is_a_sign(level):
    theirs, ours, public, species = level
    real = public[..., 0] > 0
    expected = theirs["points"][..., 7].copy()
    assert (expected[np.abs(species) == 2112] != 0).all()  # the sign of the neutron's code
    expected[np.abs(species) == 2112] = 0
    lepton = np.isin(np.abs(species), (11, 13)) & real
    assert (expected[lepton] == np.sign(species[lepton])).all()
    expected[lepton] *= -1
    np.testing.assert_array_equal(ours["points"][..., 7], expected)


def test_omnifold_eta_and_energy_have_the_mass_that_the_released_ones_lack(level):
    theirs, ours, public, species = level
    real = public[..., 0] > 0
    pt = 100 * public[..., 0][real]
    rapidity = (public[..., 1] + theirs["axis"][:, None, 1])[real]
    jet_eta = np.repeat(ours["jets"][:, 1].astype(float), real.sum(axis=1))
    np.testing.assert_allclose(theirs["points"][real][:, 0], rapidity - jet_eta, atol=2e-6)
    energy = theirs["points"][real][:, 5]
    np.testing.assert_allclose(energy, np.log(pt * np.cosh(rapidity)), atol=2e-6)
    mass = masses(species[real], HERE, "particles")
    momenta = from_rapidity(pt, rapidity, 0 * pt, mass)
    # soft and heavy: far apart; both angles are large there
    np.testing.assert_allclose(
        ours["points"][real][:, 0], momenta[:, 1] - jet_eta, rtol=1e-6, atol=3e-6
    )
    np.testing.assert_allclose(ours["points"][real][:, 5], np.log(momenta[:, 3]), atol=3e-6)
    massless = mass == 0
    np.testing.assert_allclose(
        ours["points"][real][massless][:, [0, 5, 6]],
        theirs["points"][real][massless][:, [0, 5, 6]],
        atol=3e-6,
    )


def test_omnifold_log_one_minus_pt_rel_equals_the_released_one_above_the_floor(level):
    theirs, ours, _, _ = level
    expected = theirs["points"][..., 2]
    comparable = expected > np.log(1e-5)  # 1 - rel below is rounding of the inputs
    comparable[0] = False  # the jet of one constituent: log(0) is stored as 0 there
    np.testing.assert_allclose(ours["points"][..., 2][comparable], expected[comparable], atol=1e-5)
    assert ours["points"][0, 0, 2] == pytest.approx(FLOOR)


def test_omnifold_observables_equal_the_released_ones_where_these_are_defined(level):
    theirs, ours, _, _ = level
    for column in (0, 1, 2, 4):
        np.testing.assert_allclose(
            ours["subs"][:, column], theirs["subs"][:, column], rtol=1e-6, atol=1e-6
        )
    # no mass after soft drop: the largest value there, the smallest one here
    massless = theirs["subs"][:, 3] == 0
    assert massless.any()
    np.testing.assert_allclose(ours["subs"][massless, 3], 2 * FLOOR, rtol=1e-6)
    np.testing.assert_allclose(ours["subs"][~massless, 3], theirs["subs"][~massless, 3], rtol=1e-6)
    # no width: 1e50 times tau2 there, 0 here
    narrow = theirs["subs"][:, 1] == 0
    assert theirs["subs"][narrow, 5].max() > 1e48
    assert (ours["subs"][narrow, 5] == 0).all()
    np.testing.assert_allclose(ours["subs"][~narrow, 5], theirs["subs"][~narrow, 5], rtol=1e-6)


@pytest.fixture(scope="module")
def h1_case():
    """(released arrays, public constituents (jets, 30, 6), all our arrays) of the jets that pass"""
    case = released_arrays("h1")
    particles = case["in.particles"]
    counts = (particles[..., 0] > 0).sum(axis=1)
    flat = particles[np.arange(particles.shape[1]) < counts[:, None]]
    ones = np.ones(len(counts))
    branches = {"Q2": 200.0 * ones, "y": 0.3 * ones, "ptmiss": 1.0 * ones, "Empz": 55.0 * ones}
    for place, name in enumerate(h1.JET):
        branches[name] = ak.unflatten(case["in.jets"][:, place], ones.astype(int))
    for place, name in enumerate((*h1.CONSTITUENT, h1.JET_INDEX)):
        branches[name] = ak.unflatten(flat[:, place], counts)
    chunk = h1.chunk(ak.zip(branches, depth_limit=1), 1, HERE, 0)
    # the cuts come before what is compared here
    assert chunk.rejected == {"with a leading jet outside -1.5 < eta < 2.75": 5}
    case = {key: values[chunk.rows] for key, values in case.items()}
    return case, particles[chunk.rows], stored_arrays(chunk, H1, HERE)


def test_h1_angles_logs_and_charge_equal_the_released_ones(h1_case):
    case, _, ours = h1_case
    # the constituents of these jets fall in pt already
    assert (np.diff(case["in.particles"][..., 0]) <= 0).all()
    for column in (0, 1, 3, 5, 6, 7):
        np.testing.assert_allclose(
            ours["data"][..., column], case["out.points"][..., column], atol=2e-6
        )


def test_h1_log_one_minus_rel_equals_the_released_one_except_at_and_above_one(h1_case):
    case, particles, ours = h1_case
    for column, place in ((2, 0), (4, 3)):
        fraction, theirs = particles[..., place], case["out.points"][..., column]
        beyond = fraction >= 1
        assert beyond.any()
        assert (theirs[beyond] == 0).all()  # and so the released mask loses these constituents
        np.testing.assert_allclose(ours["data"][..., column][beyond], FLOOR, rtol=1e-6)
        comparable = ~beyond & (fraction < 1 - 1e-5)
        np.testing.assert_allclose(
            ours["data"][..., column][comparable], theirs[comparable], atol=2e-5
        )


def test_h1_jets_equal_the_released_ones(h1_case):
    case, _, ours = h1_case
    np.testing.assert_allclose(ours["jet"], case["out.jets"], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(ours["multiplicity"], case["out.jets"][:, 3])
