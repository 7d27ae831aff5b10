"""Stages of a search for a resonance in seconds: tiny models, small files, few steps."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tiny_models import FewSteps, tiny_and_eager

from omnilearn.anomaly import density, dijet_closure, dijet_sampling, reference, significance


@contextmanager
def tiny_search() -> Iterator[pytest.MonkeyPatch]:
    """Yields the monkeypatch, which is undone at the end."""
    with tiny_and_eager() as patch:
        patch.setattr(dijet_sampling, "PART", 16)
        patch.setattr(dijet_sampling, "ATTEMPTS", 2)
        patch.setattr(reference, "SAMPLING_BATCH", 16)
        patch.setattr(density, "CALIBRATED", 32)
        patch.setattr(significance, "REPLICAS", 5)
        patch.setattr(dijet_closure, "LEAST_EVENTS", 8)
        for module in (reference, density):
            patch.setattr(module, "Solver", FewSteps)
        yield patch
