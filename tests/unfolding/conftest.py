"""Fixtures of the tests of finetune.py and evaluate.py."""

import pytest
from commands import output_of
from tiny_unfolding import EVENTS, finetuned, tiny_unfolding
from toy_events import write_events

from omnilearn.unfolding import evaluation, figures


@pytest.fixture(scope="module")
def tiny():
    with tiny_unfolding():
        yield


@pytest.fixture(scope="module")
def workdir(tiny, tmp_path_factory):
    """A folder with data and a finished unfolding in runs/toy."""
    path = tmp_path_factory.mktemp("unfolding")
    write_events(path / "data", EVENTS)
    output_of(finetuned(path))
    return path


@pytest.fixture
def spectra_alone(monkeypatch):
    """Skip the two-sample test and the figures, which take most of the time."""
    monkeypatch.setattr(evaluation, "two_sample_test", lambda *_: {})
    monkeypatch.setattr(figures, "unfolding_figures", lambda *_: None)
