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
from omnilearn.parent_process import cores
from simulation.plan import at_least, prepare_folders
from simulation.runner import produce
from simulation.unfinished import Unfinished

DATASETS = {name: import_module(f"simulation.{name}") for name in CATALOGUE}


class Parser(argparse.ArgumentParser):
    """A parser with one-sentence errors."""

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
        command.add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="folder of the files"
        )
        command.add_argument("--seed", type=at_least(0), default=1, metavar="N", help="default: 1")
        command.add_argument(
            "--workers",
            type=at_least(1),
            default=cores(),
            metavar="N",
            help="cores to use (default: all)",
        )
    return parser


def description(args: argparse.Namespace) -> dict:
    """What the jets depend on: flags, what stands in for public files, versions of the programs."""
    module = DATASETS[args.dataset]
    flags = {name: value for name, value in vars(args).items() if name not in ("out", "workers")}
    if hasattr(module, "stand_in") and (text := module.stand_in(args)):
        flags["stand_in"] = text
    return {
        "made_by": "Pythia 8 and FastJet",
        "pythia": version("pythia8mc"),
        "fastjet": version("fastjet"),
        **flags,
    }


def main() -> None:
    args = parser().parse_args()
    module = DATASETS[args.dataset]
    # a dataset may have several public formats
    card = module.card(args) if hasattr(module, "card") else module.CARD
    files = module.files(args)
    prepare_folders(args.out, files)
    remove_leftovers(args.out, *{file.path.parent for file in files} - {args.out})
    sample = description(args)
    unfinished = Unfinished(args.out, {**sample, "recipe": card.identity()})
    new_files = [file for file in files if file.path not in unfinished.kept]
    if unfinished.kept:
        log.info(
            f"{len(unfinished.kept)} of {len(files)} files are complete from an earlier run "
            "and kept"
        )
    start = time.monotonic()
    try:
        produce(card, files, args.seed, args.workers, unfinished)
    except KeyboardInterrupt as stop:
        raise UserError(
            "interrupted; complete files stay, the same command makes only the missing ones"
        ) from stop
    seconds = time.monotonic() - start
    sample["files"] = [str(file.path.relative_to(args.out)) for file in files]
    with atomic_path(args.out / "simulation.json") as temporary:
        temporary.write_text(json.dumps(sample, indent=2) + "\n")
    unfinished.end()
    for file in new_files:
        log.info(f"wrote {file.path} ({sum(file.jets)} {card.unit})")
    jets, unit = sum(sum(file.jets) for file in new_files), card.unit
    log.info(f"{jets} {unit} in {seconds:.0f} s, {jets / seconds:.0f} {unit}/s, seed {args.seed}")


def command() -> int:
    """The command omnilearn-simulate of the installed package; returns the exit status."""
    return run_cli(main)


if __name__ == "__main__":
    sys.exit(command())
