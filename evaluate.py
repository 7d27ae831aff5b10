"""Evaluate a run: results.json and figures, from its directory alone.

python evaluate.py runs/top_finetuned
horovodrun -np 2 --gloo python evaluate.py runs/top_finetuned --data data
"""

import argparse
import sys
from pathlib import Path

from omnilearn import distributed
from omnilearn.config import read_config
from omnilearn.data.catalogue import dataset
from omnilearn.errors import UserError, speak
from omnilearn.plotting.curves import evaluation_figures
from omnilearn.results import Result, write_results
from omnilearn.runs import read_history
from omnilearn.tasks import tagging


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate a run.", allow_abbrev=False)
    parser.add_argument("run", type=Path, help="run directory of train.py or finetune.py")
    parser.add_argument("--data", default="", help="folder of datasets (default: the run's own)")
    parser.add_argument("--batch", type=int, default=256, help="jets per step and rank")
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="jets to evaluate on"
    )
    arguments = parser.parse_args()
    if arguments.batch < 1:
        raise UserError(f"--batch is {arguments.batch}; expected 1 or more")
    config, about = read_config(arguments.run / "config.json")
    spec, history = dataset(about["dataset"]), read_history(arguments.run)
    distributed.horovod()
    pipeline = tagging.open_pipeline(
        spec, arguments.data or config.data, arguments.split, arguments.batch
    )
    predicted = tagging.predict(tagging.best_pet(arguments.run), pipeline)
    if distributed.rank() == 0:
        results = tagging.metrics(spec, predicted)
        described = {
            "dataset": spec.name,
            "model": arguments.run.name,
            "data": pipeline.files.origin,
        }
        write_results(arguments.run / "results.json", {**described, **results})
        evaluation_figures(arguments.run, spec, results, history)
        for name, result in results.items():
            if isinstance(result, Result):
                print(f"{name}: {result}")
        print(f"figures and results.json are in {arguments.run}")
    distributed.barrier()


if __name__ == "__main__":
    sys.exit(speak(main))
