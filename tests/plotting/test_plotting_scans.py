"""Figures of scans and of confusion matrices show their numbers and are refused without data."""

import numpy as np
import pytest

from omnilearn.data.catalogue import JETCLASS
from omnilearn.plotting.scans import Scan, confusion_figure, learning_curve, training_size_scan
from omnilearn.statistics.results import Result

POINTS = [Result(30.0, None, 900, bound="lower"), Result(60.0, 8.0, 900), Result(90.0, 10.0, 900)]


@pytest.mark.slow
def test_other_numbers_give_other_figures(tmp_path):
    for jets in ([1000, 3000, 10000], [1, 3, 10]):
        scan = Scan("OmniLearn", jets, POINTS)
        training_size_scan([scan], tmp_path / f"scan_{jets[0]}", "Rejection")
        learning_curve(jets, [1.3, 1.1, 1.0], POINTS, tmp_path / f"curve_{jets[0]}")
    for name, matrix in (("perfect", np.eye(10)), ("random", np.full((10, 10), 0.1))):
        confusion_figure(JETCLASS, matrix, tmp_path / name)
    assert len({path.read_bytes() for path in tmp_path.glob("*.png")}) == 6
    assert len(list(tmp_path.glob("*.pdf"))) == 6


def test_a_scan_without_models_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no model"):
        training_size_scan([], tmp_path / "empty", "Rejection")
    assert not list(tmp_path.iterdir())
