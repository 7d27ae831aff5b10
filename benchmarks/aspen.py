"""Pre-training on Aspen Open Jets against from scratch: tokens and diffusion on JetClass jets.

    python -m benchmarks aspen --preset small --data data --workers 2
    python -m benchmarks aspen --preset small --data data --stage summary      # tables, figures

arXiv:2412.10504. Three trainings come first: token model and PET on Aspen Open Jets, a tokeniser on
JetClass. Then each cell (class, training size, strategy) is a run of finetune.py with repeats
(patience 10, as many validation jets as training jets; 1000 at most with the small preset) and of
evaluate.py on the same test jets. A finished run is not repeated. Writes study.json, tables.md and
the figures 1, 3 and 4 into --out.
"""

import argparse
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.aspen_cells import CLASSES, STRATEGIES, Cell, is_done
from benchmarks.aspen_summary import summarise
from benchmarks.programs import absolute, command_parser
from benchmarks.scripts import ROOT, exit_status, horovodrun, words_of
from benchmarks.tagging import sizes
from omnilearn.data.catalogue import JETCLASS
from omnilearn.errors import UserError

STAGES = ("all", "backbones", "cells", "summary")
AOJ_TOKENS, JETCLASS_TOKENS, AOJ_PET = "aspen_omnijet", "jetclass_omnijet", "aspen_pet"
PATIENCE = 10
LEAST_EPOCHS = 2
MANY_JETS = 100_000  # a training with more jets, and that of a backbone, takes all --ranks
FEWEST = 10  # small preset: the smallest batch, and the fewest steps in an epoch of larger ones


@dataclass(frozen=True)
class Scale:
    """Cost of a preset: sizes, repeats, and the largest number of jets a training reads, by model.

    pet_epochs: of PET on Aspen Open Jets, 0 for those of the recipe. test_jets: generated and
    compared, at most; sampling_batch of them at a time, also when the rate is measured.
    """

    sizes: tuple[int, ...]
    repeats: int
    pet_sizes: tuple[int, ...]
    jets_seen: dict[str, int]
    most_epochs: int
    most_val_jets: int
    batch: dict[str, int]
    pet_epochs: int
    test_jets: int
    sampling_batch: int


SCALES = {
    "small": Scale(
        sizes=(100, 1000, 10_000),
        repeats=2,
        pet_sizes=(1000,),
        jets_seen={"tokens": 10_000, "pet": 6_000},
        most_epochs=40,
        most_val_jets=1000,
        batch={"tokens": 64, "pet": 32},
        pet_epochs=3,
        test_jets=1000,
        sampling_batch=100,
    ),
    "full": Scale(
        sizes=(100, 1000, 10_000, 100_000, 1_000_000, 10_000_000),
        repeats=3,
        pet_sizes=(100, 1000, 10_000, 100_000, 1_000_000, 10_000_000),
        jets_seen={"tokens": 10**10, "pet": 10**10},
        most_epochs=1000,
        most_val_jets=10**10,
        batch={"tokens": 256, "pet": 128},
        pet_epochs=0,
        test_jets=100_000,
        sampling_batch=256,
    ),
}


def cells(flags: argparse.Namespace) -> list[Cell]:
    """All cells, smallest first, so that a study that is stopped early has every strategy."""
    return [
        Cell(class_name, strategy, jets)
        for jets in sorted({*flags.train_jets, *flags.pet_train_jets})
        for class_name in CLASSES
        for strategy in flags.strategies
        if jets in (flags.pet_train_jets if strategy.startswith("pet") else flags.train_jets)
    ]


def launch(ranks: int) -> list[str]:
    """The words that start a script on this machine on that number of ranks."""
    return horovodrun(ranks) if ranks > 1 else [sys.executable]


def backbones(flags: argparse.Namespace) -> dict[str, list[str]]:
    """Run -> the command that trains it, for the backbones that the strategies need."""
    needed = {
        AOJ_TOKENS: ("tokens_finetuned", "aspen --model omnijet"),
        JETCLASS_TOKENS: ("tokens_scratch", "jetclass --model omnijet --tokeniser-only"),
        AOJ_PET: ("pet_finetuned", "aspen --model pet --mode generator"),
    }
    if flags.pet_epochs:
        needed[AOJ_PET] = ("pet_finetuned", needed[AOJ_PET][1] + " --epochs {pet_epochs}")
    common = " --name {name} --preset {preset} --data {data} --runs {out}/runs"
    return {
        run: [*launch(flags.ranks), *words_of(f"train.py {words}{common}", name=run, **vars(flags))]
        for run, (strategy, words) in needed.items()
        if strategy in flags.strategies
    }


