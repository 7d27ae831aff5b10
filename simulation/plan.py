"""The files of a sample: sizes from the flags, tasks of each file, folders."""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilearn.errors import UserError
from simulation.generator_card import GeneratorCard, Process

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class OutputFile:
    """One file to write, with its number of jets of each process of the card."""

    path: Path
    split: str
    jets: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """A chunk of a file, which one core simulates."""

    card: GeneratorCard
    split: str
    chunk: int
    jets: tuple[int, ...]
    seed: int


def tasks(card: GeneratorCard, files: list[OutputFile], seed: int) -> list[list[Task]]:
    """The tasks of each file, in the order in which their jets are written.

    Chunks of the same processes and split are numbered across files.
    """
    chunks: Counter = Counter()  # (split, processes) -> chunks of earlier files
    result = []
    for file in files:
        count = -(-sum(file.jets) // card.chunk_size)
        # the jets of each process, divided as equally as possible
        shares = [
            [total * (i + 1) // count - total * i // count for i in range(count)]
            for total in file.jets
        ]
        kind = file.split, tuple(total > 0 for total in file.jets)
        first = chunks[kind]
        chunks[kind] += count
        jets_of_chunks = enumerate(zip(*shares, strict=True), first)
        result.append([Task(card, file.split, chunk, jets, seed) for chunk, jets in jets_of_chunks])
    return result


def at_least(lowest: int) -> Callable[[str], int]:
    """A converter for flags: whole numbers from `lowest` on."""

    def number(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is below {lowest}")
        return value

    return number


def one_process(index: int, jets: int, processes: Sequence[Process]) -> tuple[int, ...]:
    """`jets` of the process with this index, none of the others."""
    return tuple(jets * (i == index) for i in range(len(processes)))


def files_of_one_process(
    card: GeneratorCard, events: int, most: int, path: Callable[[str, int], Path]
) -> list[OutputFile]:
    """`events` of every process, in files of one process and at most `most` events each.

    path(process, number) is the path of a file.
    """
    files = []
    for index, process in enumerate(card.processes):
        for number, start in enumerate(range(0, events, most)):
            jets = one_process(index, min(most, events - start), card.processes)
            files.append(OutputFile(path(process.name, number), "train", jets))
    return files


def add_jets(parser: argparse.ArgumentParser, explanation: str, lowest: int = 1) -> None:
    """The flag --jets of a dataset whose splits are made by preprocessing."""
    parser.add_argument(
        "--jets", type=at_least(lowest), required=True, metavar="N", help=explanation
    )


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
    """Jets per split from the flags."""
    counts = {split: getattr(args, split) for split in SPLITS}
    default = args.train // args.share
    return {split: default if count is None else count for split, count in counts.items()}


def prepare_folders(out: Path, files: list[OutputFile]) -> None:
    """Make the folders of `files`.

    Raises UserError for a folder that cannot be written or that holds files of another sample.
    """
    expected = {file.path for file in files}
    depth = len(files[0].path.relative_to(out).parts)
    pattern = "*/" * (depth - 1) + f"[!.]*{files[0].path.suffix}"
    for path in sorted(out.glob(pattern)):
        if path not in expected:
            raise UserError(
                f"{path} belongs to another sample and would be mixed with this one; "
                "choose another --out or remove it"
            )
    for folder in sorted({path.parent for path in expected}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()  # whether the folder can be written
        except OSError as error:
            raise UserError(
                f"--out {out}: {folder} cannot be written ({error.strerror}); "
                "choose a folder that can"
            ) from error
