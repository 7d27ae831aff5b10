"""H1 against the preprocessing of the released code, difference by difference."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from golden import FLOOR, released_arrays, stored_arrays

from omnilearn.data.catalogue import H1
from preprocessing import h1

HERE = Path("golden")


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
