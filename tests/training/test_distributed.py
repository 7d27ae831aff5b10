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


@pytest.mark.parametrize(
    ("of_node", "threads"),
    [
        pytest.param(None, 4, id="no Slurm"),
        pytest.param("8", 4, id="all ranks may use all cores"),
        pytest.param("16", 8, id="each rank has its own cores"),
    ],
)
def test_two_ranks_share_the_cores_unless_slurm_has_bound_them(monkeypatch, of_node, threads):
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    if of_node:
        monkeypatch.setenv("SLURM_CPUS_ON_NODE", of_node)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    given = []
    threading = SimpleNamespace(set_intra_op_parallelism_threads=given.append)
    tf = SimpleNamespace(config=SimpleNamespace(threading=threading))
    distributed.limit_threads(tf, local_size=2)
    assert given == [threads]
