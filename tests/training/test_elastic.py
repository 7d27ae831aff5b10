"""horovodrun --min-np 1 --max-np 2: a training outlives the loss of a rank and takes it back."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ROOT
from tiny_training import write_jets

WORKER = Path(__file__).parents[1] / "elastic_worker.py"
LAUNCHER = Path(sys.executable).parent / "horovodrun"
HOSTS = ("localhost", "127.0.0.1")  # a host that lost a rank is given up: two names of this machine
PATIENCE = 900  # seconds for ranks to have started anew, on a busy machine
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("horovod") is None, reason="horovod is not installed"
    ),
]


@pytest.fixture
def place(tmp_path):
    """A folder with jets, and hosts.sh that says which hosts there are."""
    write_jets(tmp_path / "data", train=48, val=9)
    offer(tmp_path, HOSTS)
    script = tmp_path / "hosts.sh"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/hosts\n")
    script.chmod(0o755)
    return tmp_path


def offer(place: Path, hosts) -> None:
    new = place / "hosts.new"
    new.write_text("".join(f"{host}:1\n" for host in hosts))
    new.replace(place / "hosts")


def rank(place: Path, number: int) -> dict:
    """What this rank said last; nothing when it is just saying it."""
    try:
        return json.loads((place / f"rank{number}").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def waited(job, place: Path, is_so) -> dict:
    """What rank 0 says, as soon as `is_so` is true of it."""
    until = time.monotonic() + PATIENCE
    while not is_so(found := rank(place, 0)):
        said = (place / "log").read_text()
        assert job.poll() is None, said[-3000:]
        assert time.monotonic() < until, said[-3000:]
        time.sleep(0.1)
    return found


def test_a_lost_rank_is_done_without_and_taken_back(place):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{WORKER.parent}:{ROOT}",
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(PATIENCE),
    }
    command = [
        LAUNCHER,
        "--gloo",
        "-np",
        "2",
        "--min-np",
        "1",
        "--max-np",
        "2",
        "--host-discovery-script",
        place / "hosts.sh",
        "--network-interfaces",
        "lo",
        "--blacklist-cooldown-range",
        "1",
        "2",
        sys.executable,
        WORKER,
        place / "data",
        place,
    ]
    with (place / "log").open("w") as log:
        job = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        lost = waited(job, place, lambda said: said.get("epoch", 0) >= 1)
        other = rank(place, 1)
        assert (lost["ranks"], other["ranks"]) == (2, 2)
        os.kill(lost["process"], signal.SIGKILL)  # rank 0, which writes the checkpoints
        offer(place, [other["host"]])

        alone = waited(job, place, lambda said: said.get("ranks") == 1)
        assert alone["process"] == other["process"]
        assert (alone["epoch"], alone["step"]) >= (lost["epoch"], 0)
        waited(job, place, lambda said: said.get("epoch", 0) > alone["epoch"])

        offer(place, HOSTS)
        both = waited(job, place, lambda said: said.get("ranks") == 2)
        assert both["epoch"] > alone["epoch"]
        assert rank(place, 1)["process"] != lost["process"]
        (place / "go").touch()
        assert job.wait(PATIENCE) == 0, (place / "log").read_text()[-3000:]
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGTERM)
            job.wait(60)
    history = (place / "run" / "history.jsonl").read_text()
    epochs = [json.loads(line) for line in history.splitlines()]
    assert [line["epoch"] for line in epochs] == list(range(1, len(epochs) + 1))
    # an epoch has 48 jets: 3 steps of 2 ranks with batches of 8, or 6 of one
    steps = [line["steps"] for line in epochs]
    assert [steps[0], 6 in steps, steps[-1]] == [3, True, 3]
    said = (place / "log").read_text()
    assert "rank 1 lost another rank: starting again from the last checkpoint" in said
    assert "rank 0 makes room for other hosts: starting again from the last checkpoint" in said
