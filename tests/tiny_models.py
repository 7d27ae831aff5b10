"""Models so small, and functions so eager, that a test of a whole command takes seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from commands import TINY

from omnilearn.recipes import ARCHITECTURES
from omnilearn.training import gradients


@contextmanager
def tiny_and_eager() -> Iterator[pytest.MonkeyPatch]:
    """The small preset even smaller, and no graph: tracing it takes longer than one step.

    Gives what patches more, and takes all of it back at the end.
    """

    def eager(function, **_):
        return SimpleNamespace(get_concrete_function=lambda *_: function)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "small", TINY)
        patch.setattr(gradients.tf, "function", eager)
        yield patch
