"""Public jet files -> the common HDF5: python -m preprocessing jetclass --raw DIR --out DATA."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from omnilearn.data.catalogue import CATALOGUE, dataset
from omnilearn.errors import UserError, speak
from preprocessing import jet_file
from preprocessing.convert import Job, convert
from preprocessing.jet_file import Provenance
from preprocessing.sources import SPLITS, Shard, fingerprint


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m preprocessing", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("dataset", help=f"one of: {', '.join(CATALOGUE)}")
    parser.add_argument("--raw", type=Path, required=True, help="folder of the public files")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(os.environ.get("OMNILEARN_DATA", "data")),
        help="folder for our files ($OMNILEARN_DATA or data): OUT/<dataset>/<split>/",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the shuffle of the jets (0)")
    parser.add_argument(
        "--workers",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="processes, one output file each (all cores)",
    )
    return parser.parse_args()


def plan(name: str, shards: list[Shard], raw: Path, out: Path, seed: int) -> list[Job]:
    """The output files to be made from `shards`, complete ones among them."""
    jobs = []
    for shard in shards:
        provenance = Provenance(
            dataset=name,
            split=shard.split,
            seed=seed,
            sources=[str(source.relative_to(raw)) for source in shard.sources],
            fingerprints=[fingerprint(source) for source in shard.sources],
            # `python -m simulation` leaves this beside the files it makes
            origin="simulated" if (raw / "simulation.json").is_file() else "public",
        )
        path = out / name / shard.split / shard.file_name(name)
        jobs.append(Job(name, shard, path, seed, provenance))
    return jobs


def require_no_strangers(jobs: list[Job]) -> None:
    """Raise UserError if a folder holds files of an earlier, larger run: their jets would count."""
    expected = {job.path for job in jobs}
    for folder in {job.path.parent for job in jobs}:
        for path in sorted(folder.glob("*.h5")):
            if path not in expected and not path.name.startswith("."):
                raise UserError(
                    f"{path} is left from another run and would be read together with the new "
                    "files; remove it or choose another --out"
                )


def main() -> None:
    arguments = parse_arguments()
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
    shards = import_module(f"preprocessing.{spec.name}").shards(arguments.raw)
    jobs = plan(spec.name, shards, arguments.raw, arguments.out, arguments.seed)
    require_no_strangers(jobs)
    for split in SPLITS:
        files = sum(len(shard.sources) for shard in shards if shard.split == split)
        print(f"{split}: {files} public files" if files else f"{split}: no public files found")
    todo = []
    for job in jobs:
        if jet_file.is_complete(job.path, job.provenance):
            print(f"{job.path} is complete, from the same files and seed: kept")
        else:
            todo.append(job)
    if todo:
        convert(todo, arguments.workers)


if __name__ == "__main__":
    sys.exit(speak(main))
