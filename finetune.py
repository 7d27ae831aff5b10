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

import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.anomaly import task as anomaly
from omnilearn.config import Config, add_flags, chosen, configured
from omnilearn.data.catalogue import dataset
from omnilearn.errors import UserError, speak
from omnilearn.generation import task as generation
from omnilearn.recipes import FINETUNING, SCRATCH, recipe
from omnilearn.run_lock import released
from omnilearn.runs import repeated
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
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--backbone", default="", help="run directory or checkpoint to start from")
    source.add_argument(
        "--released-weights",
        default="",
        help="a .weights.h5 file of the released OmniLearn to start from",
    )
    source.add_argument(
        "--published-weights",
        default="",
        help="an npz or safetensors file of the public OmniJet-alpha to start from (omnijet)",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=1,
        help="trainings, with seeds counted up from --seed; a finished one is not repeated",
    )
    add_flags(parser)
    if set(sys.argv[1:]) == {"--help"}:
        parser.print_help()
        return
    # dataset and heads decide which more flags there are
    known, _ = parser.parse_known_args()
    spec = dataset(known.dataset, chosen(known, "data"))
    preset = chosen(known, "preset")
    start = known.backbone or known.released_weights or known.published_weights
    if known.published_weights and chosen(known, "model") != "omnijet":
        raise UserError("--published-weights are a token model's: add --model omnijet")
    if chosen(known, "model") == "omnijet":
        tags = spec.task == "tagging" or chosen(known, "mode") == "classifier"
        tags = tags and chosen(known, "mode") != "generator"
        tables = [TOKEN_TAGGING] if tags else [TOKEN_FINETUNING, TOKEN_SCRATCH]
        generator, other = tokens, token_tagging
    else:
        tables = [FINETUNING, SCRATCH]
        generator, other = generation, TASKS[spec.task]
    settings = {}
    for table in tables[:1] if start else tables:  # what differs from scratch comes second
        settings |= recipe(table, spec.name, preset)
    config = configured(settings, known)
    task = generator if config.mode == "generator" else other
    task.add_flags(parser)
    parser.add_argument("-h", "--help", action="help", help="show this and stop")
    arguments = parser.parse_args()
    name = run_name(config, spec.name, "finetuned" if start else "scratch")
    distributed.horovod()
    for one in repeated(config, name, arguments.repeats):
        task.finetune(spec, one, name, arguments)


def command() -> int:
    """The command omnilearn-finetune of the installed package; returns the exit status."""
    return speak(main)


if __name__ == "__main__":
    sys.exit(command())
