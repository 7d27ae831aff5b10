"""Evaluate a run: results.json and figures, from its directory alone.

python evaluate.py runs/top_finetuned
python evaluate.py runs/top_finetuned --from-predictions     # again, without model and data
horovodrun -np 2 --gloo python evaluate.py runs/top_finetuned --data data

A run of several trainings (finetune.py --repeats) is evaluated training by training, then as one:
mean and spread over them.
"""

import argparse
import sys
from pathlib import Path

from omnilearn import distributed
from omnilearn.config import read_config
from omnilearn.data.catalogue import dataset
from omnilearn.errors import UserError, speak
from omnilearn.metrics.predictions import read_predictions, write_predictions
from omnilearn.metrics.repeats import over_trainings
from omnilearn.plotting.curves import evaluation_figures
from omnilearn.results import Result, write_results
from omnilearn.runs import read_history, trainings
from omnilearn.tasks import tagging
from omnilearn.tasks.denoising import denoising_metrics


def evaluate(run: Path, arguments: argparse.Namespace) -> dict:
    """The results of one training; files are written on rank 0."""
    config, about = read_config(run / "config.json")
    spec = dataset(about["dataset"], arguments.data or config.data)
    history = read_history(run)
    described = {"dataset": spec.name, "model": run.name}
    if arguments.from_predictions:
        predicted, made = read_predictions(run / "predictions.h5")
        results = {**described, "data": made["data"], **tagging.metrics(spec, predicted)}
    else:
        pipeline = tagging.open_pipeline(
            spec, arguments.data or config.data, arguments.split, arguments.batch
        )
        pet, described["data"] = tagging.best_pet(run), pipeline.files.origin
        if config.mode == "generator":
            results = {**described, **denoising_metrics(pet, pipeline, config.seed)}
        else:
            predicted = tagging.predict(pet, pipeline)
            results = {**described, **tagging.metrics(spec, predicted)}
            if distributed.rank() == 0:
                made = {**described, "split": arguments.split}
                write_predictions(run / "predictions.h5", predicted, made)
    if distributed.rank() == 0:
        write_results(run / "results.json", results)
        evaluation_figures(run, spec, results, history)
    distributed.barrier()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Evaluate a run.", allow_abbrev=False)
    parser.add_argument("run", type=Path, help="run directory of train.py or finetune.py")
    parser.add_argument("--data", default="", help="folder of datasets (default: the run's own)")
    parser.add_argument("--batch", type=int, default=256, help="jets per step and rank")
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="jets to evaluate on"
    )
    parser.add_argument(
        "--from-predictions", action="store_true",
        help="use the run's predictions.h5 of an earlier evaluation",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.batch < 1:
        raise UserError(f"--batch is {arguments.batch}; expected 1 or more")
    runs = trainings(arguments.run)
    distributed.horovod()
    results = [evaluate(run, arguments) for run in runs]
    if distributed.rank() == 0:
        if len(runs) > 1:
            results = [{**over_trainings(results), "model": arguments.run.name}]
            write_results(arguments.run / "results.json", results[0])
            spec = dataset(results[0]["dataset"])
            evaluation_figures(arguments.run, spec, results[0], [])
        for name, result in results[0].items():
            if isinstance(result, Result):
                print(f"{name}: {result}")
        print(f"figures and results.json are in {arguments.run}")


if __name__ == "__main__":
    sys.exit(speak(main))
