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
from omnilearn.config import Config, Start, chosen, idle_flags
from omnilearn.data.catalogue import dataset
from omnilearn.errors import run_cli
from omnilearn.generation import task as generation
from omnilearn.recipes import FINETUNING, SCRATCH, recipe
from omnilearn.runs import one_command, repeated
from omnilearn.settings import add_flags, configured, given, known_arguments, parsed
from omnilearn.tagging import task as tagging
from omnilearn.tokens import tagging as token_tagging
from omnilearn.tokens import task as tokens
from omnilearn.tokens.recipes import TOKEN_FINETUNING, TOKEN_SCRATCH, TOKEN_TAGGING
from omnilearn.training import distributed
from omnilearn.unfolding import task as unfolding

TASKS = {task: tagging for task in ("pretraining", "tagging")}
TASKS |= {"generation": generation, "unfolding": unfolding, "anomaly": anomaly}
OF_TOKENS = tokens, token_tagging


def run_name(config: Config, dataset: str, kind: str) -> str:
    """The default name, like top_finetuned or jetclass_QCD_omnijet_scratch."""
    classes = config.classes.replace(",", "_").replace(" ", "")
    model = "" if config.model == "pet" else config.model
    return "_".join(filter(None, (dataset, classes, model, kind)))


@one_command()
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
        help="trainings, with seeds from --seed on; a finished one is not repeated",
    )
    flags |= add_flags(parser, Config)
    if set(sys.argv[1:]) == {"--help"}:
        parser.print_help()
        return
    # the data set, the model and the mode determine the further flags
    known = known_arguments(parser, (task.SETTINGS for task in (*TASKS.values(), *OF_TOKENS)))
    spec = dataset(known.dataset, chosen(known, "data"))
    preset, mode = chosen(known, "preset"), chosen(known, "mode")
    start = configured(Start, {}, known)
    generator: Any
    other_heads: Any
    if chosen(known, "model") == "omnijet":
        is_tagging = mode == "classifier" or (spec.task == "tagging" and mode != "generator")
        tables = [TOKEN_TAGGING] if is_tagging else [TOKEN_FINETUNING, TOKEN_SCRATCH]
        generator, other_heads = OF_TOKENS
    else:
        tables = [FINETUNING, SCRATCH]
        generator, other_heads = generation, TASKS[spec.task]
    defaults: dict = {}
    for table in tables[:1] if start.path else tables:  # from scratch, the second table overrides
        defaults |= recipe(table, spec.name, preset)
    config = configured(Config, defaults, known)
    task = generator if config.mode == "generator" else other_heads
    flags |= add_flags(parser, task.SETTINGS)
    known, _ = parser.parse_known_args()
    config_defaults, task_defaults = task.recipes(config, given(task.SETTINGS, known))
    config = configured(Config, {**defaults, **config_defaults}, known)
    settings = configured(task.SETTINGS, task_defaults, known)
    idle = idle_flags(spec) | task.idle_flags(config, start, settings)
    arguments = parsed(parser, flags, idle, config, settings)
    name = run_name(config, spec.name, "finetuned" if start.path else "scratch")
    distributed.horovod()
    for repeat in repeated(config, name, arguments.repeats):
        task.finetune(spec, repeat, name, start, settings)


def command() -> int:
    """The command omnilearn-finetune of the installed package; returns the exit status."""
    return run_cli(main)


if __name__ == "__main__":
    sys.exit(command())