def training(cell: Cell, flags: argparse.Namespace) -> list[str]:
    """The command that trains a cell and all its repeats."""
    scale = SCALES[flags.preset]
    model = cell.strategy.split("_")[0]
    epochs = max(LEAST_EPOCHS, min(scale.most_epochs, scale.jets_seen[model] // cell.jets))
    batch = min(scale.batch[model], max(FEWEST, cell.jets // FEWEST))
    if flags.preset == "full":
        batch = min(scale.batch[model], cell.jets)
    start = {
        "tokens_finetuned": f"--model omnijet --backbone {{out}}/runs/{AOJ_TOKENS}",
        "tokens_scratch": f"--model omnijet --tokeniser {{out}}/runs/{JETCLASS_TOKENS}",
        "pet_finetuned": f"--mode generator --backbone {{out}}/runs/{AOJ_PET}",
        "pet_scratch": "--mode generator",
    }[cell.strategy]
    words = words_of(
        f"finetune.py {JETCLASS.name} {start} --preset {{preset}} --classes {cell.class_name} "
        f"--train-jets {cell.jets} --val-jets {min(cell.jets, scale.most_val_jets)} "
        f"--batch {batch} --epochs {epochs} --patience {PATIENCE} --repeats {{repeats}} "
        f"--data {{data}} --runs {{out}}/runs --name {cell.name}",
        **vars(flags),
    )
    return [*launch(flags.ranks if cell.jets > MANY_JETS else 1), *words]


def evaluation(cell: Cell, flags: argparse.Namespace) -> list[str]:
    words = words_of(
        f"{{python}} evaluate.py {{out}}/runs/{cell.name} --jets {{jets}} "
        f"--batch {SCALES[flags.preset].sampling_batch} --rate",
        **vars(flags),
    )
    return [*words, "--observables"] if cell.strategy.startswith("pet") else words


def execute(command: list[str], log: Path, programs: int, stop: threading.Event) -> None:
    """Run one of several scripts, its output in a log; raises UserError when it fails.

    programs: processes that run at the same time, ranks included.
    """
    if stop.is_set():
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    if exit_status(command, log, programs):
        stop.set()
        last_line = log.read_text().splitlines()[-1:]
        raise UserError(
            f"{' '.join(command)} failed ({''.join(last_line)}); {log} has its whole output; "
            "mend it and run this command again"
        )


def in_parallel(work: dict[str, list[list[str]]], flags: argparse.Namespace) -> None:
    """Run the commands of each name in order, with one worker thread per name at a time."""
    stop = threading.Event()
    finished = []

    def run(name: str) -> None:
        for command in work[name]:
            execute(command, flags.out / "logs" / f"{name}.log", flags.workers * flags.ranks, stop)
        finished.append(name)
        print(f"[{len(finished)}/{len(work)}] {name}", flush=True)

    with ThreadPoolExecutor(flags.workers) as pool:
        for result in [pool.submit(run, name) for name in work]:
            result.result()


def run_cells(selected: list[Cell], flags: argparse.Namespace) -> None:
    """Train and evaluate the cells that are not done; raises UserError without their backbones."""
    for run in backbones(flags):
        weights = "tokeniser/best.h5" if run == JETCLASS_TOKENS else "best.h5"
        if not (flags.out / "runs" / run / weights).is_file():
            raise UserError(
                f"{flags.out / 'runs' / run / weights} does not exist yet; run first: "
                "python -m benchmarks aspen --stage backbones, with the same flags"
            )
    in_parallel(
        {
            cell.name: [training(cell, flags), evaluation(cell, flags)]
            for cell in selected
            if not is_done(cell, flags.out)
        },
        flags,
    )


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The flags, with the preset's values where none is given."""
    parser = command_parser("aspen", __doc__)
    parser.add_argument("--data", type=absolute, default="data", help="folder of datasets")
    parser.add_argument("--out", type=absolute, default=ROOT / "aspen_study")
    parser.add_argument("--preset", choices=SCALES, default="small")
    parser.add_argument("--stage", choices=STAGES, default="all")
    parser.add_argument("--cell", type=int, help="only this cell, counted from 0")
    parser.add_argument("--list", action="store_true", help="print the cells and stop")
    parser.add_argument("--train-jets", type=sizes, help="sizes (default: the preset's)")
    of_pet = partial(sizes, flag="--pet-train-jets")
    parser.add_argument("--pet-train-jets", type=of_pet, help="those of PET, which is slower")
    parser.add_argument("--strategies", default=",".join(STRATEGIES), help="comma-separated")
    parser.add_argument("--repeats", type=int, help="trainings per cell (default: the preset's)")
    parser.add_argument(
        "--pet-epochs", type=int, help="of PET on Aspen Open Jets (default: the preset's)"
    )
    parser.add_argument("--jets", type=int, help="test jets compared (default: the preset's)")
    parser.add_argument("--workers", type=int, default=1, help="cells at the same time")
    parser.add_argument(
        "--ranks",
        type=int,
        default=1,
        help=f"GPUs of a backbone, and of a cell of more than {MANY_JETS} jets",
    )
    flags = parser.parse_args(arguments)
    flags.strategies = flags.strategies.split(",")
    if unknown := [name for name in flags.strategies if name not in STRATEGIES]:
        raise UserError(f"--strategies has {unknown[0]!r}; expected some of {','.join(STRATEGIES)}")
    scale = SCALES[flags.preset]
    flags.train_jets = flags.train_jets or list(scale.sizes)
    flags.pet_train_jets = flags.pet_train_jets or list(scale.pet_sizes)
    flags.repeats = flags.repeats or scale.repeats
    flags.jets = scale.test_jets if flags.jets is None else flags.jets
    flags.pet_epochs = scale.pet_epochs if flags.pet_epochs is None else flags.pet_epochs
    for name in ("workers", "ranks", "repeats", "jets"):
        if getattr(flags, name) < 1:
            raise UserError(f"--{name} is {getattr(flags, name)}; expected 1 or more")
    return flags


def main(arguments: list[str]) -> None:
    flags = parsed(arguments)
    selected = cells(flags)
    if flags.list:
        for index, cell in enumerate(selected):
            print(f"{index}: {cell.name}{' (done)' if is_done(cell, flags.out) else ''}")
        return
    if flags.cell is not None:
        if not 0 <= flags.cell < len(selected):
            raise UserError(f"--cell is {flags.cell}; expected 0 to {len(selected) - 1}")
        selected = [selected[flags.cell]]
    if flags.stage in ("all", "backbones"):
        in_parallel({run: [command] for run, command in backbones(flags).items()}, flags)
    if flags.stage in ("all", "cells"):
        run_cells(selected, flags)
    if flags.stage in ("all", "summary") and flags.cell is None:
        summarise(selected, flags)
