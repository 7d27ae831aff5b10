"""Simulate a sample in the format of the public files.

    python -m simulation jetclass --jets-per-class 2000 --seed 1 --out data/raw/jetclass
    python -m simulation top --jets 12000 --seed 1 --out data/raw/top

The same seed and sizes give the same jets on any number of cores. After a stop, the same command
keeps the complete files and makes only the missing ones.
"""

import argparse
import json
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.atomic import atomic_path
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError, run_cli
from omnilearn.leftovers import remove_leftovers
from omnilearn.log import log
from simulation.plan import at_least, prepare_folders
from simulation.runner import available_cores, produce
from simulation.unfinished import Unfinished

DATASETS = {name: import_module(f"simulation.{name}") for name in CATALOGUE}


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def parser() -> Parser:
    parser = Parser(
        "python -m simulation",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="datasets", dest="dataset", required=True)
    for name, module in DATASETS.items():
        title = (module.__doc__ or name).splitlines()[0]
        command = commands.add_parser(name, allow_abbrev=False, help=title, description=title)
        module.add_arguments(command)
        command.add_argument("--out", type=Path, required=True, metavar="DIR")
        command.add_argument("--seed", type=at_least(0), default=1, metavar="N", help="default: 1")
        command.add_argument(
            "--workers",
            type=at_least(1),
            default=available_cores(),
            metavar="N",
            help="cores to use (default: all)",
        )
    return parser


def asked(args: argparse.Namespace) -> dict:
    """What the jets depend on: the flags and the programs that make them."""
    flags = {name: value for name, value in vars(args).items() if name not in ("out", "workers")}
    return {
        "made_by": "Pythia 8 and FastJet",
        "pythia": version("pythia8mc"),
        "fastjet": version("fastjet"),
        **flags,
    }


def describe(out: Path, made: dict) -> None:
    """simulation.json beside the sample: what made it, and that no detector did."""
    with atomic_path(out / "simulation.json") as temporary:
        temporary.write_text(json.dumps(made, indent=2) + "\n")


def main() -> None:
    args = parser().parse_args()
    module = DATASETS[args.dataset]
    # a dataset may have several public formats
    recipe = module.recipe(args) if hasattr(module, "recipe") else module.RECIPE
    files = module.files(args)
    prepare_folders(args.out, files)
    remove_leftovers(args.out, *{file.path.parent for file in files} - {args.out})
    made = asked(args)
    unfinished = Unfinished(args.out, {**made, "recipe": recipe.identity()})
    if unfinished.kept:
        log.info(
            f"{len(unfinished.kept)} of {len(files)} files are complete from an earlier run "
            "and kept"
        )
    start = time.monotonic()
    try:
        produce(recipe, files, args.seed, args.workers, unfinished)
    except KeyboardInterrupt as stop:
        raise UserError(
            "interrupted; complete files stay, the same command makes only the missing ones"
        ) from stop
    wall = time.monotonic() - start
    describe(args.out, {**made, "files": [str(f.path.relative_to(args.out)) for f in files]})
    unfinished.end()
    files = [file for file in files if file.path not in unfinished.kept]
    for file in files:
        log.info(f"wrote {file.path} ({sum(file.jets)} {recipe.unit})")
    jets = sum(sum(file.jets) for file in files)
    log.info(
        f"{jets} {recipe.unit} in {wall:.0f} s, {jets / wall:.0f} {recipe.unit}/s, seed {args.seed}"
    )


def command() -> int:
    """The command omnilearn-simulate of the installed package; returns the exit status."""
    return run_cli(main)


if __name__ == "__main__":
    sys.exit(command())
