"""Pre-train a model from scratch: PET, or a tokeniser and a GPT over its tokens.

python train.py jetclass --preset small
python train.py aspen --model omnijet                    # tokeniser, then GPT
python train.py aspen --model pet --mode generator       # collider data have no classes
horovodrun -np 2 --gloo python train.py jetclass --preset small
srun --mpi=pmix -n 128 python train.py jetclass          # one rank per GPU
"""

import argparse
import sys

import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.config import add_flags, chosen, configured
from omnilearn.data.catalogue import dataset
from omnilearn.errors import speak
from omnilearn.recipes import PRETRAINING, recipe
from omnilearn.run_lock import released
from omnilearn.runs import prepare_run
from omnilearn.tagging import task as tagging
from omnilearn.tokens import task as tokens
from omnilearn.tokens.recipes import TOKEN_PRETRAINING
from omnilearn.training import distributed


@released()
@distributed.ranks_that_end()
def main() -> None:
    parser = argparse.ArgumentParser(
        description="Pre-train a model from scratch.", allow_abbrev=False, add_help=False
    )
    parser.add_argument("dataset", help="what to train on, e.g. jetclass")
    add_flags(parser)
    if set(sys.argv[1:]) == {"--help"}:
        parser.print_help()
        return
    known, _ = parser.parse_known_args()
    is_pet = chosen(known, "model") == "pet"
    if not is_pet:
        tokens.add_training_flags(parser)
    parser.add_argument("-h", "--help", action="help", help="show this and stop")
    arguments = parser.parse_args()
    spec = dataset(arguments.dataset, chosen(arguments, "data"))
    preset = chosen(arguments, "preset")
    table = PRETRAINING if is_pet else TOKEN_PRETRAINING
    config = configured(recipe(table, spec.name, preset), arguments)
    distributed.horovod()
    if not is_pet:
        tokens.train(spec, config, f"{spec.name}_{config.model}", arguments)
        return
    pet, _ = tagging.make_pet(spec, config)
    about = {"task": "pretraining", "dataset": spec.name, "backbone": None}
    data = tagging.open_data(spec, config)
    run = prepare_run(config, spec.name, about)
    tagging.train(data, pet, config, run, about)


def command() -> int:
    """The command omnilearn-train of the installed package; returns the exit status."""
    return speak(main)


if __name__ == "__main__":
    sys.exit(command())
