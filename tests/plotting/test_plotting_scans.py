"""Figures of scans and of confusion matrices: reproducible, and refused without data."""

import numpy as np
import pytest

from omnilearn.data.catalogue import JETCLASS
from omnilearn.plotting.scans import Scan, confusion_figure, training_size_scan
from omnilearn.statistics.results import Result

POINTS = [Result(30.0, None, 900, bound="lower"), Result(60.0, 8.0, 900), Result(90.0, 10.0, 900)]


def draw_scan(stem):
    training_size_scan([Scan("OmniLearn", [1000, 3000, 10000], POINTS)], stem, "Rejection")


def draw_confusion(stem):
    confusion_figure(JETCLASS, np.eye(10), stem)


@pytest.mark.parametrize("draw", [draw_scan, draw_confusion])
def test_a_figure_drawn_twice_is_the_same_to_the_byte(draw, tmp_path):
    draw(tmp_path / "first")
    draw(tmp_path / "second")
    for suffix in (".png", ".pdf"):
        first = (tmp_path / f"first{suffix}").read_bytes()
        assert first == (tmp_path / f"second{suffix}").read_bytes()


def test_other_numbers_of_jets_move_the_points_of_the_figure(tmp_path):
    draw_scan(tmp_path / "many")
    training_size_scan([Scan("OmniLearn", [1, 3, 10], POINTS)], tmp_path / "few", "Rejection")
    assert (tmp_path / "many.png").read_bytes() != (tmp_path / "few.png").read_bytes()


def test_a_scan_without_models_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no model"):
        training_size_scan([], tmp_path / "empty", "Rejection")
    assert not list(tmp_path.iterdir())
