"""Pre-train a model from scratch: PET, or a tokeniser and a GPT over its tokens.

python train.py jetclass --preset small
python train.py aspen --model omnijet                    # tokeniser, then GPT
python train.py aspen --model pet --mode generator       # collider data have no classes
horovodrun -np 2 --gloo python train.py jetclass --preset small
srun -n 128 python train.py jetclass                     # one rank per GPU
"""

import argparse
import sys
from typing import cast

import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.config import Config, Start, chosen, idle_flags
from omnilearn.data.catalogue import dataset
from omnilearn.errors import run_cli
from omnilearn.recipes import PRETRAINING, recipe
from omnilearn.runs import one_command
from omnilearn.settings import add_flags, configured, known_arguments, parsed
from omnilearn.tagging import task as tagging
from omnilearn.tokens import task as tokens
from omnilearn.tokens.recipes import TOKEN_PRETRAINING
from omnilearn.tokens.settings import TokenTraining
from omnilearn.training import distributed


@one_command()
@distributed.ranks_that_end()
def main() -> None:
    parser = argparse.ArgumentParser(
        description="Pre-train a model from scratch.", allow_abbrev=False, add_help=False
    )
    parser.add_argument("dataset", help="data set of the training, e.g. jetclass")
    flags = add_flags(parser, Config)
    if set(sys.argv[1:]) == {"--help"}:
        parser.print_help()
        return
    known = known_arguments(parser, [TokenTraining])
    is_pet = chosen(known, "model") == "pet"
    if not is_pet:
        flags |= add_flags(parser, TokenTraining)
        known, _ = parser.parse_known_args()
    spec = dataset(known.dataset, chosen(known, "data"))
    table = PRETRAINING if is_pet else TOKEN_PRETRAINING
    config = configured(Config, recipe(table, spec.name, chosen(known, "preset")), known)
    settings = configured(tagging.SETTINGS if is_pet else TokenTraining, {}, known)
    task = tagging if is_pet else tokens
    idle = idle_flags(spec) | task.idle_flags(config, Start(), settings)
    parsed(parser, flags, idle, config, settings)
    distributed.horovod()
    if is_pet:
        tagging.pretrain(spec, config, spec.name)
    else:
        tokens.train(spec, config, f"{spec.name}_{config.model}", cast(TokenTraining, settings))


def command() -> int:
    """The command omnilearn-train of the installed package; returns the exit status."""
    return run_cli(main)


if __name__ == "__main__":
    sys.exit(command())
