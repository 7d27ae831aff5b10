"""horovodrun --min-np 1 --max-np 2: a training continues without a lost rank and with a new one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ROOT
from horovodrun import LAUNCHER, NEEDS_HOROVOD
from tiny_training import write_jets

from omnilearn.history import read_history

WORKER = Path(__file__).parents[1] / "elastic_worker.py"
# two names of this machine, for horovodrun gives up a host that lost a rank
HOSTS = ("localhost", "127.0.0.1")
PATIENCE = 900  # seconds for ranks to start again, on a busy machine
pytestmark = NEEDS_HOROVOD


@pytest.fixture
def folder(tmp_path):
    """A folder with jets, and hosts.sh that lists the hosts."""
    write_jets(tmp_path / "data", train=48, val=9)
    set_hosts(tmp_path, HOSTS)
    script = tmp_path / "hosts.sh"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/hosts\n")
    script.chmod(0o755)
    return tmp_path


def set_hosts(folder: Path, hosts) -> None:
    new = folder / "hosts.new"
    new.write_text("".join(f"{host}:1\n" for host in hosts))
    new.replace(folder / "hosts")


def state(folder: Path, rank: int) -> dict:
    """The last state of this rank; empty while it is being written."""
    try:
        return json.loads((folder / f"rank{rank}").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def wait_for(job, folder: Path, condition) -> dict:
    """Wait until the state of rank 0 fulfils a condition; returns the state."""
    until = time.monotonic() + PATIENCE
    while not condition(current := state(folder, 0)):
        log = (folder / "log").read_text()
        assert job.poll() is None, log[-3000:]
        assert time.monotonic() < until, log[-3000:]
        time.sleep(0.1)
    return current


def test_a_training_continues_without_a_lost_rank_and_with_a_new_one(folder):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{WORKER.parent}:{ROOT}",
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(PATIENCE),
    }
    flags = ["--gloo", "-np", "2", "--min-np", "1", "--max-np", "2", "--network-interfaces", "lo"]
    flags += ["--blacklist-cooldown-range", "1", "2"]
    flags += ["--host-discovery-script", folder / "hosts.sh"]
    command = [LAUNCHER, *flags, sys.executable, WORKER, folder / "data", folder]
    with (folder / "log").open("w") as log:
        job = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        lost = wait_for(job, folder, lambda current: current.get("epoch", 0) >= 1)
        other = state(folder, 1)
        assert (lost["ranks"], other["ranks"]) == (2, 2)
        os.kill(lost["process"], signal.SIGKILL)  # rank 0, which writes the checkpoints
        set_hosts(folder, [other["host"]])

        single = wait_for(job, folder, lambda current: current.get("ranks") == 1)
        assert single["process"] == other["process"]
        assert (single["epoch"], single["step"]) >= (lost["epoch"], 0)
        wait_for(job, folder, lambda current: current.get("epoch", 0) > single["epoch"])

        set_hosts(folder, HOSTS)
        both = wait_for(job, folder, lambda current: current.get("ranks") == 2)
        assert both["epoch"] > single["epoch"]
        assert state(folder, 1)["process"] != lost["process"]
        (folder / "go").touch()
        assert job.wait(PATIENCE) == 0, (folder / "log").read_text()[-3000:]
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGTERM)
            job.wait(60)
    epochs = read_history(folder / "run")
    assert [line["epoch"] for line in epochs] == list(range(1, len(epochs) + 1))
    # an epoch has 48 jets: 3 steps of 2 ranks with batches of 8, or 6 of one
    steps = [line["steps"] for line in epochs]
    assert [steps[0], 6 in steps, steps[-1]] == [3, True, 3]
    output = (folder / "log").read_text()
    assert "rank 1 lost another rank: starting again from the last checkpoint" in output
    assert "rank 0 makes room for other hosts: starting again from the last checkpoint" in output
