"""jobs/pretrain.sh on a real Slurm of one node: trained by two ranks; requeued at its time limit.

Switched on by OMNILEARN_SLURM=1, as root of a Debian or Ubuntu: installs slurmctld, slurmd, munge
where they are missing, and starts them for the time of the tests, in folders of their own.
"""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from commands import ROOT
from toy_jets import write_toy_dataset

from omnilearn.model.checkpoint import load_checkpoint

pytestmark = [
    pytest.mark.skipif(os.environ.get("OMNILEARN_SLURM") != "1", reason="OMNILEARN_SLURM is not 1"),
    pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="no horovod"),
]
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
EPOCHS = 60  # of a second on two idle cores: longer than Slurm needs to notice a time limit
CONTROLLER_PORT, NODE_PORT = 16817, 16818
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=5,batch_sched_delay=1
NodeName={host} CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE
"""


def done(*command, **more) -> str:
    """What a command says; the test fails with its words when it does."""
    found = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                           check=False, **more)  # fmt: skip
    assert found.returncode == 0, f"{command}: {found.stdout}{found.stderr}"
    return found.stdout


def installed() -> None:
    if all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "munged"))):
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done("apt-get", "update", env=quiet)
    done("apt-get", "install", "-y", "--no-install-recommends", *PACKAGES, env=quiet)


def authenticated(folder: Path) -> subprocess.Popen:
    """A munged of our own, with its own key and socket."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    folder.chmod(0o755)
    server = subprocess.Popen(
        ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder / 'munge'}",
         f"--pid-file={folder / 'munged.pid'}", f"--seed-file={folder / 'munged.seed'}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    until = time.monotonic() + 30
    while not (folder / "munge").exists() and time.monotonic() < until:
        time.sleep(0.1)
    return server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The environment of a user of a Slurm that has this machine as its one node."""
    installed()
    folder = tmp_path_factory.mktemp("slurm")
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    text = CONFIGURATION.format(host=host, folder=folder, controller=CONTROLLER_PORT,
                                node=NODE_PORT, cores=os.cpu_count())  # fmt: skip
    (folder / "slurm.conf").write_text(
        text.replace("cred_expire=5", f"cred_expire=5,socket={folder / 'munge'}")
    )
    user = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "OMNILEARN_SITE": "cluster"}
    servers = [authenticated(folder)]
    servers += [
        subprocess.Popen([name, "-D"], env=user, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
        for name in ("slurmctld", "slurmd")
    ]  # fmt: skip
    try:
        until = time.monotonic() + 60
        while subprocess.run(["sinfo", "-h", "-o", "%t"], env=user, capture_output=True,
                             check=False).stdout.strip() != b"idle":  # fmt: skip
            log = (folder / "slurmctld.log").read_text()
            assert time.monotonic() < until, log[-2000:]
            time.sleep(1)
        yield user
    finally:
        subprocess.run(["scancel", "--user=root"], env=user, check=False)
        until = time.monotonic() + 60  # its processes end only while the servers are there
        while (
            time.monotonic() < until
            and subprocess.run(
                ["squeue", "-h"], env=user, capture_output=True, check=False
            ).stdout.strip()
        ):
            time.sleep(1)
        for server in reversed(servers):
            server.terminate()
            server.wait(timeout=30)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_toy_dataset(tmp_path_factory.mktemp("data") / "data", "jetclass",
                             {"train": 320, "val": 40})  # fmt: skip


def submitted(cluster, *command) -> str:
    return done("sbatch", "--parsable", *command, cwd=ROOT, env=cluster).strip()


def state(cluster, job: str) -> dict[str, str]:
    said = done("scontrol", "show", "job", job, env=cluster)
    return dict(re.findall(r"(\w+)=(\S*)", said))


def waited(cluster, job: str, limit: float) -> dict[str, str]:
    """The job when it has ended for good."""
    until = time.monotonic() + limit
    while (found := state(cluster, job))["JobState"] in (
        "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED"):  # fmt: skip
        assert time.monotonic() < until, found
        time.sleep(2)
    return found


def training(data: Path, runs: Path, epochs: int) -> list:
    """Flags of a training that lasts: the small model, one length of batches at a time."""
    return ["jetclass", "--preset", "small", "--data", data, "--runs", runs, "--epochs", epochs,
            "--batch", 16, "--warmup-epochs", 0, "--patience", 1000]  # fmt: skip


def test_a_submitted_pretraining_runs_on_two_ranks(cluster, data, tmp_path):
    out = tmp_path / "job.out"
    job = submitted(cluster, "--ntasks=2", f"--output={out}", "jobs/pretrain.sh",
                    *training(data, tmp_path / "runs", 1))  # fmt: skip
    found = waited(cluster, job, 400)
    assert (found["JobState"], found["ExitCode"]) == ("COMPLETED", "0:0"), out.read_text()
    run = tmp_path / "runs" / "jetclass"
    stored = load_checkpoint(run / "last.h5").record
    assert stored["ranks"] == 2
    assert stored["position"]["finished"]
    assert len((run / "history.jsonl").read_text().splitlines()) == 1


def test_a_job_at_its_time_limit_is_requeued_and_finishes(cluster, data, tmp_path):
    out, history = tmp_path / "job.out", tmp_path / "runs" / "jetclass" / "history.jsonl"
    job = submitted(cluster, "--ntasks=2", "--time=60", "--signal=B:USR1@60", f"--output={out}",
                    "--open-mode=append", "jobs/pretrain.sh",
                    *training(data, tmp_path / "runs", EPOCHS))  # fmt: skip
    until = time.monotonic() + 400
    while not history.exists():
        assert time.monotonic() < until, out.read_text()
        time.sleep(1)
    minutes = int(state(cluster, job)["RunTime"].split(":")[1])
    done("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes + 1}", env=cluster)
    while state(cluster, job)["Restarts"] == "0":
        assert time.monotonic() < until, out.read_text()
        time.sleep(1)
    done("scontrol", "update", f"JobId={job}", "TimeLimit=60", env=cluster)
    found = waited(cluster, job, 2400)
    said = out.read_text()
    assert (found["JobState"], found["ExitCode"]) == ("COMPLETED", "0:0"), said
    assert "asked to stop (SIGUSR1)" in said
    assert "requeued, it goes on from its checkpoint" in said
    assert "resuming" in said
    epochs = [json.loads(line)["epoch"] for line in history.read_text().splitlines()]
    assert epochs == list(range(1, EPOCHS + 1))
