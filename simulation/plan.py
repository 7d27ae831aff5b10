"""Which files a command asks for: sizes of the splits, files of a sample, the tasks of a file."""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from omnilearn.errors import UserError
from simulation.generator_card import GeneratorCard

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class OutputFile:
    """One file to write: `jets` holds how many of each process, in the recipe's order."""

    path: Path
    split: str
    jets: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """The part of a file that one core makes at a time."""

    recipe: GeneratorCard
    split: str
    chunk: int
    jets: tuple[int, ...]
    seed: int


def tasks(recipe: GeneratorCard, files: list[OutputFile], seed: int) -> list[list[Task]]:
    """The tasks of each file, in the order in which their jets are written.

    Chunks of the same processes and split are numbered across files.
    """
    numbered: Counter = Counter()
    cut = []
    for file in files:
        number = -(-sum(file.jets) // recipe.chunk_size)
        # as equal as whole jets allow
        shares = [
            [total * (i + 1) // number - total * i // number for i in range(number)]
            for total in file.jets
        ]
        kind = file.split, tuple(total > 0 for total in file.jets)
        first = numbered[kind]
        numbered[kind] += number
        cut.append(
            [
                Task(recipe, file.split, first + i, jets, seed)
                for i, jets in enumerate(zip(*shares, strict=True))
            ]
        )
    return cut


def at_least(lowest: int) -> Callable[[str], int]:
    """A converter for flags: whole numbers from `lowest` on."""

    def number(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is below {lowest}")
        return value

    return number


def files_of_one_process(
    recipe: GeneratorCard, events: int, most: int, path: Callable[[str, int], Path]
) -> list[OutputFile]:
    """`events` of every process, in files of one process and at most `most` events each.

    path(process, number): where a file goes.
    """
    planned = []
    for index, process in enumerate(recipe.processes):
        for number, start in enumerate(range(0, events, most)):
            jets = [0] * len(recipe.processes)
            jets[index] = min(most, events - start)
            planned.append(OutputFile(path(process.name, number), "train", tuple(jets)))
    return planned


def add_sizes(parser: argparse.ArgumentParser, flag: str, of: str, share: int) -> None:
    """Flags for the jets of each split; val and test default to 1/share of the training jets."""
    parser.add_argument(
        f"--{flag}",
        dest="train",
        type=at_least(1),
        required=True,
        metavar="N",
        help=f"training jets{of}",
    )
    for split, title in (("val", "validation"), ("test", "test")):
        parser.add_argument(
            f"--{split}-{flag}",
            dest=split,
            type=at_least(0),
            metavar="N",
            help=f"{title} jets{of}, on top of the training jets (default: N // {share} of them)",
        )
    parser.set_defaults(share=share)


def sizes(args: argparse.Namespace) -> dict[str, int]:
    """Jets per split as the flags have it."""
    asked = {split: getattr(args, split) for split in SPLITS}
    default = args.train // args.share
    return {split: default if count is None else count for split, count in asked.items()}


def prepare_folders(out: Path, files: list[OutputFile]) -> None:
    """Make the folders of `files`, and make sure that nothing older would mix with the sample.

    Raises UserError for a folder that cannot be written or that holds files of another sample.
    """
    mine = {file.path for file in files}
    depth = len(files[0].path.relative_to(out).parts)
    pattern = "*/" * (depth - 1) + f"[!.]*{files[0].path.suffix}"
    for found in sorted(out.glob(pattern)):
        if found not in mine:
            raise UserError(
                f"{found} belongs to another sample and would be mixed with this one; "
                "choose another --out or remove it"
            )
    for folder in sorted({path.parent for path in mine}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # the only sure test of writing is to write
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise UserError(
                f"--out {out}: {folder} cannot be written ({error.strerror}); "
                "choose a folder that can"
            ) from error
