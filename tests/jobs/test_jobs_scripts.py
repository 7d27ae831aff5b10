"""Job scripts start their command with a rank per task, and are requeued at the time limit."""

import os
import re
import shutil
import subprocess

import pytest
from commands import ROOT, run_process
from job_scripts import bash, printed, slurm

SCRIPTS = sorted((ROOT / "jobs").glob("*.sh"))
JOBS = [path for path in SCRIPTS if "#SBATCH" in path.read_text()]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_bash_and_short(path):
    subprocess.run(["bash", "-n", path], check=True)
    assert path.read_text().count("\n") <= 150
    if shutil.which("shellcheck"):
        process = run_process(["shellcheck", "-x", path], cwd=ROOT)
        assert process.returncode == 0, process.stdout


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_every_job_gets_a_signal_before_its_limit_and_may_be_requeued(path):
    text = path.read_text()
    assert "#SBATCH --signal=B:USR1@300\n" in text
    assert "#SBATCH --requeue\n" in text
    assert "#SBATCH --open-mode=append\n" in text
    assert not re.search(r"--(account|qos|constraint|partition)", text)  # depend on the site


def test_one_rank_needs_no_launcher_and_several_are_started_by_horovodrun():
    python = ".venv/bin/python"
    assert printed("pretrain.sh", "top", "--lr", "1") == [[python, "train.py", "top", "--lr", "1"]]
    (command,) = printed("pretrain.sh", OMNILEARN_RANKS="2")
    assert command == [".venv/bin/horovodrun", "-np", "2", "--gloo", python, "train.py", "jetclass"]


def test_under_slurm_srun_starts_every_task_and_one_dead_rank_ends_all():
    (command,) = printed("evaluate.sh", "runs/top", **slurm())
    line = "srun --kill-on-bad-exit=1 .venv/bin/python evaluate.py runs/top"
    assert " ".join(command) == line


@pytest.mark.parametrize("kind", ["shifter", "podman"])
def test_perlmutter_runs_the_container(kind):
    site = {"OMNILEARN_SITE": f"perlmutter-{kind}", "OMNILEARN_IMAGE": "mine:1"}
    (command,) = printed("pretrain.sh", **slurm(**site))
    assert command[:2] == ["srun", "--kill-on-bad-exit=1"]
    assert any("mine:1" in word for word in command)
    assert command[-3:] == ["python", "train.py", "jetclass"]


def test_the_container_sees_the_scratch_file_system():
    site = {"OMNILEARN_SITE": "perlmutter-podman", "SCRATCH": "/pscratch/me"}
    (command,) = printed("pretrain.sh", **slurm(**site))
    assert "--volume /pscratch/me:/pscratch/me --workdir" in " ".join(command)


