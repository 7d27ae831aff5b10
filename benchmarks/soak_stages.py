"""The commands that the soak kills, with models so small that most of the time is start-up.

    python -m benchmarks.soak_stages train.py top ...    # one command with those models

Only the sizes of the small preset are reduced; all else is as in the commands of a user.
"""

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fuzz_files import toy_constituents
from benchmarks.scripts import ROOT
from omnilearn.recipes import ARCHITECTURES
from omnilearn.tokens.recipes import TOKEN_ARCHITECTURES
from preprocessing.own import write_dataset

PET = {
    "projection_dim": 8,
    "num_layers": 1,
    "num_heads": 2,
    "classifier_layers": 1,
    "generator_layers": 1,
}
TOKENS = {
    "tokeniser": {"dim": 8, "num_blocks": 1, "num_heads": 2, "num_codes": 16},
    "gpt": {"dim": 8, "num_blocks": 1, "num_heads": 2},
}
SLOTS = 11  # a point and its 10 neighbours, the fewest: all batches have one shape
TRAINING_FLAGS = "--preset small --batch 8 --warmup-epochs 0 --checkpoint-every 1"
SHORT_FLAGS = f"{TRAINING_FLAGS} --train-jets 16 --epochs 2"
UNFOLDING_FLAGS = f"{TRAINING_FLAGS} --epochs 1 --later-epochs 1 --iterations 2"


@dataclass(frozen=True)
class Stage:
    """A command of the soak."""

    command: str
    after: str = ""  # the stage that makes its input
    ranks: int = 1
    is_training: bool = True  # writes a checkpoint and ends at SIGTERM


STAGES = {
    "pet": Stage(f"train.py mine --name pet {SHORT_FLAGS}"),
    "evaluation": Stage("evaluate.py runs/pet", after="pet", is_training=False),
    "repeats": Stage(f"finetune.py mine --name tagger --repeats 2 {SHORT_FLAGS}"),
    "tokens": Stage(
        f"train.py mine --model omnijet --name tokens --tokeniser-epochs 2 {SHORT_FLAGS}"
    ),
    "generator": Stage(
        f"finetune.py mine --mode generator --name generator --jet-epochs 2 {SHORT_FLAGS}"
    ),
    "sampling": Stage("evaluate.py runs/generator", after="generator", is_training=False),
    "simulation": Stage(
        "-m simulation omnifold --jets 60 --seed 1 --out raw --workers 2", is_training=False
    ),
    "preprocessing": Stage(
        "-m preprocessing omnifold --raw raw --out data --workers 2",
        after="simulation",
        is_training=False,
    ),
    "unfolding_deepsets": Stage(
        f"finetune.py omnifold --classifier deepsets --name deepsets {UNFOLDING_FLAGS}",
        after="preprocessing",
    ),
    "unfolding_pet": Stage(
        f"finetune.py omnifold --name unfolding {UNFOLDING_FLAGS}", after="preprocessing"
    ),
    "two_ranks": Stage(f"train.py mine --name ranks {SHORT_FLAGS}", ranks=2),
}


def write_jets(folder: Path) -> None:
    """Toy jets in folder/data: the data set `mine`."""
    rng = np.random.default_rng(0)
    momenta = toy_constituents(rng)
    write_dataset(
        folder / "data",
        "mine",
        momenta,
        np.arange(len(momenta)) % 2,
        classes=("QCD", "top"),
        jet_radius=0.8,
        jet_pt_range=(100.0, 1000.0),
        max_constituents=SLOTS,
        splits={"train": 0.5, "val": 0.25, "test": 0.25},
    )


def run(words: list[str]) -> int:
    """Run a script of the suite, or `-m` and a package, in this process; returns its exit code."""
    ARCHITECTURES["small"], TOKEN_ARCHITECTURES["small"] = PET, TOKENS
    is_module = words[0] == "-m"
    program, *arguments = words[is_module:]
    sys.argv = [program, *arguments]
    sys.modules.pop(f"{program}.__main__", None)  # of an earlier command in this process
    try:
        if is_module:
            runpy.run_module(program, run_name="__main__")
        else:
            runpy.run_path(str(ROOT / program), run_name="__main__")
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
