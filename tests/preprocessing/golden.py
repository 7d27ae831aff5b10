"""Public jets and what the released preprocessing made of them, as stored in tests/data."""

import os
from pathlib import Path

import numpy as np
from commands import ROOT

from omnilearn.data.spec import DatasetSpec
from preprocessing.jet_chunk import JetChunk, prepare
from preprocessing.jet_file import dataset_arrays

DATA = ROOT / "tests" / "data"
REAL = Path(os.environ.get("OMNILEARN_REAL_DATA", ROOT.parent / "shared" / "real"))
FLOOR = np.log(1e-6)  # of our log(1 - pt_rel) and log(1 - E_rel)


def released_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of one data set: in.* are the public ones, out.* those that it made."""
    with np.load(DATA / f"prep_{name}.npz") as file:
        return dict(file)


def assert_log_of_one_minus(logarithm: np.ndarray, rel: np.ndarray, real: np.ndarray) -> None:
    """Assert that the logarithms (jets, slots) are log(1 - rel) in the real slots, well below 1."""
    one_minus = (1 - rel)[real]
    digits = one_minus > 1e-3
    stored = np.exp(logarithm[real].astype(np.float64))
    np.testing.assert_allclose(stored[digits], one_minus[digits], atol=3e-6)


def stored_arrays(chunk: JetChunk, spec: DatasetSpec, path: Path) -> dict[str, np.ndarray]:
    """The arrays that our files hold of the jets of a chunk."""
    return dataset_arrays(prepare(chunk, spec, path), spec)
