"""Excerpts of real data against numbers of other programs; skipped where there are none."""

import numpy as np
import pytest
from golden import REAL
from public_order import in_public_order

from omnilearn.kinematics import invariant_mass, to_cartesian
from preprocessing import aspen
from preprocessing.jet_chunk import summed_jets


def expected(folder: str) -> dict[str, np.ndarray]:
    """Column -> values (rows,); skips the test where the excerpt is missing."""
    path = REAL / folder / "expected.npz"
    if not path.is_file():
        pytest.skip(f"no real data in {REAL}")
    with np.load(path) as stored:
        return dict(zip(stored["columns"].tolist(), stored["values"].T, strict=True))


def test_real_events_of_the_lhc_olympics_agree_with_pandas_and_fastjet(convert, tmp_path):
    known = expected("lhco_tiny")
    convert("lhco", "--raw", REAL / "lhco_tiny")
    stored = in_public_order(tmp_path / "lhco")
    rows = stored["source"][:, 1]
    passes = (known["pt1"] > 1200) & (np.abs(known["eta1"]) < 2.5)
    np.testing.assert_array_equal(rows, np.flatnonzero(passes))
    np.testing.assert_array_equal(stored["pid"], known["label"][rows])
    for jet in (0, 1):
        theirs = [known[f"{name}{jet + 1}"][rows] for name in ("pt", "eta", "phi", "mass", "n")]
        np.testing.assert_array_equal(stored["multiplicity"][:, jet], theirs[-1])
        # the file keeps single precision
        ours = stored["jet"][:, jet]
        np.testing.assert_allclose(ours, np.stack(theirs, axis=-1), rtol=3e-7, atol=1e-6)
    np.testing.assert_allclose(stored["observables"][:, 0], known["dijet_mass"][rows], rtol=1e-7)


def test_real_cms_jets_have_the_momentum_and_the_mass_that_cms_gives_them():
    known = expected("aspen_layout_from_pfnano")
    (path,) = (REAL / "aspen_layout_from_pfnano").glob("Run*.h5")
    (chunk,) = aspen.read(path)
    np.testing.assert_array_equal(chunk.counts, known["n_with_puppi_weight"])
    np.testing.assert_allclose(chunk.jet[:, 0], known["cms_pt"], rtol=1e-6)
    np.testing.assert_allclose(invariant_mass(chunk.jet), known["cms_mass"], rtol=2e-3)
    owner = np.repeat(np.arange(len(chunk.counts)), chunk.counts)
    summed = summed_jets(to_cartesian(chunk.constituents), owner, len(chunk.counts))
    np.testing.assert_allclose(summed[:, 0], known["puppi_pt"], rtol=1e-5)
    np.testing.assert_allclose(invariant_mass(summed), known["puppi_mass"], rtol=1e-4)
    # without CMS's corrections of the energy
    raw_pt = known["cms_pt"] * (1 - known["cms_raw_factor"])
    np.testing.assert_allclose(summed[:, 0], raw_pt, rtol=5e-3)
