"""Program of every rank of test_elastic.py: train slowly until the epoch in which OUT/go appears.

horovodrun --min-np 1 --max-np 2 ... python tests/elastic_worker.py DATA OUT

Rank r writes to OUT/rank<r> the number of ranks, and its process, host, epoch and step.
"""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from tiny_training import SPEC, opened

from omnilearn.config import Config
from omnilearn.errors import run_cli
from omnilearn.training import distributed
from omnilearn.training import trainer as training
from omnilearn.training.objective import PETObjective
from omnilearn.unfolding.deepsets import DeepSets, DeepSetsConfig

ARCHITECTURE = DeepSetsConfig(
    widths=(8,), classifier_widths=(8,), max_constituents=SPEC.max_constituents
)
BATCH, PAUSE = 8, 0.1  # jets; seconds between steps, until OUT/go
CONFIG = Config(
    epochs=1000,
    batch=BATCH,
    lr=1e-4,
    warmup_epochs=0,
    patience=1000,
    checkpoint_every=1,
    mode="classifier",
)


def main(data: Path, out: Path) -> None:
    distributed.horovod()
    rank, ranks = distributed.rank(), distributed.size()
    # not traced, which would take longer than the steps
    training.compiled = training.compiled_for_batches = lambda function, *_, **__: function
    pipelines = [opened(data, split, BATCH, rank, ranks) for split in ("train", "val")]
    run = out / "run"
    run.mkdir(exist_ok=True)
    objective = PETObjective(DeepSets(ARCHITECTURE), CONFIG.mode)
    trainer = training.Trainer(objective, CONFIG, pipelines[0].steps_per_epoch, run, {})
    step = trainer.step

    def slow_step(batches, constituents_per_jet):
        position = trainer.position
        state = {
            "ranks": ranks,
            "process": os.getpid(),
            "host": os.environ["HOROVOD_HOSTNAME"],
            "epoch": position.epoch,
            "step": position.step,
        }
        (out / f"rank{rank}").write_text(json.dumps(state))
        if (out / "go").exists():
            trainer.config = replace(CONFIG, epochs=position.epoch + 1)
        else:
            time.sleep(PAUSE)
        return step(batches, constituents_per_jet)

    trainer.step = slow_step
    trainer.fit(*pipelines)


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(Path(sys.argv[1]), Path(sys.argv[2]))))
