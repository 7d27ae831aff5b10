"""What tests of whole unfoldings share."""

import pytest

from omnilearn.unfolding import evaluation, figures


@pytest.fixture
def spectra_alone(monkeypatch):
    """Neither the two-sample test nor figures: they take longer than all the rest."""
    monkeypatch.setattr(evaluation, "two_sample_test", lambda *_: {})
    monkeypatch.setattr(figures, "unfolding_figures", lambda *_: None)
