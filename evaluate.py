"""Evaluate a run: write results.json, figures and report.html into its directory.

python evaluate.py runs/top_finetuned
python evaluate.py runs/top_finetuned --from-predictions     # again, without model and data
python evaluate.py runs/jetnet30_finetuned --ideal --steps 20    # sample new jets and compare
python evaluate.py runs/lhco_finetuned                       # a scan over injected signal
horovodrun -np 2 --gloo python evaluate.py runs/top_finetuned --data data

Each training of a run with repeats (finetune.py --repeats) is evaluated, then the mean and the
spread over the trainings.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.anomaly import density, sideband_weights
from omnilearn.anomaly import task as anomaly
from omnilearn.anomaly.figures import anomaly_figures, closure_figures
from omnilearn.anomaly.metrics import scan
from omnilearn.anomaly.regions import with_regions
from omnilearn.config import Evaluation, read_config
from omnilearn.data.catalogue import as_trained, dataset
from omnilearn.errors import UserError, run_cli
from omnilearn.generation import task as generation
from omnilearn.generation.figures import generation_figures
from omnilearn.history import read_history
from omnilearn.leftovers import remove_leftovers
from omnilearn.log import log
from omnilearn.plotting.style import require_drawable
from omnilearn.report.run_report import write_report
from omnilearn.run_lock import EVALUATION, hold, release, released
from omnilearn.runs import cpu_model, refuse_links, trainings
from omnilearn.settings import add_flags, configured, known_arguments, parsed
from omnilearn.statistics.repeats import over_trainings
from omnilearn.statistics.results import Result, write_results
from omnilearn.tagging import task as tagging
from omnilearn.tagging.figures import evaluation_figures
from omnilearn.tokens import tagging as token_tagging
from omnilearn.tokens import task as tokens
from omnilearn.training import distributed
from omnilearn.training.gradients import gpu_name
from omnilearn.unfolding import task as unfolding
from omnilearn.unfolding.figures import unfolding_figures

TASKS = {task: (tagging, evaluation_figures) for task in ("pretraining", "tagging")}
TASKS["generation"] = (generation, generation_figures)
TASKS["unfolding"] = (unfolding, unfolding_figures)
TASKS["anomaly"] = (anomaly, anomaly_figures)
TASKS["density"] = (density, closure_figures)
TASKS["sidebands"] = (sideband_weights, closure_figures)
TASKS["tokens"] = (tokens, generation_figures)
TASKS["token_tagging"] = (token_tagging, evaluation_figures)


def evaluate(run: Path, settings: Evaluation) -> dict:
    """The results of one training; files are written on rank 0."""
    config, about = read_config(run / "config.json")
    spec = dataset(about["dataset"] or "", settings.data or config.data)
    spec = with_regions(as_trained(spec, run, slots=config.model == "pet"), about)
    require_drawable(spec)
    history = read_history(run)
    task, figures = task_of(run)
    if distributed.rank() == 0:
        hold(run, EVALUATION)
    results = task.evaluate(run, spec, config, about, settings)
    if distributed.rank() == 0:
        folders = [path for path in run.iterdir() if path.is_dir() and not path.is_symlink()]
        remove_leftovers(run, *folders)
        write_results(run / "results.json", {**results, "machine": machine()})
        figures(run, spec, results, history)
        release(run, EVALUATION)
    distributed.barrier()
    return results


def command_line() -> tuple[Path, Evaluation]:
    """The run and the settings; the task of the run determines the flags."""
    parser = argparse.ArgumentParser(
        description="Evaluate a run.", allow_abbrev=False, add_help=False
    )
    parser.add_argument("run", type=Path, help="run directory of train.py or finetune.py")
    if set(sys.argv[1:]) == {"--help"}:
        add_flags(parser, Evaluation)
        parser.add_argument("--help", action="help", help="the task of a run may have more flags")
        parser.parse_args()
    known = known_arguments(parser, (task.EVALUATION for task, _ in TASKS.values()))
    refuse_links(known.run)
    first = trainings(known.run)[0]
    task = task_of(first)[0]
    flags = add_flags(parser, task.EVALUATION)
    known, _ = parser.parse_known_args()
    settings = configured(task.EVALUATION, {}, known)
    arguments = parsed(parser, flags, task.not_evaluated(first, settings))
    return arguments.run, settings


def task_of(run: Path) -> tuple:
    """The module of the task of a run, and the function that draws its figures."""
    _, about = read_config(run / "config.json")
    if about.get("task") not in TASKS:
        raise UserError(
            f"{run / 'config.json'} is of the task {about.get('task')!r}; expected "
            f"{', '.join(TASKS)}"
        )
    return TASKS[about["task"]]


def machine() -> str:
    """GPU or CPU of this rank, and the number of ranks."""
    return f"{gpu_name() or cpu_model()}; ranks: {distributed.size()}"


def named_results(results: dict, prefix: str = "") -> Iterator[tuple[str, Result]]:
    """All Results with their names; a nested name is preceded by those of its dictionaries."""
    for name, value in results.items():
        if isinstance(value, Result):
            yield prefix + name, value
        elif isinstance(value, dict):
            yield from named_results(value, f"{prefix}{name} ")


@released()
@distributed.ranks_that_end()
def main() -> None:
    run, settings = command_line()
    runs = trainings(run)
    distributed.horovod()
    all_results = [evaluate(training, settings) for training in runs]
    if distributed.rank() == 0:
        results = all_results[0]
        if runs != [run]:  # repeats, or the cells of a search
            config, about = read_config(runs[0] / "config.json")
            summarise = scan if about["task"] == "anomaly" else over_trainings
            results = {**summarise(all_results), "model": run.name}
            write_results(run / "results.json", {**results, "machine": machine()})
            spec = dataset(about["dataset"], settings.data or config.data)
            _, figures = task_of(runs[0])
            figures(run, spec, results, [])
        write_report(run, sys.argv)
        for name, result in named_results(results):
            log.info(f"{name}: {result}")
        log.info(f"figures, results.json and report.html are in {run}")


def command() -> int:
    """The command omnilearn-evaluate of the installed package; returns the exit status."""
    return run_cli(main)


if __name__ == "__main__":
    sys.exit(command())
