"""Public jet files -> the common HDF5.

python -m preprocessing list                                what there is, here and elsewhere
python -m preprocessing download top --out DIR              fetch the public files
python -m preprocessing top --raw DIR --out DATA            make our files of them
python -m preprocessing check DATA/top/train/FILE           look at one of ours
"""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

import omnilearn.environment  # noqa: F401 - before anything loads Keras or matplotlib
from omnilearn.data.catalogue import CATALOGUE, dataset
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError, run_cli
from omnilearn.leftovers import remove_leftovers
from omnilearn.log import log
from preprocessing import omnilearned
from preprocessing.convert import Job, convert, reader_of
from preprocessing.finished_files import damaged
from preprocessing.jet_file import Provenance, is_complete, stored_fingerprints
from preprocessing.source_digests import SourceDigests
from preprocessing.sources import SPLITS, Shard, strangers

NEEDED = ("train", "val")  # without these splits nothing can be trained
# a first word that is no dataset -> module with add_arguments(parser) and run(arguments)
COMMANDS = {"list": "listing", "download": "download", "check": "check"}


def parser(command: str = "") -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m preprocessing {command}".strip(),
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_command(command: str) -> None:
    """One of COMMANDS; what it needs is imported only now."""
    module = import_module(f"preprocessing.{COMMANDS[command]}")
    arguments = parser(command)
    arguments.description = module.__doc__
    module.add_arguments(arguments)
    module.run(arguments.parse_args(sys.argv[2:]))


def parse_arguments() -> argparse.Namespace:
    arguments = parser()
    arguments.add_argument("dataset", help=f"one of: {', '.join(CATALOGUE)}")
    arguments.add_argument("--raw", type=Path, required=True, help="folder of the public files")
    arguments.add_argument(
        "--out",
        type=Path,
        default=Path(os.environ.get("OMNILEARN_DATA", "data")).expanduser(),
        help="folder for our files ($OMNILEARN_DATA or data): OUT/<dataset>/<split>/",
    )
    arguments.add_argument("--seed", type=int, default=0, help="of the shuffle of the jets (0)")
    arguments.add_argument(
        "--workers",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="processes, one output file each (all cores)",
    )
    arguments.add_argument(
        "--splits",
        nargs="+",
        choices=SPLITS,
        metavar="SPLIT",
        help="make these of train, val and test alone (all that there are; train and val must be)",
    )
    return arguments.parse_args()


def plan(
    name: str,
    shards: list[Shard],
    raw: Path,
    out: Path,
    seed: int,
    repacked: bool = False,
    digests: SourceDigests | None = None,
    workers: int = 1,
) -> list[Job]:
    """The output files to be made from `shards`, complete ones among them."""
    jobs = []
    every_source = [source for shard in shards for source in shard.sources]
    digest_of = (digests or SourceDigests(out / name)).of(every_source, workers)
    # `python -m simulation` leaves this beside the files it makes
    origin = "simulated" if (raw / "simulation.json").is_file() else "public"
    for shard in shards:
        sources = [str(source.relative_to(raw)) for source in shard.sources]
        fingerprints = [digest_of[source] for source in shard.sources]
        outputs = tuple(
            (
                out / name / split / f"{name}_{split}_{shard.index:03d}.h5",
                Provenance(name, split, seed, sources, fingerprints, origin, share),
            )
            for split, share in shard.shares
        )
        jobs.append(Job(name, shard, seed, outputs, repacked=repacked))
    return jobs


def require_no_strangers(jobs: list[Job], folder: Path) -> None:
    """Raise UserError if a folder holds files of an earlier, larger run: their jets would count.

    A whole split that this run does not make may stay beside new ones, as when the public files
    come one after the other; but not when a split is made anew of other files, or of its own.
    """
    expected = {path for job in jobs for path, _ in job.outputs}
    remade = {path.parent.name for path in expected}
    ours = {one for job in jobs for _, made in job.outputs for one in made.fingerprints}
    spec = dataset(folder.name)
    replaced = [
        path
        for job in jobs
        for path, made in job.outputs
        if path.exists() and not is_complete(path, made, spec)
    ]
    for path in strangers(folder, expected):
        if path.parent.name in remade:
            raise UserError(
                f"{path} is left from another run and would be read together with the new "
                "files; remove it or choose another --out"
            )
        if replaced or ours & set(stored_fingerprints(path)):
            raise UserError(
                f"{path} is left from another run, and this one makes no {path.parent.name} split: "
                "its jets may be among the new ones of the other splits; remove it or choose "
                "another --out"
            )


