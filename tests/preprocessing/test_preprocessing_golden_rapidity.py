"""Sets with rapidities against the preprocessing of the released code, difference by difference."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from golden import FLOOR, released_arrays, stored_arrays

from omnilearn.data.catalogue import CMS, OMNIFOLD, QG
from omnilearn.kinematics import from_rapidity
from preprocessing import cms, omnifold, qg
from preprocessing.identity import masses

LEPTONS, NEUTRONS, K_SHORT = (11, 13), (2112,), (310,)
LEVELS = {"sim": "reco", "gen": "gen"}  # of OmniFold, and our names


@dataclass
class Case:
    """Jets that both keep, each with its hardest constituents, and the public columns of these."""

    theirs: np.ndarray  # (jets, 100 or 101, 13)
    ours: np.ndarray
    their_jets: np.ndarray  # (jets, 4)
    our_jets: np.ndarray
    pt: np.ndarray  # (jets, 100 or 101), as mass [GeV], rapidity and pdg_id
    rapidity: np.ndarray
    pdg_id: np.ndarray
    mass: np.ndarray
    counted_after_truncation: int  # jets whose multiplicity there is that of the slots

    @property
    def real(self) -> np.ndarray:
        return self.pt > 0


@pytest.fixture(scope="module")
def qg_case():
    released, here = released_arrays("qg"), Path("qg")
    ours = stored_arrays(qg.chunk(released["in.x"], released["in.y"], here, 0), QG, here)
    np.testing.assert_array_equal(ours["pid"], released["out.pid"])
    # the constituents of these jets fall in pt already, so the same hundred are kept
    public = released["in.x"][:, :100]
    assert (np.diff(public[..., 0]) <= 0).all()
    pt, rapidity, _, pdg_id = np.moveaxis(public, -1, 0)
    mass = np.where(pt > 0, masses(pdg_id.ravel(), here, "X").reshape(pt.shape), 0)
    jets = released["out.data"], ours["data"], released["out.jet"], ours["jet"]
    return Case(*jets, pt, rapidity, pdg_id, mass, 0)


@pytest.fixture(scope="module")
def cms_case(tmp_path_factory):
    released = released_arrays("cms")
    path = tmp_path_factory.mktemp("cms") / "SIM470_golden_0.h5"
    counts = released["in.n_particles"]
    particles = released["in.particles_padded"]
    columns = {
        "jets_i": ("fn", "evn", "hard_pid"),
        # the correction and the weight of these jets are 1
        "jets_f": ("jet_pt", "jet_y", "jet_phi", "jet_m", "jet_eta", "jec", "jet_area", "weight"),
    }
    with h5py.File(path, "w") as file:
        for key, names in columns.items():
            file[key] = released[f"in.{key}"]
            file[key].attrs["cols"] = names
        file["pfcs"] = particles[np.arange(particles.shape[1]) < counts[:, None]]
        file["pfcs_index"] = np.concatenate([[0], np.cumsum(counts)])
    chunk = next(cms.read(path))
    assert chunk.rejected == {"of no parton": 2, "of charm or beauty": 8}
    ours = stored_arrays(chunk, CMS, path)

    parton = np.abs(released["in.jets_i"][:, 2])
    selected = np.flatnonzero((parton < 4) | (parton == 21))
    rows = selected[released["mid.balanced_index_into_selected"]]  # as many of either class
    theirs = {
        key: np.concatenate([released[f"out.{split}.{key}"] for split in ("train", "val", "test")])
        for key in ("data", "jet", "pid")
    }
    both = np.isin(rows, ours["source"][:, 1])
    # jets of no parton are gluons there
    assert parton[rows[~both]].tolist() == [0, 0]
    assert (theirs["pid"][~both] == 0).all()
    place = np.searchsorted(ours["source"][:, 1], rows[both])
    np.testing.assert_array_equal(ours["pid"][place], theirs["pid"][both])
    public = np.zeros((both.sum(), 100, 6))
    for jet, row in enumerate(rows[both]):
        hard = particles[row][particles[row, :, 0] >= 1][:100]
        public[jet, : len(hard)] = hard
    pt, rapidity, _, mass, pdg_id, _ = np.moveaxis(public, -1, 0)
    jets = theirs["data"][both], ours["data"][place], theirs["jet"][both], ours["jet"][place]
    return Case(*jets, pt, rapidity, pdg_id, mass, 1)


@pytest.fixture(scope="module")
def released_omnifold():
    return released_arrays("omnifold")


@pytest.fixture(scope="module")
def omnifold_rows(released_omnifold):
    """All our arrays of the events."""
    arrays, here = {}, Path("omnifold")
    for level in LEVELS:
        for key in ("jets", "particles"):
            arrays[f"{level}_{key}"] = released_omnifold[f"in.{level}_{key}"]
        for key in omnifold.SUBSTRUCTURE:
            arrays[f"{level}_{key}"] = released_omnifold[f"in.subs.{level}_{key}"]
    return stored_arrays(omnifold.chunk(arrays, 0, here, 0), OMNIFOLD, here)


def omnifold_case(released, rows, level: str) -> Case:
    # the constituents of these jets fall in pt already, so the same 101 are kept
    public = released[f"in.{level}_particles"][:, :101]
    assert (np.diff(public[..., 0]) <= 0).all()
    pt, rapidity, _, code = np.moveaxis(public, -1, 0)
    pdg_id = np.where(pt > 0, omnifold.PDG_IDS[np.rint(code * 10).astype(int)], 22)
    mass = masses(pdg_id.ravel(), Path("omnifold"), "particles").reshape(pt.shape)
    theirs = [released[f"out.{level}_{key}"] for key in ("points", "jets")]
    ours = [rows[f"{LEVELS[level]}{key}"] for key in ("", "_jets")]
    rapidity = rapidity + released[f"in.{level}_jets"][:, None, 1]
    return Case(theirs[0], ours[0], theirs[1], ours[1], 100 * pt, rapidity, pdg_id, mass, 0)


@pytest.fixture(params=["qg", "cms", *LEVELS])
def case(request):
    """One data set, or one level of OmniFold."""
    if request.param not in LEVELS:
        return request.getfixturevalue(f"{request.param}_case")
    arrays = map(request.getfixturevalue, ("released_omnifold", "omnifold_rows"))
    return omnifold_case(*arrays, request.param)


def test_phi_pt_and_the_flags_equal_the_released_ones(case):
    for column in (1, 3, 8, 10, 11, 12):
        np.testing.assert_allclose(case.ours[..., column], case.theirs[..., column], atol=2e-6)
    other = case.ours[..., 9] != case.theirs[..., 9]  # a K-short has no flag there
    assert set(np.abs(case.pdg_id[other])) <= set(K_SHORT)


def test_jets_equal_the_released_ones_and_count_all_constituents(case):
    ours, theirs = case.our_jets, case.their_jets
    np.testing.assert_allclose(ours[:, :3], theirs[:, :3], rtol=1e-6, atol=3e-4)
    cut = ours[:, 3] != theirs[:, 3]
    assert cut.sum() == case.counted_after_truncation
    assert (theirs[cut, 3] == 100).all()
    assert (ours[cut, 3] > 100).all()


def test_eta_is_pseudorapidity_where_the_released_one_is_rapidity(case):
    jet_eta = case.our_jets[:, None, 1]
    rapidity = np.where(case.real, case.rapidity - jet_eta, 0)
    np.testing.assert_allclose(case.theirs[..., 0], rapidity, atol=2e-6)
    momenta = from_rapidity(case.pt, case.rapidity, 0.0 * case.pt, case.mass)
    eta = np.where(case.real, momenta[..., 1] - jet_eta, 0)
    np.testing.assert_allclose(case.ours[..., 0], eta, atol=3e-6)
    assert np.abs(case.ours[..., 0] - case.theirs[..., 0]).max() > 0.1
    delta_r = np.hypot(case.ours[..., 0], case.ours[..., 1])
    np.testing.assert_allclose(case.ours[..., 6], delta_r, rtol=1e-6, atol=2e-7)


def test_energy_has_the_mass_that_the_released_one_lacks(case):
    real = case.real
    massless = (case.pt * np.cosh(case.rapidity))[real]
    energy = (np.hypot(case.pt, case.mass) * np.cosh(case.rapidity))[real]
    np.testing.assert_allclose(case.theirs[real][:, 5], np.log(massless), atol=2e-6)
    np.testing.assert_allclose(case.ours[real][:, 5], np.log(energy), atol=2e-6)
    share = -np.expm1(case.theirs[real][:, 4])
    comparable = (share > 1e-3) & (share < 0.99)
    jet_energy = massless[comparable] / share[comparable]  # the same for both
    ours = case.ours[real][comparable, 4]
    np.testing.assert_allclose(ours, np.log1p(-energy[comparable] / jet_energy), atol=2e-4)


def test_log_one_minus_pt_rel_equals_the_released_one_above_the_floor(case):
    ours, theirs = case.ours[..., 2], case.theirs[..., 2]
    comparable = (theirs > np.log(1e-5)) & (ours > np.log(1e-5))
    np.testing.assert_allclose(ours[comparable], theirs[comparable], atol=1e-5)
    # the jet of one constituent: log(0) is stored as 0 there, and the mask loses the jet
    lost = case.real & (theirs == 0)
    assert lost.sum() == 1
    np.testing.assert_allclose(ours[lost], FLOOR, rtol=1e-6)


def test_charge_is_electric_where_the_released_one_is_a_sign(case):
    ours, theirs, species = case.ours[..., 7], case.theirs[..., 7], np.abs(case.pdg_id)
    leptons, neutral = np.isin(species, LEPTONS), np.isin(species, NEUTRONS + K_SHORT)
    np.testing.assert_array_equal(ours[leptons], -theirs[leptons])
    np.testing.assert_array_equal(ours[neutral], 0)
    np.testing.assert_array_equal(theirs[neutral], np.sign(case.pdg_id[neutral]))
    others = ~leptons & ~neutral
    np.testing.assert_array_equal(ours[others], theirs[others])
    assert leptons.any()


@pytest.mark.parametrize(("level", "our_level"), LEVELS.items())
def test_omnifold_observables_equal_the_released_ones_where_these_are_defined(
    released_omnifold, omnifold_rows, level, our_level
):
    theirs, ours = released_omnifold[f"out.{level}_subs"], omnifold_rows[f"{our_level}_subs"]
    same = [0, 1, 2, 4]
    np.testing.assert_allclose(ours[:, same], theirs[:, same], rtol=1e-6, atol=1e-6)
    # no mass after soft drop: the largest value there, the smallest one here
    massless = theirs[:, 3] == 0
    assert massless.any()
    np.testing.assert_allclose(ours[massless, 3], 2 * FLOOR, rtol=1e-6)
    np.testing.assert_allclose(ours[~massless, 3], theirs[~massless, 3], rtol=1e-6)
    # no width: 1e50 times tau2 there, 0 here
    narrow = theirs[:, 1] == 0
    assert theirs[narrow, 5].max() > 1e48
    assert (ours[narrow, 5] == 0).all()
    np.testing.assert_allclose(ours[~narrow, 5], theirs[~narrow, 5], rtol=1e-6)
