"""Fixtures of the tests of finetune.py and evaluate.py."""

import pytest

from omnilearn.unfolding import evaluation, figures


@pytest.fixture
def spectra_alone(monkeypatch):
    """Skip the two-sample test and the figures, which take most of the time."""
    monkeypatch.setattr(evaluation, "two_sample_test", lambda *_: {})
    monkeypatch.setattr(figures, "unfolding_figures", lambda *_: None)
