"""List all datasets: python -m preprocessing list."""

import argparse
import os
import textwrap
from pathlib import Path

from omnilearn.data.catalogue import CATALOGUE, dataset
from omnilearn.data.declared import FILE_NAME
from omnilearn.data.layout import find_files, stored_layout
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from omnilearn.log import log
from preprocessing.convert import unit
from preprocessing.sources import SPLITS

WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(os.environ.get("OMNILEARN_DATA", "data")).expanduser(),
        help="folder of the training files ($OMNILEARN_DATA or data)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print all entries of the catalogue, and the data sets that are declared in the folder."""
    entries = [entry(spec, arguments.out) for spec in CATALOGUE.values()]
    for path in sorted(arguments.out.glob(f"*/{FILE_NAME}")):
        try:
            entries.append(entry(dataset(path.parent.name, arguments.out), arguments.out))
        except UserError as error:
            entries.append(str(error))
    log.info("\n\n".join(entries))


def entry(spec: DatasetSpec, data: Path) -> str:
    """Task, classes, source, citation and files under `data` of one dataset."""
    jets = {1: "", 2: "two jets per event, "}[spec.jets_per_event]
    levels = f"levels {' and '.join(spec.levels)}, " if spec.levels else ""
    lines = {
        "task": spec.task,
        "classes": ", ".join(spec.class_names),
        "constituents": f"{levels}{jets}{spec.max_constituents} of {spec.num_features} features",
        "from": spec.source,
        "citation": spec.citation,
        "on disk": on_disk(spec, data),
    }
    return "\n".join(
        [
            f"{spec.name}: {spec.title}",
            *(
                textwrap.fill(
                    f"  {title + ':':14}{text}",
                    WIDTH,
                    subsequent_indent=" " * 16,
                    break_on_hyphens=False,
                    break_long_words=False,
                )
                for title, text in lines.items()
                if text
            ),
        ]
    )


def on_disk(spec: DatasetSpec, data: Path) -> str:
    """Files and jets of each split under `data`, in the folders that a training searches."""
    splits = []
    for split in SPLITS:
        try:
            files = find_files(data, spec, split)
        except UserError:  # no files of this split
            continue
        splits.append(f"{split} {len(files)} files, {rows(spec, files)} in {files[0].parent}")
    return "; ".join(splits) or f"nothing in {data}"


def rows(spec: DatasetSpec, files: list[Path]) -> str:
    """The number of jets, or events, in the files, or the first file that cannot be read."""
    total, origins = 0, set()
    for path in files:
        try:
            with open_for_reading(path) as file:
                layout = stored_layout(file, path, spec)
        except OSError:
            return f"{path.name} cannot be read"
        except UserError as error:
            return str(error)
        total += layout.rows
        origins.add(layout.origin)
    return f"{total} {unit(spec)} ({' and '.join(sorted(origins))})"
