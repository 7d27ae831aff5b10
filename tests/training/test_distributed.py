"""Settings of Horovod before the ranks connect."""

import os
from types import SimpleNamespace

import pytest

from omnilearn.training import distributed

CYCLE = "HOROVOD_CYCLE_TIME"


def tensorflow_with(gpus: list):
    return SimpleNamespace(config=SimpleNamespace(list_physical_devices=lambda kind: gpus))


@pytest.mark.parametrize(
    ("gpus", "given", "expected"), [([], None, "5"), ([], "2", "2"), (["gpu"], None, None)]
)
def test_cycles_on_cpus_are_longer_unless_the_user_sets_them(monkeypatch, gpus, given, expected):
    monkeypatch.delenv(CYCLE, raising=False)
    if given:
        monkeypatch.setenv(CYCLE, given)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # undone after the test
    distributed.set_cycle_time(tensorflow_with(gpus))
    assert os.environ.get(CYCLE) == expected
