"""Figures of tagging: rejection curves and losses."""

import numpy as np
import pytest

from omnilearn.data.catalogue import JETCLASS, TOP
from omnilearn.statistics.results import Result
from omnilearn.tagging import figures
from omnilearn.tagging.figures import (
    LossHistory,
    RocCurve,
    evaluation_figures,
    loss_curves,
    roc_curves,
)

EFFICIENCY = [0.1, 0.3, 0.5, 0.8]
REJECTION = [
    Result(900.0, None, 5000, bound="lower"),
    Result(600.0, 150.0, 5000),
    Result(100.0, 9.0, 5000),
    Result(12.0, 0.4, 5000),
]
CURVE = {"signal_efficiency": EFFICIENCY, "rejection": REJECTION}
EPOCH = {"training": {"loss": 2.0}, "validation": {"loss": 1.9}, "jets": 992}


def draw_roc(stem):
    roc_curves([RocCurve("OmniLearn", EFFICIENCY, REJECTION)], stem, title="Top tagging")


def draw_losses(stem):
    scratch = LossHistory("from scratch", [0.5, 0.3, 0.21], [0.5, 0.32, 0.25], reached=3)
    tuned = LossHistory("OmniLearn", [0.3, 0.2, 0.17], [0.3, 0.24, 0.23], reached=2)
    loss_curves([scratch, tuned], stem, target=0.25)


@pytest.mark.parametrize("draw", [draw_roc, draw_losses])
def test_a_figure_drawn_twice_is_the_same_to_the_byte(draw, tmp_path):
    draw(tmp_path / "first")
    draw(tmp_path / "second")
    for suffix in (".png", ".pdf"):
        first = (tmp_path / f"first{suffix}").read_bytes()
        assert first == (tmp_path / f"second{suffix}").read_bytes()
        assert b"CreationDate" not in first
        assert len(first) > 5000
    assert len(list(tmp_path.iterdir())) == 4


def test_curves_made_of_limits_alone_can_be_drawn(tmp_path):
    limits = [Result(50.0, None, 20, bound="lower")] * len(EFFICIENCY)
    roc_curves([RocCurve("perfect", EFFICIENCY, limits)], tmp_path / "roc")
    assert (tmp_path / "roc.png").exists()


def test_a_history_of_one_epoch_can_be_drawn(tmp_path):
    loss_curves([LossHistory("OmniLearn", [0.3], [0.31])], tmp_path / "loss", target=0.1)
    assert (tmp_path / "loss.png").exists()


def test_figures_without_curves_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no curve"):
        roc_curves([], tmp_path / "roc")
    with pytest.raises(ValueError, match="no training history"):
        loss_curves([], tmp_path / "loss")
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_figures_of_its_curves_confusion_and_losses(tmp_path):
    curves = dict.fromkeys(JETCLASS.class_names[1:], CURVE)
    results = {"curves": curves, "confusion": np.eye(10).tolist()}
    evaluation_figures(tmp_path, JETCLASS, results, [EPOCH])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        f"{stem}.{kind}" for stem in ("roc", "confusion", "loss") for kind in ("png", "pdf")
    }


def test_a_run_without_curves_or_epochs_has_no_figures(tmp_path):
    evaluation_figures(tmp_path, JETCLASS, {}, [])
    assert list(tmp_path.iterdir()) == []


def test_legends_of_a_run_have_the_sample_and_its_size(tmp_path, monkeypatch):
    titles = {}
    for name in ("roc_curves", "loss_curves"):
        monkeypatch.setattr(
            figures, name, lambda *_, title, name=name, **__: titles.update({name: title})
        )
    results = {"data": "simulated", "curves": {"top": CURVE}}
    evaluation_figures(tmp_path, TOP, results, [EPOCH])
    assert titles == {
        "roc_curves": "Top tagging\nsimulated, 5 000 test jets",
        "loss_curves": "Top tagging\nsimulated, 992 jets per epoch",
    }
