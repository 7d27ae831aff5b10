"""Adapt a model to a task: from a pre-trained run, from released weights, or from scratch.

python finetune.py top --backbone runs/jetclass --preset small
python finetune.py top --released-weights PET_jetclass_8_..._all.weights.h5
python finetune.py top --preset small                    # PET from scratch
python finetune.py top --backbone runs/jetclass --repeats 5   # for mean and spread
python finetune.py jetnet30 --backbone runs/jetclass     # generation, as --mode generator
python finetune.py lhco --backbone runs/jetclass --idealised --signal 0,500   # a resonance
python finetune.py jetclass --model omnijet --backbone runs/aspen_omnijet --classes QCD
python finetune.py jetclass --model omnijet --tokeniser runs/jetclass_omnijet --classes QCD
python finetune.py top --model omnijet --published-weights omnijet_alpha.npz    # of the public code
horovodrun -np 4 --gloo python finetune.py top --backbone runs/jetclass
"""

import argparse
import sys
from typing import Any

import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.anomaly import task as anomaly
from omnilearn.config import Config, Start, chosen
from omnilearn.data.catalogue import dataset
from omnilearn.errors import run_cli
from omnilearn.generation import task as generation
from omnilearn.recipes import FINETUNING, SCRATCH, recipe
from omnilearn.run_lock import released
from omnilearn.runs import repeated
from omnilearn.settings import add_flags, configured, given, parsed
from omnilearn.tagging import task as tagging
from omnilearn.tokens import tagging as token_tagging
from omnilearn.tokens import task as tokens
from omnilearn.tokens.recipes import TOKEN_FINETUNING, TOKEN_SCRATCH, TOKEN_TAGGING
from omnilearn.training import distributed
from omnilearn.unfolding import task as unfolding

# dataset one of generation
TASKS = {task: tagging for task in ("pretraining", "tagging")}
TASKS |= {"generation": generation, "unfolding": unfolding, "anomaly": anomaly}


def run_name(config: Config, dataset: str, kind: str) -> str:
    """<dataset>_finetuned, or <dataset>_<classes>_omnijet_scratch and the like."""
    classes = config.classes.replace(",", "_").replace(" ", "")
    model = "" if config.model == "pet" else config.model
    return "_".join(filter(None, (dataset, classes, model, kind)))


@released()
@distributed.ranks_that_end()
def main() -> None:
    parser = argparse.ArgumentParser(
        description="Adapt a model to a task.", allow_abbrev=False, add_help=False
    )
    parser.add_argument("dataset", help="the task's dataset, e.g. top; each has its own --help")
    flags = add_flags(parser, Start)
    parser.add_argument(
        "--repeats",
        type=int,
        default=1,
        help="trainings, with seeds counted up from --seed; a finished one is not repeated",
    )
    flags |= add_flags(parser, Config)
    if set(sys.argv[1:]) == {"--help"}:
        parser.print_help()
        return
    # dataset and heads decide which more flags there are
    known, _ = parser.parse_known_args()
    spec = dataset(known.dataset, chosen(known, "data"))
    preset, mode = chosen(known, "preset"), chosen(known, "mode")
    start = configured(Start, {}, known)
    tasks: tuple[Any, Any]  # for the generator alone, and for other heads
    if chosen(known, "model") == "omnijet":
        tags = mode == "classifier" or (spec.task == "tagging" and mode != "generator")
        tables = [TOKEN_TAGGING] if tags else [TOKEN_FINETUNING, TOKEN_SCRATCH]
        tasks = tokens, token_tagging
    else:
        tables = [FINETUNING, SCRATCH]
        tasks = generation, TASKS[spec.task]
    settings: dict = {}
    for table in tables[:1] if start.path else tables:  # what differs from scratch comes second
        settings |= recipe(table, spec.name, preset)
    config = configured(Config, settings, known)
    task = tasks[0] if config.mode == "generator" else tasks[1]
    flags |= add_flags(parser, task.SETTINGS)
    known, _ = parser.parse_known_args()
    more, own = task.recipes(config, given(task.SETTINGS, known))
    config = configured(Config, {**settings, **more}, known)
    chosen_settings = configured(task.SETTINGS, own, known)
    arguments = parsed(parser, flags, task.idle_flags(config, start, chosen_settings))
    name = run_name(config, spec.name, "finetuned" if start.path else "scratch")
    distributed.horovod()
    for one in repeated(config, name, arguments.repeats):
        task.finetune(spec, one, name, start, chosen_settings)


def command() -> int:
    """The command omnilearn-finetune of the installed package; returns the exit status."""
    return run_cli(main)


if __name__ == "__main__":
    sys.exit(command())