def test_srun_gives_a_rank_the_cores_that_were_requested(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\necho cores: $SRUN_CPUS_PER_TASK\n")
    srun.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert bash("pretrain.sh", **slurm(PATH=path, SLURM_CPUS_PER_TASK="8")).stdout == "cores: 8\n"


def test_an_unknown_site_is_refused():
    process = bash("pretrain.sh", OMNILEARN_SITE="moon")
    assert process.returncode == 2
    assert process.stderr.startswith("error: OMNILEARN_SITE is 'moon'; expected perlmutter-shifter")


def test_a_job_that_is_not_submitted_from_the_checkout_is_refused(tmp_path):
    process = bash("pretrain.sh", **slurm(SLURM_SUBMIT_DIR=str(tmp_path)))
    assert process.returncode == 2
    assert "submit the jobs from the root of the checkout" in process.stderr


def test_elements_of_an_array_are_the_repeats_of_one_run():
    array = slurm(SLURM_ARRAY_TASK_ID="3")
    (command,) = printed("finetune.sh", "top", "--backbone", "runs/jetclass", **array)
    assert command[-6:] == ["--runs", "runs/top_finetuned", "--name", "seed3", "--seed", "3"]
    (command,) = printed("finetune.sh", "qg", "--runs", "R", **array)
    assert command[-6:] == ["--runs", "R/qg_scratch", "--name", "seed3", "--seed", "3"]
    (command,) = printed("finetune.sh", "qg", "--name", "mine", **array)
    assert command[-6:] == ["--runs", "runs/mine", "--name", "seed3", "--seed", "3"]
    assert "--seed" not in printed("finetune.sh", "qg", **slurm())[0]


def test_a_scan_takes_one_value_per_element_of_the_array():
    (command,) = printed("scan.sh", "top", "lr=1,2,3", **slurm(SLURM_ARRAY_TASK_ID="1"))
    assert command[-5:] == ["top", "--lr", "2", "--name", "top_lr_2"]
    values = [command[-3] for command in printed("scan.sh", "top", "lr=1,2,3")]
    assert values == ["1", "2", "3"]
    process = bash("scan.sh", "top", "lr=1,2", **slurm(SLURM_ARRAY_TASK_ID="2"))
    assert process.returncode == 2
    assert "expected --array=0-1" in process.stderr
    assert bash("scan.sh", "top", "--lr").returncode == 2


def test_a_search_takes_one_cell_per_element_of_the_array():
    search = ("anomaly.sh", "0,500,1000", "2", "--idealised")
    cells = []
    for element in range(6):
        (command,) = printed(*search, **slurm(SLURM_ARRAY_TASK_ID=str(element)))
        script = "srun --kill-on-bad-exit=1 .venv/bin/python finetune.py lhco --idealised"
        assert command[:6] == script.split()
        cells.append((command[-3], command[-1]))
    assert cells == [(signal, seed) for seed in "01" for signal in ("0", "500", "1000")]
    (command,) = printed(*search)
    assert command[-4:] == ["--signal", "0,500,1000", "--repeats", "2"]
    process = bash(*search, **slurm(SLURM_ARRAY_TASK_ID="6"))
    assert process.returncode == 2
    assert "--array=0-5" in process.stderr
    assert bash("anomaly.sh", "500").returncode == 2


def test_the_aspen_study_takes_one_cell_per_element_of_the_array():
    (command,) = printed("aspen_study.sh", "cells", **slurm(SLURM_ARRAY_TASK_ID="5"))
    assert command[:2] == ["srun", "--kill-on-bad-exit=1"]
    words = "-m benchmarks aspen --preset full --stage cells --cell 5"
    assert command[3:] == words.split()
    (command,) = printed("aspen_study.sh", "all", "--preset", "small", OMNILEARN_RANKS="2")
    assert command[0] == ".venv/bin/python"
    assert command[-2:] == ["--preset", "small"]  # the last of two equal flags counts
    process = bash("aspen_study.sh", "cell")
    assert process.returncode == 2
    assert "expected all, backbones, cells or summary" in process.stderr


@pytest.fixture
def fake_slurm(tmp_path):
    """An srun that runs the commands in FAKE instead of ranks; a scontrol that writes its words."""
    (tmp_path / "srun").write_text('#!/bin/bash\neval "$FAKE"\n')
    (tmp_path / "scontrol").write_text(f'#!/bin/bash\necho "$@" >>{tmp_path}/scontrol_words\n')
    (tmp_path / "sleep").write_text("#!/bin/bash\n")
    for name in ("srun", "scontrol", "sleep"):
        (tmp_path / name).chmod(0o755)

    def run(ranks: str, **variables) -> tuple[int, str]:
        path = f"{tmp_path}:{os.environ['PATH']}"
        process = bash("pretrain.sh", **slurm(FAKE=ranks, PATH=path, **variables))
        words = tmp_path / "scontrol_words"
        return process.returncode, words.read_text() if words.exists() else ""

    return run


WAITING = "kill -USR1 $PPID; for i in {1..200}; do /bin/sleep 0.1; done"


@pytest.mark.parametrize(
    ("ranks", "code", "scontrol"),
    [
        ("exit 0", 0, ""),
        ("exit 2", 2, ""),  # a mistake of the user, a dead rank, a full disk: not to be repeated
        ("exit 75", 75, "requeue 7\n"),  # the ranks stopped after a signal
        ("trap 'exit 75' USR1; " + WAITING, 75, "requeue 7\n"),
        ("trap 'exit 0' USR1; " + WAITING, 0, ""),
        # the signal came before python had a handler for it
        (WAITING, 138, "requeue 7\n"),
    ],
)
def test_a_job_is_requeued_at_its_time_limit_only(fake_slurm, ranks, code, scontrol):
    assert fake_slurm(ranks) == (code, scontrol)


def test_a_job_is_requeued_a_hundred_times_at_most(fake_slurm):
    assert fake_slurm("exit 75", SLURM_RESTART_COUNT="100") == (75, "")


def test_a_requeued_job_does_not_overwrite_its_run():
    words = ("pretrain.sh", "top", "--overwrite", "--lr", "1")
    (first,) = printed(*words, **slurm())
    (requeued,) = printed(*words, **slurm(SLURM_RESTART_COUNT="1"))
    assert first[-4:] == ["top", "--overwrite", "--lr", "1"]
    assert requeued[-3:] == ["top", "--lr", "1"]


def test_the_container_is_made_by_setup_sh():
    text = (ROOT / "Containerfile").read_text()
    assert "./setup.sh" in text
    assert "pip install" not in text  # versions stand in requirements.txt alone
    assert "requirements.txt" in text


def warm_up() -> str:
    """The command of the Containerfile that compiles the kernels of a GPU, for this shell."""
    lines = (ROOT / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    (line,) = [
        line for line in lines if line.startswith("RUN --mount") and "benchmarks gpu" in line
    ]
    return line.split("target=/checkout", 1)[1].replace("/checkout", ".")


@pytest.mark.parametrize(
    ("gpu", "benchmark", "output"),
    [
        ("exit 1", "echo warm", ""),
        ("exit 0", "echo warm", "warm\n"),
        ("exit 0", "exit 1", "kernels were not compiled: the first step does it\n"),
    ],
)
def test_the_container_compiles_kernels_if_there_is_a_gpu_and_is_built_if_that_fails(
    tmp_path, gpu, benchmark, output
):
    for name, line in (("nvidia-smi", gpu), ("python", benchmark)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    process = run_process(
        ["sh", "-c", warm_up()], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert (process.returncode, process.stdout) == (0, output)


def test_compiled_kernels_are_cached_in_the_checkout_by_default():
    show = 'cd "$1" && . jobs/environment.sh && echo "$CUDA_CACHE_PATH $CUDA_CACHE_MAXSIZE"'
    clean = {"PATH": os.environ["PATH"], "OMNILEARN_SITE": "laptop"}
    for variables, expected in (
        ({}, f"{ROOT}/.cuda_cache {4 * 2**30}"),
        ({"CUDA_CACHE_PATH": "/cache", "CUDA_CACHE_MAXSIZE": "7"}, "/cache 7"),
    ):
        process = run_process(["bash", "-c", show, "-", ROOT], env={**clean, **variables})
        assert process.stdout.strip() == expected
    assert "/.cuda_cache/" in (ROOT / ".gitignore").read_text().splitlines()
