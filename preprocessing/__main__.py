"""Public jet files -> the common HDF5.

python -m preprocessing list                                all datasets, and which are on disk
python -m preprocessing download top --out DIR              fetch the public files
python -m preprocessing top --raw DIR --out DATA            convert them
python -m preprocessing check DATA/top/train/FILE           inspect a converted file
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
from omnilearn.parent_process import cores
from omnilearn.typed import LARGEST_SEED
from preprocessing import omnilearned
from preprocessing.convert import Job, convert, reader_of
from preprocessing.finished_files import damaged_files
from preprocessing.jet_file import Provenance, is_complete, stored_fingerprints
from preprocessing.source_digests import SourceDigests
from preprocessing.sources import (
    MAY_HOLD_JETS,
    SPLITS,
    Shard,
    names_in,
    unexpected_files,
    visible_files,
)

NEEDED = ("train", "val")  # splits that a training needs
# first argument that is no dataset -> module with add_arguments(parser) and run(arguments)
COMMANDS = {"list": "listing", "download": "download", "check": "check"}


def parser(command: str = "") -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m preprocessing {command}".strip(),
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_command(command: str) -> None:
    """Run one of COMMANDS; its module is imported only here."""
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
        help="folder of the training files ($OMNILEARN_DATA or data): OUT/<dataset>/<split>/",
    )
    arguments.add_argument("--seed", type=int, default=0, help="of the shuffle of the jets (0)")
    arguments.add_argument(
        "--workers", type=int, default=cores(), help="processes, one output file each (all cores)"
    )
    arguments.add_argument(
        "--splits",
        nargs="+",
        choices=SPLITS,
        metavar="SPLIT",
        help="only these of train, val and test (all that have files; train and val are needed)",
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
    """One job per shard, also for output files that are complete already."""
    jobs = []
    all_sources = [source for shard in shards for source in shard.sources]
    digest_of = (digests or SourceDigests(out / name)).of(all_sources, workers)
    # `python -m simulation` writes this file beside its samples
    origin = "simulated" if (raw / "simulation.json").is_file() else "public"
    for shard in shards:
        # attributes of HDF5 are UTF-8, names of files may be any bytes
        names = [os.fsencode(source.relative_to(raw)) for source in shard.sources]
        sources = [name.decode(errors="backslashreplace") for name in names]
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


def require_no_unexpected_files(jobs: list[Job], folder: Path) -> None:
    """Raise UserError if a folder holds files of an earlier, larger run: their jets would be read.

    A split that this run does not make may stay, as when the public files arrive one after the
    other, unless it shares sources with this run or an existing file of this run is replaced.
    """
    outputs = [output for job in jobs for output in job.outputs]
    expected = {path for path, _ in outputs}
    folders = {path.parent.resolve() for path in expected}
    for source in (source for job in jobs for source in job.shard.sources):
        if source.suffix == ".h5" and source.parent.resolve() in folders:
            raise UserError(
                f"{source} is a public file where the new files belong, and a training would read "
                "both; choose another --out"
            )
    splits = {path.parent.name for path in expected}
    fingerprints = {text for _, provenance in outputs for text in provenance.fingerprints}
    spec = dataset(folder.name)
    replaces_files = any(
        path.exists() and not is_complete(path, provenance, spec) for path, provenance in outputs
    )
    for path in unexpected_files(folder, expected):
        if path.parent.name in splits:
            raise UserError(
                f"{path} is left from another run and would be read together with the new "
                "files; remove it or choose another --out"
            )
        if replaces_files or fingerprints & set(stored_fingerprints(path)):
            raise UserError(
                f"{path} is left from another run, and this one makes no {path.parent.name} split: "
                "its jets may be among the new ones of the other splits; remove it or choose "
                "another --out"
            )


def select_shards(
    shards: list[Shard], splits: list[str] | None, spec: DatasetSpec, raw: Path
) -> list[Shard]:
    """The shards of these splits; all shards for None.

    Raises UserError if a requested split, or one that training needs, has no files, and where
    public files are shared with splits that were not requested.
    """
    available = [split for split in SPLITS if any(split in dict(shard.shares) for shard in shards)]
    for split in splits or NEEDED:
        if split not in available:
            raise UserError(
                f"there are no {split} files of {spec.title}, which "
                f"{'were asked for' if splits else 'training needs'}; {raw} holds "
                f"{names_in(raw)}; get them from {spec.source}, or make what there is alone with: "
                f"--splits {' '.join(available)}"
            )
    if not splits:
        return shards
    selected = [shard for shard in shards if not set(splits).isdisjoint(dict(shard.shares))]
    for shard in selected:
        shared = list(dict(shard.shares))
        if not set(shared) <= set(splits):
            raise UserError(
                f"{shard.sources[0]} is shared among the splits {', '.join(shared)} of "
                f"{spec.title}; ask for all of them: --splits {' '.join(shared)}"
            )
    return selected


def files_of_other_names(shards: list[Shard], raw: Path, folder: Path) -> list[str]:
    """Names below `raw` of the files that the shards leave out and that may hold jets.

    `folder` has the converted files of an earlier run, and archives that the reader finds unpacked
    are no such files.
    """
    sources = {source.resolve() for shard in shards for source in shard.sources}
    public = getattr(import_module(f"preprocessing.{folder.name}"), "REMOTE", ())
    archives = {file.name for file in public if file.folder}
    converted = {(folder / split).resolve() for split in SPLITS}
    others = (
        path
        for path in visible_files(raw)
        if MAY_HOLD_JETS.search(path.name) and path.name not in archives and path.is_file()
    )
    return sorted(
        str(path.relative_to(raw))
        for path in others
        if path.resolve() not in sources
        and not (path.parent.resolve() in converted and path.name.startswith(f"{folder.name}_"))
    )


def require_jets(jobs: list[Job], splits: tuple[str, ...]) -> None:
    """Raise UserError for the first of the splits without a jet."""
    outputs = [output for job in jobs for output in job.outputs]
    for split in splits:
        if not any(made.split == split and path.is_file() for path, made in outputs):
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
    """Convert the public files of a dataset."""
    spec = dataset(arguments.dataset)
    raw, out, seed, workers = arguments.raw, arguments.out, arguments.seed, arguments.workers
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"--seed is {seed}; it must be 0 to {LARGEST_SEED}")
    if workers < 1:
        raise UserError(f"--workers is {workers}; at least 1 process is needed")
    if not raw.is_dir():
        raise UserError(f"--raw {raw} is no folder; {spec.title} comes from {spec.source}")
    if not os.access(raw, os.R_OK | os.X_OK):
        raise UserError(f"--raw {raw} may not be read; permit it with: chmod u+rx {raw}")
    folder = out / spec.name
    for path in (out, folder):
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file, but a folder is needed; choose another --out")
    repacked = bool(omnilearned.files_of(raw))
    shards = reader_of(spec, repacked).shards(raw)
    for split in SPLITS:
        files = sum(len(shard.sources) for shard in shards if split in dict(shard.shares))
        log.info(f"{split}: {files} public files" if files else f"{split}: no public files found")
    if others := files_of_other_names(shards, raw, folder):
        log.warning(
            f"not read, their names are none of the public files of {spec.title}: "
            f"{', '.join(others[:5])}{f' and {len(others) - 5} more' if others[5:] else ''}"
        )
    shards = select_shards(shards, arguments.splits, spec, raw)
    digests = SourceDigests(folder)
    jobs = plan(spec.name, shards, raw, out, seed, repacked, digests, workers)
    require_no_unexpected_files(jobs, folder)
    remove_leftovers(folder, *(folder / split for split in SPLITS))
    try:
        make(jobs, workers)
    finally:
        digests.write()
    require_jets(jobs, arguments.splits or NEEDED)


def make(jobs: list[Job], workers: int) -> None:
    """Run the jobs whose files are missing or damaged."""
    pending, complete = [], []
    damaged = damaged_files(
        [path for job in jobs if job.is_complete for path, _ in job.outputs], workers
    )
    for path in sorted(damaged):
        log.warning(f"{path} does not hold what was written any more: it is made again")
    for job in jobs:
        if job.is_complete and damaged.isdisjoint(path for path, _ in job.outputs):
            for path, _ in job.outputs:
                log.info(f"{path} is complete, from the same files and seed: kept")
            complete.append(job)
        else:
            pending.append(job)
    if pending:
        convert(pending, workers, complete)


def command() -> int:
    """The command omnilearn-preprocess of the installed package; returns the exit status."""
    return run_cli(main)


if __name__ == "__main__":
    sys.exit(command())
