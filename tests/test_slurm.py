"""jobs/pretrain.sh on a Slurm cluster of one node: two ranks, a dead rank, a requeued job.

On in CI, elsewhere by OMNILEARN_SLURM=1, as root of a Debian or Ubuntu: installs slurmctld, slurmd,
munge and mpirun where they are missing, and runs the servers in temporary folders during the tests.
"""

import importlib.util
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import h5py
import pytest
from commands import ROOT, run_process
from slurm_cluster import done, job_state, slurm
from toy_jets import write_toy_dataset

from omnilearn.model.checkpoint import load_checkpoint

IS_ENABLED = os.environ.get("OMNILEARN_SLURM", str(int(os.environ.get("CI") == "true"))) == "1"
pytestmark = [
    pytest.mark.skipif(not IS_ENABLED, reason="neither CI nor OMNILEARN_SLURM=1"),
    pytest.mark.skipif(os.geteuid() != 0, reason="not root"),
    pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="no horovod"),
]
EPOCHS, SLOTS = 4, 8
PATIENCE = 1200  # seconds for ranks to start, on a busy machine


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("slurm")) as user:
        yield user


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Short jets, so that all batches have one shape and one graph is compiled."""
    folder = write_toy_dataset(
        tmp_path_factory.mktemp("data") / "data", "jetclass", {"train": 320, "val": 40}
    )
    for path in folder.rglob("*.h5"):
        with h5py.File(path, "r+") as file:
            file["data"][:, SLOTS:] = 0
            file["multiplicity"][:] = file["multiplicity"][:].clip(max=SLOTS)
    return folder


def submitted(cluster, out: Path, *arguments, options=()) -> str:
    """The number of a submitted job of jobs/pretrain.sh on two ranks."""
    command = ("sbatch", "--parsable", "--ntasks=2", f"--output={out}", *options)
    return done(*command, "jobs/pretrain.sh", *arguments, cwd=ROOT, env=cluster).strip()


def final_state(cluster, job: str, limit: float) -> dict[str, str]:
    """Wait for the end of a job."""
    until = time.monotonic() + limit
    unfinished = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED")
    while (ended := job_state(job, cluster))["JobState"] in unfinished:
        assert time.monotonic() < until, ended
        time.sleep(1)
    return ended


def training(data: Path, runs: Path, epochs: int) -> list:
    """Flags of a training of the small model's classifier, 10 steps per epoch on two ranks."""
    flags = "--preset small --mode classifier --batch 16 --warmup-epochs 0 --patience 1000"
    return ["jetclass", *flags.split(), "--data", data, "--runs", runs, "--epochs", epochs]


def wait_for_first_epoch(runs: Path, out: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not (runs / "jetclass" / "history.jsonl").exists():
        assert time.monotonic() < until, out.read_text()
        time.sleep(0.2)


def ranks_of(cluster, job: str) -> list[int]:
    """The processes of a job's two ranks: those of its first step with a local number."""
    lines = done("scontrol", "listpids", job, env=cluster).splitlines()[1:]
    processes = [
        int(pid)
        for pid, _, step, local, *_ in map(str.split, lines)
        if step == "0" and local != "-"
    ]
    assert len(processes) == 2, lines
    return processes


def is_asked_to_stop(process: int) -> bool:
    """Whether SIGUSR1 is pending for this frozen process."""
    status = Path(f"/proc/{process}/status").read_text()
    pending = [int(mask, 16) for mask in re.findall(r"S(?:ig|hd)Pnd:\s*(\w+)", status)]
    return any(mask >> (signal.SIGUSR1 - 1) & 1 for mask in pending)


def test_a_submitted_pretraining_runs_on_two_ranks(cluster, data, tmp_path):
    out = tmp_path / "job.out"
    job = submitted(cluster, out, *training(data, tmp_path / "runs", 1))
    ended = final_state(cluster, job, PATIENCE)
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), out.read_text()
    run = tmp_path / "runs" / "jetclass"
    stored = load_checkpoint(run / "last.h5").record
    assert stored["ranks"] == 2
    assert stored["position"]["finished"]
    assert len((run / "history.jsonl").read_text().splitlines()) == 1


def test_a_dead_rank_ends_the_job_within_a_minute_and_is_not_repeated(cluster, data, tmp_path):
    out = tmp_path / "job.out"
    job = submitted(cluster, out, *training(data, tmp_path / "runs", 1000))
    wait_for_first_epoch(tmp_path / "runs", out)
    os.kill(ranks_of(cluster, job)[1], signal.SIGKILL)
    ended = final_state(cluster, job, 60)
    assert (ended["JobState"], ended["Restarts"]) == ("FAILED", "0"), out.read_text()
    assert ended["ExitCode"] != "0:0"


def test_a_job_at_its_time_limit_is_requeued_and_finishes(cluster, data, tmp_path):
    """A time limit of three minutes at most; the ranks are frozen until Slurm warns of it.

    So a few epochs suffice on a machine of any speed. The warning comes 150 seconds ahead, in time
    for a step and a checkpoint.
    """
    out, runs = tmp_path / "job.out", tmp_path / "runs"
    frozen = {**cluster, "HOROVOD_GLOO_TIMEOUT_SECONDS": str(PATIENCE)}
    options = ("--time=60", "--signal=B:USR1@150", "--open-mode=append")
    job = submitted(frozen, out, *training(data, runs, EPOCHS), options=options)
    wait_for_first_epoch(runs, out)
    ranks = ranks_of(cluster, job)
    for rank in ranks:
        os.kill(rank, signal.SIGSTOP)
    hours, minutes, _ = map(int, job_state(job, cluster)["RunTime"].split(":"))
    limit = 60 * hours + minutes + 3
    done("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}", env=cluster)
    until = time.monotonic() + 180
    while not all(map(is_asked_to_stop, ranks)):
        assert time.monotonic() < until, job_state(job, cluster)
        time.sleep(0.2)
    for rank in ranks:
        os.kill(rank, signal.SIGCONT)
    while job_state(job, cluster)["Restarts"] == "0":
        assert time.monotonic() < until, out.read_text()
        time.sleep(0.2)
    done("scontrol", "update", f"JobId={job}", "TimeLimit=60", env=cluster)
    ended = final_state(cluster, job, PATIENCE)
    output = out.read_text()
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), output
    assert "asked to stop (SIGUSR1)" in output
    assert "requeued, it resumes from its checkpoint" in output
    assert re.search(r"resuming .* at epoch [234], ", output)
    history = (runs / "jetclass" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == list(range(1, EPOCHS + 1))


def test_mpirun_starts_ranks_or_reports_what_horovod_lacks(cluster, data, tmp_path):
    launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "2"]
    command = [*launcher, sys.executable, "train.py", *training(data, tmp_path / "runs", 1)]
    run = run_process(command, cwd=ROOT, timeout=PATIENCE)
    if run.returncode == 0:
        assert load_checkpoint(tmp_path / "runs" / "jetclass" / "last.h5").record["ranks"] == 2
    else:
        assert "this Horovod was built without MPI. Launch with srun" in run.stderr
        assert not (tmp_path / "runs").exists()
