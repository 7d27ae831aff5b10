"""Ranks with other data, or without any, end in sentences, before the first step."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_jets import write_toy_dataset

ROOT = Path(__file__).parents[2]
LAUNCHER = Path(sys.executable).parent / "horovodrun"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("horovod") is None, reason="horovod is not installed"
    ),
]


@pytest.fixture
def ended(tmp_path):
    """What two ranks say that read from data0 and data1, and do not end well."""
    for rank, jets in enumerate((80, 64)):
        write_toy_dataset(tmp_path / f"data{rank}", "top", {"train": jets, "val": 20})

    def run() -> str:
        command = (
            f"exec {sys.executable} {ROOT / 'finetune.py'} top --preset small --batch 8 "
            "--epochs 1 --data data$HOROVOD_RANK"
        )
        done = subprocess.run(
            [LAUNCHER, "-np", "2", "--gloo", "bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        # the launcher ends in a traceback of its own, without the number of a rank in front
        of_ranks = [line for line in said.splitlines() if line.startswith("[")]
        assert not [line for line in of_ranks if "Traceback" in line], said
        return said

    return run


def test_ranks_with_other_jets_say_so_before_the_first_step(ended, tmp_path):
    said = ended()
    assert "error: rank 1 on " in said
    assert "trains with other training jets (" in said
    assert not list(tmp_path.glob("runs/*/*.h5"))


def test_beside_a_rank_without_data_the_others_end_in_a_sentence(ended, tmp_path):
    for path in (tmp_path / "data1").rglob("*.h5"):
        path.unlink()
    said = ended()
    assert "data1" in said
    assert "rank 0 lost another rank" in said
