"""What is killed: commands of the suite, with models so small that a life is mostly their start.

    python -m benchmarks.soak_stages train.py top ...    # one command with those models

The sizes of the small preset are made smaller still, and nothing else: the command is the user's.
"""

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fuzz_files import toy_constituents
from omnilearn.recipes import ARCHITECTURES
from omnilearn.tokens.recipes import TOKEN_ARCHITECTURES
from preprocessing.own import write_dataset

ROOT = Path(__file__).parents[1]
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
SLOTS = 11  # the fewest that hold a neighbourhood: one shape of batches, one graph
TRAINING = "--preset small --batch 8 --warmup-epochs 0 --checkpoint-every 1"
SHORT = f"{TRAINING} --train-jets 16 --epochs 2"
UNFOLDING = f"{TRAINING} --epochs 1 --later-epochs 1 --iterations 2"


@dataclass(frozen=True)
class Stage:
    """A command and how it may be ended."""

    words: str
    after: str = ""  # the stage that makes what it needs
    ranks: int = 1
    is_training: bool = True  # stops when asked to, with a checkpoint


STAGES = {
    "pet": Stage(f"train.py mine --name pet {SHORT}"),
    "evaluation": Stage("evaluate.py runs/pet", after="pet", is_training=False),
    "repeats": Stage(f"finetune.py mine --name tagger --repeats 2 {SHORT}"),
    "tokens": Stage(f"train.py mine --model omnijet --name tokens --tokeniser-epochs 2 {SHORT}"),
    "generator": Stage(
        f"finetune.py mine --mode generator --name generator --jet-epochs 2 {SHORT}"
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
        f"finetune.py omnifold --classifier deepsets --name deepsets {UNFOLDING}",
        after="preprocessing",
    ),
    "unfolding_pet": Stage(
        f"finetune.py omnifold --name unfolding {UNFOLDING}", after="preprocessing"
    ),
    "two_ranks": Stage(f"train.py mine --name ranks {SHORT}", ranks=2),
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
    """Run a script of the suite, or `-m` and a package, in this process; its exit status."""
    ARCHITECTURES["small"], TOKEN_ARCHITECTURES["small"] = PET, TOKENS
    is_module = words[0] == "-m"
    program, *arguments = words[is_module:]
    sys.argv = [program, *arguments]
    place = program if is_module else str(ROOT / program)
    sys.modules.pop(f"{program}.__main__", None)  # of a command that ran before in this process
    try:
        (runpy.run_module if is_module else runpy.run_path)(place, run_name="__main__")
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