def chosen(shards: list[Shard], splits: list[str] | None, spec: DatasetSpec) -> list[Shard]:
    """The shards of these splits, of all where none is asked for.

    Raises UserError if a split that was asked for, or that training needs, has no files, and where
    public files are shared with splits that were not asked for.
    """
    there = [split for split in SPLITS if any(split in dict(shard.shares) for shard in shards)]
    for split in splits or NEEDED:
        if split not in there:
            raise UserError(
                f"there are no {split} files of {spec.title}, which "
                f"{'were asked for' if splits else 'training needs'}; get them from {spec.source}, "
                f"or make what there is alone with: --splits {' '.join(there)}"
            )
    if not splits:
        return shards
    found = [shard for shard in shards if not set(splits).isdisjoint(dict(shard.shares))]
    for shard in found:
        shared = list(dict(shard.shares))
        if not set(shared) <= set(splits):
            raise UserError(
                f"{shard.sources[0]} is shared among the splits {', '.join(shared)} of "
                f"{spec.title}; ask for all of them: --splits {' '.join(shared)}"
            )
    return found


def require_jets(jobs: list[Job], splits: tuple[str, ...]) -> None:
    """Raise UserError for the first of the splits that no jet fell into."""
    for split in splits:
        made = [path for job in jobs for path, one in job.outputs if one.split == split]
        if not any(path.is_file() for path in made):
            raise UserError(
                f"no jet fell into the {split} split, which is needed; the public files hold too "
                "few jets, add some or choose another --seed"
            )


def main() -> None:
    if sys.argv[1:] and sys.argv[1] in COMMANDS:
        run_command(sys.argv[1])
    else:
        preprocess(parse_arguments())


def preprocess(arguments: argparse.Namespace) -> None:
    """Make our files of the public ones of a dataset."""
    spec = dataset(arguments.dataset)
    if arguments.seed < 0:
        raise UserError(f"--seed is {arguments.seed}; it must be 0 or larger")
    if arguments.workers < 1:
        raise UserError(f"--workers is {arguments.workers}; at least 1 process is needed")
    if not arguments.raw.is_dir():
        raise UserError(
            f"--raw {arguments.raw} is no folder; {spec.title} comes from {spec.source}"
        )
    for folder in (arguments.out, arguments.out / spec.name):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file, but a folder is needed; choose another --out")
    repacked = bool(omnilearned.files_of(arguments.raw))
    shards = reader_of(spec, repacked).shards(arguments.raw)
    for split in SPLITS:
        files = sum(len(shard.sources) for shard in shards if split in dict(shard.shares))
        log.info(f"{split}: {files} public files" if files else f"{split}: no public files found")
    shards = chosen(shards, arguments.splits, spec)
    folder = arguments.out / spec.name
    digests = SourceDigests(folder)
    jobs = plan(
        spec.name,
        shards,
        arguments.raw,
        arguments.out,
        arguments.seed,
        repacked,
        digests,
        arguments.workers,
    )
    require_no_strangers(jobs, folder)
    remove_leftovers(folder, *(folder / split for split in SPLITS))
    try:
        make(jobs, arguments.workers)
    finally:
        digests.write()
    require_jets(jobs, arguments.splits or NEEDED)


def make(jobs: list[Job], workers: int) -> None:
    """Run those jobs whose files are not there, or not as they were written."""
    todo, kept = [], []
    finished = [path for job in jobs if job.is_complete for path, _ in job.outputs]
    broken = damaged(finished, workers)
    for path in sorted(broken):
        log.warning(f"{path} does not hold what was written any more: it is made again")
    for job in jobs:
        if job.is_complete and broken.isdisjoint(path for path, _ in job.outputs):
            for path, _ in job.outputs:
                log.info(f"{path} is complete, from the same files and seed: kept")
            kept.append(job)
        else:
            todo.append(job)
    if todo:
        convert(todo, workers, kept)


def command() -> int:
    """The command omnilearn-preprocess of the installed package; returns the exit status."""
    return run_cli(main)


if __name__ == "__main__":
    sys.exit(command())
