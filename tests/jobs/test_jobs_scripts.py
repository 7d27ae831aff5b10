"""Job scripts start what they say, a rank per task, and are requeued where time was too short."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import ROOT
from job_scripts import bash, printed, slurm

SCRIPTS = sorted((ROOT / "jobs").glob("*.sh"))
JOBS = [path for path in SCRIPTS if "#SBATCH" in path.read_text()]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_bash_and_short(path):
    subprocess.run(["bash", "-n", path], check=True)
    assert path.read_text().count("\n") <= 150
    if shutil.which("shellcheck"):
        done = subprocess.run(
            ["shellcheck", "-x", path], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_every_job_is_warned_before_its_limit_and_may_be_requeued(path):
    text = path.read_text()
    assert "#SBATCH --signal=B:USR1@300\n" in text
    assert "#SBATCH --requeue\n" in text
    assert "#SBATCH --open-mode=append\n" in text
    assert not re.search(r"--(account|qos|constraint|partition)", text)  # those belong to sites


def test_one_rank_needs_no_launcher_and_several_are_started_by_horovodrun():
    python = ".venv/bin/python"
    assert printed("pretrain.sh", "top", "--lr", "1") == [[python, "train.py", "top", "--lr", "1"]]
    (command,) = printed("pretrain.sh", OMNILEARN_RANKS="2")
    assert command == [".venv/bin/horovodrun", "-np", "2", "--gloo", python, "train.py", "jetclass"]


def test_under_slurm_srun_starts_every_task_and_one_dead_rank_ends_all():
    (command,) = printed("evaluate.sh", "runs/top", **slurm())
    assert command == [
        "srun",
        "--kill-on-bad-exit=1",
        ".venv/bin/python",
        "evaluate.py",
        "runs/top",
    ]


@pytest.mark.parametrize("kind", ["shifter", "podman"])
def test_perlmutter_runs_the_container(kind):
    site = {"OMNILEARN_SITE": f"perlmutter-{kind}", "OMNILEARN_IMAGE": "mine:1"}
    (command,) = printed("pretrain.sh", **slurm(**site))
    assert command[:2] == ["srun", "--kill-on-bad-exit=1"]
    assert any("mine:1" in word for word in command)
    assert command[-3:] == ["python", "train.py", "jetclass"]


def test_an_unknown_site_is_told():
    done = bash("pretrain.sh", OMNILEARN_SITE="moon")
    assert done.returncode == 2
    assert done.stderr.startswith("error: OMNILEARN_SITE is 'moon'; expected perlmutter-shifter")


def test_a_job_submitted_from_elsewhere_says_so(tmp_path):
    done = bash("pretrain.sh", **slurm(SLURM_SUBMIT_DIR=str(tmp_path)))
    assert done.returncode == 2
    assert "submit the jobs from the root of the checkout" in done.stderr


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
    done = bash("scan.sh", "top", "lr=1,2", **slurm(SLURM_ARRAY_TASK_ID="2"))
    assert done.returncode == 2
    assert "expected --array=0-1" in done.stderr
    assert bash("scan.sh", "top", "--lr").returncode == 2


def test_a_search_takes_one_cell_per_element_of_the_array():
    search = ("anomaly.sh", "0,500,1000", "2", "--idealised")
    cells = []
    for element in range(6):
        (command,) = printed(*search, **slurm(SLURM_ARRAY_TASK_ID=str(element)))
        assert command[:6] == [
            "srun",
            "--kill-on-bad-exit=1",
            ".venv/bin/python",
            "finetune.py",
            "lhco",
            "--idealised",
        ]
        cells.append((command[-3], command[-1]))
    assert cells == [(signal, seed) for seed in "01" for signal in ("0", "500", "1000")]
    (command,) = printed(*search)
    assert command[-4:] == ["--signal", "0,500,1000", "--repeats", "2"]
    done = bash(*search, **slurm(SLURM_ARRAY_TASK_ID="6"))
    assert done.returncode == 2
    assert "--array=0-5" in done.stderr
    assert bash("anomaly.sh", "500").returncode == 2


def test_the_aspen_study_takes_one_cell_per_element_of_the_array():
    (command,) = printed("aspen_study.sh", "cells", **slurm(SLURM_ARRAY_TASK_ID="5"))
    assert command[:2] == ["srun", "--kill-on-bad-exit=1"]
    assert command[3:] == [
        "-m",
        "benchmarks",
        "aspen",
        "--preset",
        "full",
        "--stage",
        "cells",
        "--cell",
        "5",
    ]
    (command,) = printed("aspen_study.sh", "all", "--preset", "small", OMNILEARN_RANKS="2")
    assert command[0] == ".venv/bin/python"
    assert command[-2:] == ["--preset", "small"]  # the last of two equal flags counts
    done = bash("aspen_study.sh", "cell")
    assert done.returncode == 2
    assert "expected all, backbones, cells or summary" in done.stderr


@pytest.fixture
def fake_slurm(tmp_path):
    """srun that does what FAKE says instead of starting ranks; scontrol that notes its words."""
    (tmp_path / "srun").write_text('#!/bin/bash\neval "$FAKE"\n')
    (tmp_path / "scontrol").write_text(f'#!/bin/bash\necho "$@" >>{tmp_path}/asked\n')
    (tmp_path / "sleep").write_text("#!/bin/bash\n")
    for name in ("srun", "scontrol", "sleep"):
        (tmp_path / name).chmod(0o755)

    def run(what: str, **more) -> tuple[int, str]:
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = bash("pretrain.sh", **slurm(FAKE=what, PATH=path, **more))
        asked = tmp_path / "asked"
        return done.returncode, asked.read_text() if asked.exists() else ""

    return run


WAITING = "kill -USR1 $PPID; for i in {1..200}; do /bin/sleep 0.1; done"


@pytest.mark.parametrize(
    ("what", "code", "asked"),
    [
        ("exit 0", 0, ""),
        ("exit 2", 2, ""),  # a user's mistake, a dead rank, a full disk: not to be repeated
        ("exit 75", 75, "requeue 7\n"),  # the ranks were asked to stop, and did
        ("trap 'exit 75' USR1; " + WAITING, 75, "requeue 7\n"),
        ("trap 'exit 0' USR1; " + WAITING, 0, ""),
        # too early: python was not listening yet
        (WAITING, 138, "requeue 7\n"),
    ],
)
def test_a_job_is_requeued_when_its_time_was_short_and_never_else(fake_slurm, what, code, asked):
    assert fake_slurm(what) == (code, asked)


def test_a_job_that_never_gets_anywhere_is_not_requeued_for_ever(fake_slurm):
    assert fake_slurm("exit 75", SLURM_RESTART_COUNT="100") == (75, "")


def test_a_requeued_job_does_not_throw_away_what_it_made():
    ask = ("pretrain.sh", "top", "--overwrite", "--lr", "1")
    (first,) = printed(*ask, **slurm())
    (again,) = printed(*ask, **slurm(SLURM_RESTART_COUNT="1"))
    assert first[-4:] == ["top", "--overwrite", "--lr", "1"]
    assert again[-3:] == ["top", "--lr", "1"]


def test_the_container_is_made_by_the_set_up_of_everybody():
    text = (ROOT / "Containerfile").read_text()
    assert "./setup.sh" in text
    assert not re.search(r"pip install", text)  # versions stand in requirements.txt alone
    assert Path(ROOT / "requirements.txt").name in text


def warm_up() -> str:
    """The command of the Containerfile that compiles the kernels of a GPU, for this shell."""
    lines = (ROOT / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    (found,) = [
        line for line in lines if line.startswith("RUN --mount") and "benchmarks gpu" in line
    ]
    return found.split("target=/checkout", 1)[1].replace("/checkout", ".")


@pytest.mark.parametrize(
    ("gpu", "benchmark", "said"),
    [
        ("exit 1", "echo warm", ""),
        ("exit 0", "echo warm", "warm\n"),
        ("exit 0", "exit 1", "kernels were not compiled: the first step does it\n"),
    ],
)
def test_the_container_compiles_kernels_where_a_gpu_is_and_is_built_whatever_comes_of_it(
    tmp_path, gpu, benchmark, said
):
    for name, what in (("nvidia-smi", gpu), ("python", benchmark)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{what}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", warm_up()],
        check=False,
        text=True,
        capture_output=True,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout) == (0, said)


def test_compiled_kernels_are_kept_in_the_checkout_unless_told_otherwise():
    show = 'cd "$1" && . jobs/environment.sh && echo "$CUDA_CACHE_PATH $CUDA_CACHE_MAXSIZE"'
    clean = {"PATH": os.environ["PATH"], "OMNILEARN_SITE": "laptop"}
    for given, expected in (
        ({}, f"{ROOT}/.cuda_cache {4 * 2**30}"),
        ({"CUDA_CACHE_PATH": "/kept", "CUDA_CACHE_MAXSIZE": "7"}, "/kept 7"),
    ):
        done = subprocess.run(
            ["bash", "-c", show, "-", ROOT],
            check=True,
            text=True,
            capture_output=True,
            env={**clean, **given},
        )
        assert done.stdout.strip() == expected
    assert "/.cuda_cache/" in (ROOT / ".gitignore").read_text().splitlines()
