"""Top tagging and quark/gluon jets that the authors of ParT converted to JetClass's branches.

TopLandscape and QuarkGluon (H. Qu, C. Li, S. Qian, arXiv:2202.03772), train_file*, val_file* and
test_file* in Parquet, or as ROOT trees: part_px, part_py, part_pz, part_energy, for quark/gluon
the charge and the five identities, jet_pt, jet_eta, jet_phi, jet_energy, and `label`, 1 for top
or quark. Parquet needs pyarrow, which the suite does not install.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian
from preprocessing.flat_hdf5 import require_classes
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk
from preprocessing.jetclass import IDENTITY, MOMENTUM
from preprocessing.root_tree import jagged, open_tree, per_row
from preprocessing.sources import SPLITS, Shard, reading, require_files

TREES = ("tree", "Events")
PARQUET, ROOT = ".parquet", ".root"
JET = ("jet_pt", "jet_eta", "jet_phi", "jet_energy")
LABEL = "label"
# of training files where there is no val_file, as for quark/gluon
SHARES_WITHOUT_VAL = (("train", 8 / 9), ("val", 1 / 9))


def is_converted(path: Path) -> bool:
    """Whether a file is of this kind, by its suffix."""
    return path.suffix in (PARQUET, ROOT)


def shards(raw: Path) -> list[Shard]:
    """The converted files in the folder, if any; without a val file, training files give val, too.

    Raises UserError for a file name that begins with no split.
    """
    files: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for path in sorted(raw.glob("[!.]*")):
        if not is_converted(path):
            continue
        split = next((split for split in SPLITS if path.name.startswith(split)), None)
        if split is None:
            raise UserError(
                f"{path} belongs to no split; its name must begin with train, val or test"
            )
        files[split].append(path)
    require_files([path for paths in files.values() for path in paths])
    shares: dict[str, tuple[tuple[str, float], ...]]
    shares = {split: ((split, 1.0),) for split in SPLITS}
    if not files["val"]:
        shares["train"] = SHARES_WITHOUT_VAL
    return [
        Shard(shares[split], index, (path,))
        for split, paths in files.items()
        for index, path in enumerate(paths)
    ]


def require_one_version(converted: list[Shard], originals: list[Path]) -> None:
    """Raise UserError if converted files and original ones are in the same folder."""
    if converted and originals:
        raise UserError(
            f"{originals[0]} and {converted[0].sources[0]} are two versions of the same jets, "
            "which would count twice; keep one kind in the folder"
        )


def branches(spec: DatasetSpec) -> tuple[str, ...]:
    """The branches to read."""
    flags = IDENTITY if spec.has_identity else ()
    return (*MOMENTUM, *flags, *JET, LABEL)


def count(path: Path, spec: DatasetSpec) -> int:
    """Jets in the file."""
    if path.suffix == PARQUET:
        with reading(path):
            return open_parquet(path, branches(spec), spec).metadata.num_rows
    with open_tree(path, TREES, branches(spec), spec.title) as (tree, _):
        return tree.num_entries


def read(path: Path, spec: DatasetSpec, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The jets of one file, `chunk_rows` rows at a time.

    Raises UserError on branches of unequal lengths, missing numbers and labels of no class.
    """
    first_row = 0
    for arrays in chunks(path, spec, chunk_rows):
        with reading(path):
            jets = chunk(arrays, path, spec, first_row)
        yield jets
        first_row += len(arrays)


def chunks(path: Path, spec: DatasetSpec, chunk_rows: int) -> Iterator[ak.Array]:
    """Records of the branches, `chunk_rows` rows at a time; a missing number is NaN."""
    if path.suffix == PARQUET:
        with reading(path):
            file = open_parquet(path, branches(spec), spec)
            for batch in file.iter_batches(chunk_rows, columns=list(branches(spec))):
                yield ak.fill_none(ak.from_arrow(batch), np.nan, axis=-1)
        return
    with open_tree(path, TREES, branches(spec), spec.title) as (tree, _):
        yield from tree.iterate(branches(spec), step_size=chunk_rows, library="ak")


def open_parquet(path: Path, names: tuple[str, ...], spec: DatasetSpec):
    """A Parquet file with these columns; raises UserError if one is missing, or pyarrow is."""
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError(
            f"{path} is a Parquet file, which pyarrow reads; install it with: pip install pyarrow, "
            f"or take the files of {spec.source}"
        ) from error
    file = parquet.ParquetFile(path)
    if missing := [name for name in names if name not in file.schema_arrow.names]:
        raise UserError(f"{path} lacks the column {missing[0]}; is this {spec.title}?")
    if file.metadata.num_rows == 0:
        raise UserError(f"{path} holds no jets; download it again")
    return file


def chunk(arrays: ak.Array, path: Path, spec: DatasetSpec, first_row: int) -> JetChunk:
    """Records of the branches as jets."""
    flags = [name for name in IDENTITY if name in branches(spec)]
    counts, flat = jagged(arrays, (*MOMENTUM, *flags), path, first_row)
    jets = per_row(arrays, (*JET, LABEL), path, first_row)
    require_classes(jets[LABEL], spec, path, LABEL, first_row)
    return JetChunk(
        constituents=from_cartesian(np.stack([flat[name] for name in MOMENTUM], axis=-1)),
        counts=counts,
        jet=np.stack([jets[name] for name in JET], axis=-1).astype(np.float64),
        label=jets[LABEL].astype(np.int64),
        rows=first_row + np.arange(len(arrays)),
        identity=np.stack([flat[name] for name in flags], axis=-1).astype(np.float32)
        if flags
        else None,
    )
