"""Our features against the preprocessing of the released code, difference by difference."""

from pathlib import Path

import numpy as np
import pytest
from golden import DATA, FLOOR, released_arrays, stored_arrays

from omnilearn.data.catalogue import JETCLASS, TOP
from preprocessing import jetclass, top


@pytest.fixture(scope="module")
def jetclass_case():
    """(released outputs, our constituents (50, 150, 13), all our arrays)"""
    path = DATA / "jetclass_50.root"
    ours = stored_arrays(next(jetclass.read(path)), JETCLASS, path)
    return released_arrays("jetclass"), ours["data"], ours


@pytest.fixture(scope="module")
def top_case():
    """(released outputs, our constituents (40, 100, 7), all our arrays)"""
    released = released_arrays("top")
    ours = stored_arrays(top.chunk(released["in.table"], Path("top"), 0), TOP, Path("top"))
    return released, ours["data"][:, :100], ours


def test_jetclass_angles_logs_and_identity_equal_the_released_ones(jetclass_case):
    released, data, _ = jetclass_case
    for column in (1, 3, 5, *range(7, 13)):
        np.testing.assert_allclose(data[..., column], released["out.data"][..., column], atol=2e-6)


def test_jetclass_eta_is_that_of_the_momenta_whatever_sign_part_deta_carries(jetclass_case):
    # part_deta of this file lacks the factor sign(jet_eta), which the released code takes out:
    # its eta_rel is mirrored for jets at negative eta, and 0 for the jet at eta = 0 (row 19)
    released, data, _ = jetclass_case
    sign = np.sign(released["in.jet_eta"])[:, None]
    np.testing.assert_allclose(data[..., 0] * sign, released["out.data"][..., 0], atol=2e-6)
    others = np.arange(50) != 19  # whose jet_eta was set to 0 without touching part_deta
    stored = released["in.part_deta"][:, :150]
    np.testing.assert_allclose(data[others, :, 0], stored[others], atol=2e-6)
    delta_r = np.hypot(data[..., 0], data[..., 1])
    np.testing.assert_allclose(data[..., 6], delta_r, atol=2e-7)
    np.testing.assert_allclose(data[others, :, 6], released["out.data"][others, :, 6], atol=2e-6)


def test_jetclass_log_one_minus_rel_differs_by_the_added_1e_6_alone(jetclass_case):
    released, data, records = jetclass_case
    real = np.arange(150) < records["multiplicity"][:, None]
    for column in (2, 4):
        theirs = released["out.data"][..., column][real].astype(np.float64)
        # single float32 steps of 1 - rel make the logarithm useless near rel = 1
        one_minus = np.exp(np.where(np.isnan(theirs), -np.inf, theirs)) - 1e-6
        comparable = one_minus > 1e-4
        ours = data[..., column][real].astype(np.float64)
        np.testing.assert_allclose(np.exp(ours[comparable]), one_minus[comparable], atol=4e-7)
        assert (ours[~comparable] <= np.log(1.1e-4)).all()


def test_jetclass_constituents_beyond_the_jet_pt_are_at_the_floor_and_not_nan(jetclass_case):
    released, data, _ = jetclass_case
    nan = np.isnan(released["out.data"])
    assert nan.any(axis=(1, 2)).nonzero()[0].tolist() == [17, 18]
    np.testing.assert_allclose(data[nan], FLOOR, rtol=1e-6)
    assert np.isfinite(data).all()


def test_jetclass_jets_equal_the_released_ones_except_negative_masses(jetclass_case):
    released, _, records = jetclass_case
    theirs = released["out.jet"].copy()
    negative = theirs[:, 2] < 0
    assert negative.nonzero()[0].tolist() == [0, 18]  # energy below momentum
    theirs[negative, 2] = 0.0
    np.testing.assert_allclose(records["jet"], theirs, rtol=2e-4, atol=2e-3)
    np.testing.assert_array_equal(records["pid"], released["out.pid"])


def test_jetclass_multiplicity_keeps_the_constituents_that_the_released_mask_loses(jetclass_case):
    released, data, records = jetclass_case
    np.testing.assert_array_equal(records["multiplicity"], released["in.jet_nparticles"])
    their_mask = released["out.data"][..., 2] != 0
    our_mask = np.arange(150) < records["multiplicity"][:, None]
    lost = our_mask & ~their_mask
    assert lost.any(axis=1).nonzero()[0].tolist() == [14, 15, 35]
    assert (data[lost][:, 3] != 0).all()
    assert not (their_mask & ~our_mask).any()


def test_top_columns_equal_the_released_ones(top_case):
    released, data, records = top_case
    for column in (1, 3, 5):
        np.testing.assert_allclose(data[..., column], released["out.data"][..., column], atol=2e-6)
    np.testing.assert_allclose(records["jet"], released["out.jet"], rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(records["pid"], released["out.pid"])


def test_top_eta_is_pseudorapidity_where_the_released_one_is_rapidity(top_case):
    released, data, records = top_case
    energy, _, _, pz = np.moveaxis(released["in.table"][:, :400].reshape(40, 100, 4), -1, 0)
    real = np.arange(100) < records["multiplicity"][:, None]
    energy, pz = energy[real], pz[real]
    rapidity = 0.5 * np.log((energy + pz) / (energy - pz))
    jet_eta = np.repeat(records["jet"][:, 1], real.sum(axis=1))
    np.testing.assert_allclose(released["out.data"][real][:, 0], rapidity - jet_eta, atol=2e-6)
    pt = np.exp(data[real][:, 3].astype(np.float64))
    np.testing.assert_allclose(data[real][:, 0], np.arcsinh(pz / pt) - jet_eta, atol=3e-6)
    assert np.abs(data[..., 0] - released["out.data"][..., 0]).max() > 1.0
    delta_r = np.hypot(data[..., 0], data[..., 1])
    np.testing.assert_allclose(data[..., 6], delta_r, atol=2e-7)


def test_top_log_one_minus_rel_equals_the_released_one_above_the_floor(top_case):
    released, data, _ = top_case
    for column in (2, 4):
        theirs = released["out.data"][..., column]
        comparable = theirs > np.log(1e-5)  # 1 - rel below is rounding of the inputs
        ours = data[..., column]
        same = comparable & ~(ours <= np.log(1e-5))
        np.testing.assert_allclose(ours[same], theirs[same], atol=1e-5)
        # the jet of one constituent: log(0) is stored as 0 there, and the mask loses the jet
        assert np.argwhere(comparable & ~same).tolist() in ([[0, 0]], [])
    assert data[0, 0, 2] == pytest.approx(FLOOR)
    assert released["out.data"][0, 0, 2] == 0.0
