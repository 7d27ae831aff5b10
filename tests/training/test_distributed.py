"""What ranks are told before they meet."""

import os
from types import SimpleNamespace

import pytest

from omnilearn.training import distributed

CYCLE = "HOROVOD_CYCLE_TIME"


def tensorflow_with(gpus: list):
    return SimpleNamespace(config=SimpleNamespace(list_physical_devices=lambda kind: gpus))


@pytest.mark.parametrize(
    ("gpus", "asked", "expected"), [([], None, "5"), ([], "2", "2"), (["gpu"], None, None)]
)
def test_ranks_on_cpus_ask_each_other_less_often_unless_the_user_says_so(
    monkeypatch, gpus, asked, expected
):
    monkeypatch.delenv(CYCLE, raising=False)
    if asked:
        monkeypatch.setenv(CYCLE, asked)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # what is set here ends with the test
    distributed.set_cycle_time(tensorflow_with(gpus))
    assert os.environ.get(CYCLE) == expected
