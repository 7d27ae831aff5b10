"""A rank that dies or hangs ends the job in time, with a message of the other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from horovodrun import LAUNCHER, NEEDS_HOROVOD

WORKER = Path(__file__).parents[1] / "rank_faults_worker.py"
STALL_LIMIT = 15  # seconds, HOROVOD_GLOO_TIMEOUT_SECONDS
pytestmark = NEEDS_HOROVOD


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
def test_a_lost_rank_ends_the_job_within_a_minute(tmp_path, fault):
    environment = {
        **os.environ,
        "PYTHONPATH": str(WORKER.parent.parent),
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(STALL_LIMIT),
    }
    with (tmp_path / "log").open("w") as log:
        job = subprocess.Popen(
            [LAUNCHER, "-np", "2", "--gloo", sys.executable, WORKER, tmp_path],
            env=environment,
            stdout=log,
            stderr=log,
        )
    until = time.monotonic() + 300
    ready = [tmp_path / "rank0", tmp_path / "rank1"]
    while not all(path.exists() and path.read_text() for path in ready):
        assert job.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < until
        time.sleep(0.1)
    victim = int(ready[1].read_text())
    os.kill(victim, fault)
    try:
        # a dead rank is noticed at once; the rest is the end of the launcher
        code = job.wait(timeout=60 if fault == signal.SIGKILL else 60 + STALL_LIMIT)
    finally:
        job.kill()
        if Path(f"/proc/{victim}").exists():
            os.kill(victim, signal.SIGKILL)
    assert code != 0
    assert (
        "error: rank 0 lost another rank, which ended or did not answer any more"
        in (tmp_path / "log").read_text()
    )
