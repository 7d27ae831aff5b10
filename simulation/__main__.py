"""Simulate a sample in the format of the public files.

    python -m simulation jetclass --jets-per-class 2000 --seed 1 --out data/raw/jetclass
    python -m simulation top --jets 12000 --seed 1 --out data/raw/top

The same seed and sizes give the same jets on any number of cores.
"""

import argparse
import sys
import time
from pathlib import Path

from omnilearn.errors import UserError, speak
from simulation import jetclass, top
from simulation.recipe import SPLITS, OutputFile, Recipe
from simulation.runner import available_cores, produce


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulation", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="{jetclass,top}")
    for_jetclass = datasets.add_parser("jetclass", allow_abbrev=False,
                                       help="ten classes, one ROOT file each")  # fmt: skip
    for_jetclass.add_argument("--jets-per-class", type=int, required=True, metavar="N",
                              help="training jets of each of the ten classes")  # fmt: skip
    for_jetclass.add_argument("--val-jets-per-class", type=int, metavar="N",
                              help="on top of them (default: a tenth)")  # fmt: skip
    for_jetclass.add_argument("--test-jets-per-class", type=int, metavar="N",
                              help="on top of them (default: a tenth)")  # fmt: skip
    for_jetclass.add_argument("--jets-per-file", type=int, default=100_000, metavar="N",
                              help="a larger class spills into further files")  # fmt: skip
    for_top = datasets.add_parser("top", allow_abbrev=False,
                                  help="train.h5, val.h5, test.h5; half tops, half QCD")  # fmt: skip
    for_top.add_argument("--jets", type=int, required=True, metavar="N", help="training jets")
    for_top.add_argument("--val-jets", type=int, metavar="N",
                         help="on top of them (default: a third)")  # fmt: skip
    for_top.add_argument("--test-jets", type=int, metavar="N",
                         help="on top of them (default: a third)")  # fmt: skip
    for command in (for_jetclass, for_top):
        command.add_argument("--out", type=Path, required=True, metavar="DIR")
        command.add_argument("--seed", type=int, default=1, help="1 if not given")
        command.add_argument("--workers", type=int, default=available_cores(), metavar="N",
                             help="cores to use (default: all)")  # fmt: skip
    return parser


def sizes(args: argparse.Namespace, suffix: str, share: int) -> dict[str, int]:
    """Jets per split; val and test are 1/share of train unless they were asked for.

    Raises UserError for a size that makes no sense.
    """
    flags = {"train": f"jets{suffix}", "val": f"val_jets{suffix}", "test": f"test_jets{suffix}"}
    jets = {split: getattr(args, flag) for split, flag in flags.items()}
    for split, flag in flags.items():
        if jets[split] is None:
            jets[split] = jets["train"] // share
        if jets[split] < (split == "train"):
            raise UserError(
                f"--{flag.replace('_', '-')} is {jets[split]}, but a sample has "
                "one jet or more to train on and cannot have fewer than none"
            )
    return jets


def plan(args: argparse.Namespace) -> tuple[Recipe, list[OutputFile]]:
    """The recipe and the files that the flags ask for."""
    if args.dataset == "top":
        return top.RECIPE, top.files(args.out, sizes(args, "", 3))
    if args.jets_per_file < 1:
        raise UserError(f"--jets-per-file is {args.jets_per_file}, expected 1 or more")
    jets = sizes(args, "_per_class", 10)
    return jetclass.RECIPE, jetclass.files(args.out, jets, args.jets_per_file)


def refuse_leftovers(files: list[OutputFile]) -> None:
    """Raise UserError where older files would be mixed with the new ones."""
    mine = {file.path for file in files}
    for folder in sorted({path.parent for path in mine}):
        if not folder.exists():
            continue
        suffix = next(iter(mine)).suffix
        for found in sorted(folder.glob(f"[!.]*{suffix}")):
            if found not in mine:
                raise UserError(
                    f"{found} is from another sample and would be mixed with this one; "
                    "choose another --out or remove it"
                )


def main() -> None:
    args = parser().parse_args()
    if args.seed < 0 or args.workers < 1:
        raise UserError(
            f"--seed {args.seed} --workers {args.workers}: "
            "the seed is 0 or more and the workers are 1 or more"
        )
    recipe, files = plan(args)
    refuse_leftovers(files)
    start = time.monotonic()
    produce(recipe, files, args.seed, args.workers)
    for file in files:
        print(f"wrote {file.path} ({sum(file.jets)} jets)")
    jets, wall = sum(sum(file.jets) for file in files), time.monotonic() - start
    print(f"{jets} jets in {wall:.0f} s ({jets / wall:.0f} jets/s), seed {args.seed}")


if __name__ == "__main__":
    sys.exit(speak(main))
