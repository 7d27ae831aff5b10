"""Pre-train PET from scratch.

python train.py jetclass --preset small
horovodrun -np 2 --gloo python train.py jetclass --preset small
srun --mpi=pmix -n 128 python train.py jetclass          # one rank per GPU
"""

import argparse
import sys

from omnilearn import distributed
from omnilearn.config import add_flags, chosen, configured
from omnilearn.data.catalogue import dataset
from omnilearn.errors import speak
from omnilearn.recipes import PRETRAINING, recipe
from omnilearn.runs import prepare_run
from omnilearn.tasks import tagging


def main() -> None:
    parser = argparse.ArgumentParser(description="Pre-train PET from scratch.", allow_abbrev=False)
    parser.add_argument("dataset", help="what to train on, e.g. jetclass")
    add_flags(parser)
    arguments = parser.parse_args()
    spec = dataset(arguments.dataset, chosen(arguments, "data"))
    preset = chosen(arguments, "preset")
    config = configured(recipe(PRETRAINING, spec.name, preset), arguments)
    distributed.horovod()
    pet, _ = tagging.make_pet(spec, config)
    about = {"task": "pretraining", "dataset": spec.name, "backbone": None}
    data = tagging.open_data(spec, config)
    run = prepare_run(config, spec.name, about)
    tagging.train(data, pet, config, run, about)


if __name__ == "__main__":
    sys.exit(speak(main))
