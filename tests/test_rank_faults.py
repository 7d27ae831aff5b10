"""A rank that dies or freezes ends the whole job, in time, and the others say so."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omnilearn import distributed

WORKER = Path(__file__).parent / "rank_faults_worker.py"
LAUNCHER = Path(sys.executable).parent / "horovodrun"
STALL_LIMIT = 15  # seconds, HOROVOD_GLOO_TIMEOUT_SECONDS
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("horovod") is None, reason="horovod is not installed"
)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
def test_a_lost_rank_ends_the_job_within_a_minute(tmp_path, fault):
    environment = {**os.environ, "PYTHONPATH": str(WORKER.parent.parent),
                   "HOROVOD_GLOO_TIMEOUT_SECONDS": str(STALL_LIMIT)}  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        job = subprocess.Popen([LAUNCHER, "-np", "2", "--gloo", sys.executable, WORKER, tmp_path],
                               env=environment, stdout=log, stderr=log)  # fmt: skip
    until = time.monotonic() + 300
    ready = [tmp_path / "rank0", tmp_path / "rank1"]
    while not all(path.exists() and path.read_text() for path in ready):
        assert job.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < until
        time.sleep(0.1)
    victim = int(ready[1].read_text())
    os.kill(victim, fault)
    try:
        code = job.wait(timeout=60 + STALL_LIMIT)
    finally:
        job.kill()
        if Path(f"/proc/{victim}").exists():
            os.kill(victim, signal.SIGKILL)
    assert code != 0
    assert "error: rank 0 lost another rank, which ended or did not answer any more" in (
        tmp_path / "log").read_text()  # fmt: skip


STEP = {
    "SLURM_JOB_ID": "101", "SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "10",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2),2", "SLURM_STEP_NODELIST": "nid[001234-001235,001300]",
    "SLURM_PROCID": "9", "SLURM_LOCALID": "1", "SLURM_NODEID": "2", "SLURMD_NODENAME": "nid001300",
}  # fmt: skip


def test_slurm_tells_every_task_its_rank_and_where_to_meet():
    found = distributed.slurm_ranks(STEP)
    assert {name.removeprefix("HOROVOD_"): value for name, value in found.items()} == {
        "RANK": "9", "SIZE": "10", "LOCAL_RANK": "1", "LOCAL_SIZE": "2", "CROSS_RANK": "2",
        "CROSS_SIZE": "3", "HOSTNAME": "nid001300", "GLOO_RENDEZVOUS_ADDR": "nid001234",
        "GLOO_RENDEZVOUS_PORT": str(15000 + 31 * 101 + 2), "CONTROLLER": "gloo",
        "CPU_OPERATIONS": "gloo",
    }  # fmt: skip


@pytest.mark.parametrize(("nodes", "first"), [
    ("vm", "vm"), ("gpu01,gpu07", "gpu01"), ("rack2-n[7,9-11]", "rack2-n7"),
])  # fmt: skip
def test_ranks_meet_on_the_first_node(nodes, first):
    found = distributed.slurm_ranks({**STEP, "SLURM_STEP_NODELIST": nodes})
    assert found["HOROVOD_GLOO_RENDEZVOUS_ADDR"] == first
