"""A Slurm cluster of one node for tests, with its servers in a temporary folder."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import run_process

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "mpirun")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge", "openmpi-bin")
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
    """The stdout of a command; an assertion shows its output if it fails."""
    run = run_process(command, **more)
    assert run.returncode == 0, f"{command} ended with {run.returncode}: {run.stdout}{run.stderr}"
    return run.stdout


def job_state(job: str, env: dict[str, str], limit: float = 120) -> dict[str, str]:
    """What `scontrol show job` says of a job, by name; asked again while it gives no answer.

    On a busy machine scontrol may fail without output while the job goes on.
    """
    until = time.monotonic() + limit
    while not (answer := stdout_of("scontrol", "show", "job", job, env=env)):
        if time.monotonic() > until:
            answer = done("scontrol", "-v", "show", "job", job, env=env)
            break
        time.sleep(1)
    return dict(re.findall(r"(\w+)=(\S*)", answer))


def install_slurm() -> None:
    """Install missing programs; the tests are skipped, with the reason, where that fails."""
    if all(map(shutil.which, PROGRAMS)):
        return
    if not shutil.which("apt-get"):
        pytest.skip("Slurm is missing, and there is no apt-get to install it")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "-y", "--no-install-recommends", *PACKAGES)):
        try:
            run = run_process(["apt-get", *words], env=quiet, timeout=600, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            pytest.skip(f"Slurm cannot be installed: apt-get {words[0]} took ten minutes")
        if run.returncode:
            pytest.skip(f"Slurm cannot be installed: {run.stderr[-300:]}")


def start(command: list, **more) -> subprocess.Popen:
    """Start a server without output."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def stdout_of(*command: str, env: dict[str, str]) -> str:
    """The stripped stdout of a command, which may fail."""
    run = run_process(command, env=env)
    return run.stdout.strip()


def start_munge(folder: Path) -> subprocess.Popen:
    """Start a munged with its own key and socket."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    folder.chmod(0o755)
    files = {"key-file": key, "socket": folder / "munge"}
    files |= {"pid-file": folder / "munged.pid", "seed-file": folder / "munged.seed"}
    options = [f"--{name}={path}" for name, path in files.items()]
    server = start(["munged", "--foreground", "--force", *options])
    until = time.monotonic() + 30
    while not (folder / "munge").exists() and time.monotonic() < until:
        time.sleep(0.1)
    return server


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a user of a Slurm with this machine as its one node."""
    install_slurm()
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    text = CONFIGURATION.format(
        host=host, folder=folder, controller=CONTROLLER_PORT, node=NODE_PORT, cores=os.cpu_count()
    )
    (folder / "slurm.conf").write_text(
        text.replace("cred_expire=5", f"cred_expire=5,socket={folder / 'munge'}")
    )
    user = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "OMNILEARN_SITE": "cluster"}
    servers = [start_munge(folder)]
    servers += [
        start([name, "-D"], env=user, start_new_session=True) for name in ("slurmctld", "slurmd")
    ]
    try:
        until = time.monotonic() + 180
        while stdout_of("sinfo", "-h", "-o", "%t", env=user) != "idle":
            log = (folder / "slurmctld.log").read_text()
            assert time.monotonic() < until, log[-2000:]
            time.sleep(1)
        yield user
    finally:
        subprocess.run(["scancel", "--user=root"], env=user, check=False)
        until = time.monotonic() + 60  # processes of jobs end only while the servers run
        while time.monotonic() < until and stdout_of("squeue", "-h", env=user):
            time.sleep(1)
        for server in reversed(servers):
            server.terminate()
            server.wait(timeout=30)
