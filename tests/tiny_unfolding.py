"""finetune.py omnifold on toy events in seconds: few events, few trees, a tiny network."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from commands import python
from tiny_models import tiny_and_eager
from toy_events import SPEC

from omnilearn.data.catalogue import CATALOGUE
from omnilearn.recipes import TWO_SAMPLES
from omnilearn.unfolding import boosted_trees, evaluation

EVENTS = {"train": 120, "val": 40, "test": 40}
TREES = (
    "finetune.py omnifold --preset small --classifier trees --epochs 20 --lr 0.2 --iterations 2 "
    "--misses prior"
)
NETWORK = (
    "finetune.py omnifold --preset small --epochs 1 --later-epochs 1 --iterations 1 --batch 16 "
    "--warmup-epochs 0 --misses prior"
)


@contextmanager
def tiny_unfolding() -> Iterator[pytest.MonkeyPatch]:
    """Few slots, a small network, trees with small leaves, and no graph."""
    with tiny_and_eager() as patch:
        patch.setitem(CATALOGUE, "omnifold", SPEC)
        patch.setitem(TWO_SAMPLES, "epochs", 1)
        patch.setitem(TWO_SAMPLES, "batch", 32)
        patch.setattr(boosted_trees, "LEAST_EVENTS", 5)
        patch.setattr(evaluation, "IBU_TOYS", 5)
        yield patch


def finetuned(folder, *more, name="toy", command=TREES):
    folders = ("--data", folder / "data", "--runs", folder / "runs", "--name", name)
    return python(command, *folders, *more)
