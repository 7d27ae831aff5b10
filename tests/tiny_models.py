"""Tiny models without graphs, with which a test of a whole command takes seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from commands import TINY

from omnilearn.generation.sampling import Solver
from omnilearn.recipes import ARCHITECTURES
from omnilearn.training import gradients


@dataclass(frozen=True)
class FewSteps(Solver):
    """The solver of the suite with two steps for the kinematics of jets."""

    jet_steps: int = 2


@contextmanager
def tiny_and_eager() -> Iterator[pytest.MonkeyPatch]:
    """A smaller small preset and no graph, whose tracing takes longer than a few steps.

    Yields the monkeypatch, which is undone at the end.
    """

    def eager(function, **_):
        return SimpleNamespace(get_concrete_function=lambda *_: function)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "small", TINY)
        patch.setattr(gradients.tf, "function", eager)
        yield patch
