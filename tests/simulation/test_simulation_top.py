"""The top tagging landscape: 806 columns, half tops, in the window."""

import numpy as np
import pandas as pd


def momenta(table: pd.DataFrame) -> np.ndarray:
    """(jets, 200, 4), energy first."""
    return table.to_numpy()[:, :800].reshape(-1, 200, 4)


def jet_mass(table: pd.DataFrame) -> np.ndarray:
    jet = momenta(table).sum(axis=1)
    return np.sqrt(np.maximum(jet[:, 0] ** 2 - (jet[:, 1:] ** 2).sum(axis=1), 0))


def test_columns_are_the_public_ones_energy_first(top_table):
    columns = list(top_table.columns)
    assert len(columns) == 806
    assert columns[:5] == ["E_0", "PX_0", "PY_0", "PZ_0", "E_1"]
    assert columns[796:800] == ["E_199", "PX_199", "PY_199", "PZ_199"]
    assert columns[800:] == ["truthE", "truthPX", "truthPY", "truthPZ", "ttv", "is_signal_new"]
    assert (top_table.dtypes.iloc[:804] == np.float32).all()
    assert (top_table.dtypes.iloc[804:] == np.int64).all()


def test_half_of_the_jets_are_tops_and_the_halves_are_mixed(top_table):
    signal = top_table.is_signal_new.to_numpy()
    assert len(signal) == 201
    assert signal.sum() == 100
    assert 60 < np.count_nonzero(np.diff(signal)) < 140  # 100 for a coin
    assert list(top_table.index) == list(range(201))


def test_splits_have_their_number_and_size(top_folder):
    for split, number, jets in (("train", 0, 201), ("test", 1, 10), ("val", 2, 20)):
        table = pd.read_hdf(top_folder / f"{split}.h5", key="table")
        assert len(table) == jets
        assert set(table.ttv) == {number}


def test_jets_lie_in_the_window_with_falling_constituents(top_table):
    constituents = momenta(top_table)
    jet = constituents.sum(axis=1)
    pt = np.hypot(jet[:, 1], jet[:, 2])
    assert pt.min() > 549.9
    assert pt.max() < 650.1
    assert np.abs(np.arcsinh(jet[:, 3] / pt)).max() < 2
    constituent_pt = np.hypot(constituents[..., 1], constituents[..., 2])
    assert (np.diff(constituent_pt) < 1e-3).all()
    assert (constituents[constituent_pt == 0] == 0).all()


def test_mass_of_top_jets_is_that_of_the_top(top_table):
    signal = top_table.is_signal_new == 1
    assert abs(np.median(jet_mass(top_table[signal])) - 172.5) < 10
    assert np.median(jet_mass(top_table[~signal])) < 100


def test_truth_is_the_top_for_signal_and_zero_for_background(top_table):
    signal = top_table[top_table.is_signal_new == 1]
    truth = signal[["truthE", "truthPX", "truthPY", "truthPZ"]].to_numpy(float)
    mass = np.sqrt(truth[:, 0] ** 2 - (truth[:, 1:] ** 2).sum(axis=1))
    assert abs(np.median(mass) - 172.5) < 2
    jet = momenta(signal).sum(axis=1)
    cosine = (truth[:, 1:] * jet[:, 1:]).sum(axis=1) / (
        np.linalg.norm(truth[:, 1:], axis=1) * np.linalg.norm(jet[:, 1:], axis=1)
    )
    assert np.median(np.arccos(cosine)) < 0.1
    background = top_table[top_table.is_signal_new == 0]
    assert (background[["truthE", "truthPX", "truthPY", "truthPZ"]].to_numpy() == 0).all()
