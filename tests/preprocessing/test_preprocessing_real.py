"""Excerpts of real data against numbers of other programs; skipped where there are none."""

import h5py
import numpy as np
import pytest
from commands import output_of
from golden import REAL

from omnilearn.kinematics import from_cartesian, invariant_mass, to_cartesian
from preprocessing import aspen

SPLITS = ("train", "val", "test")


def expected(folder: str) -> dict[str, np.ndarray]:
    """Column -> values (rows,); skips the test where the excerpt is missing."""
    path = REAL / folder / "expected.npz"
    if not path.is_file():
        pytest.skip(f"no real data in {REAL}")
    with np.load(path) as stored:
        return dict(zip(stored["columns"].tolist(), stored["values"].T, strict=True))


def test_real_events_of_the_lhc_olympics_agree_with_pandas_and_fastjet(preprocess, tmp_path):
    known = expected("lhco_tiny")
    output_of(preprocess("lhco", "--raw", REAL / "lhco_tiny", "--out", tmp_path, "--workers", 1))
    stored = {}
    for split in SPLITS:
        with h5py.File(tmp_path / f"lhco/{split}/lhco_{split}_000.h5") as file:
            for key in ("jet", "pid", "observables", "source", "multiplicity"):
                stored.setdefault(key, []).append(file[key][:])
    stored = {key: np.concatenate(values) for key, values in stored.items()}
    rows = stored["source"][:, 1]
    passes = (known["pt1"] > 1200) & (np.abs(known["eta1"]) < 2.5)
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(passes))
    np.testing.assert_array_equal(stored["pid"], known["label"][rows])
    for jet in (0, 1):
        theirs = {
            name: known[f"{name}{jet + 1}"][rows] for name in ("pt", "eta", "phi", "mass", "n")
        }
        ours = dict(zip(("pt", "eta", "phi", "mass", "n"), stored["jet"][:, jet].T, strict=True))
        np.testing.assert_array_equal(stored["multiplicity"][:, jet], theirs["n"])
        np.testing.assert_array_equal(ours["n"], theirs["n"])
        for name in ("pt", "eta", "phi", "mass"):
            # the file keeps single precision
            np.testing.assert_allclose(ours[name], theirs[name], rtol=3e-7, atol=1e-6)
    np.testing.assert_allclose(stored["observables"][:, 0], known["dijet_mass"][rows], rtol=1e-7)


def test_real_cms_jets_have_the_momentum_and_the_mass_that_cms_gives_them():
    known = expected("aspen_layout_from_pfnano")
    (path,) = (REAL / "aspen_layout_from_pfnano").glob("Run*.h5")
    (chunk,) = aspen.read(path)
    np.testing.assert_array_equal(chunk.counts, known["n_with_puppi_weight"])
    np.testing.assert_allclose(chunk.jet[:, 0], known["cms_pt"], rtol=1e-6)
    np.testing.assert_allclose(invariant_mass(chunk.jet), known["cms_mass"], rtol=2e-3)
    owner = np.repeat(np.arange(len(chunk.counts)), chunk.counts)
    momenta = [np.bincount(owner, component) for component in to_cartesian(chunk.constituents).T]
    summed = from_cartesian(np.stack(momenta, axis=-1))
    np.testing.assert_allclose(summed[:, 0], known["puppi_pt"], rtol=1e-5)
    np.testing.assert_allclose(invariant_mass(summed), known["puppi_mass"], rtol=1e-4)
    # without CMS's corrections of the energy
    raw_pt = known["cms_pt"] * (1 - known["cms_raw_factor"])
    np.testing.assert_allclose(summed[:, 0], raw_pt, rtol=5e-3)
