"""Ranks with other data, or without any, end with a message before the first step."""

import os
import sys

import pytest
from commands import ROOT, run_process
from horovodrun import LAUNCHER, NEEDS_HOROVOD
from toy_jets import write_toy_dataset

pytestmark = NEEDS_HOROVOD


@pytest.fixture
def failed_run(tmp_path):
    """Runs two ranks that read data0 and data1 and fail; gives their output."""
    for rank, jets in enumerate((80, 64)):
        write_toy_dataset(tmp_path / f"data{rank}", "top", {"train": jets, "val": 20})

    def run() -> str:
        command = (
            f"exec {sys.executable} {ROOT / 'finetune.py'} top --preset small --batch 8 "
            "--epochs 1 --data data$HOROVOD_RANK"
        )
        process = run_process(
            [LAUNCHER, "-np", "2", "--gloo", "bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=300,
        )
        output = process.stdout + process.stderr
        assert process.returncode != 0, output
        # a traceback of the launcher has no number of a rank in front
        of_ranks = [line for line in output.splitlines() if line.startswith("[")]
        assert not [line for line in of_ranks if "Traceback" in line], output
        return output

    return run


def test_ranks_with_other_jets_are_refused_before_the_first_step(failed_run, tmp_path):
    output = failed_run()
    assert "error: rank 1 on " in output
    assert "trains with other training jets (" in output
    assert not list(tmp_path.glob("runs/*/*.h5"))


def test_a_rank_without_data_ends_the_others_with_a_message(failed_run, tmp_path):
    for path in (tmp_path / "data1").rglob("*.h5"):
        path.unlink()
    output = failed_run()
    assert "data1" in output
    assert "rank 0 lost another rank" in output
