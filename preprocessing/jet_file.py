"""Writes the suite's HDF5 files: padded constituents, jets, labels, provenance."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np

from omnilearn.content import DIGEST, ContentDigest
from omnilearn.data.spec import FEATURES, DatasetSpec
from omnilearn.hdf5 import Sink, open_for_reading, written_to
from omnilearn.hdf5_sums import attributes
from preprocessing.jet_chunk import PreparedJets, record_type
from preprocessing.shuffle import Buckets

FORMAT = "omnilearn"
FORMAT_VERSION = 1
ROWS_PER_CHUNK = 256  # jets that are decompressed to read one
# per jet of 13 features in 150 slots, on one core: gzip-1 1476 bytes, written 36 000/s, read
# 119 000/s; lzf 1632, 87 000, 79 000; with the byte shuffle no smaller and a third slower to read
COMPRESSION = {"compression": "gzip", "compression_opts": 1}
CHUNK_CACHE = 16 * 2**20  # bytes; a chunk shared by two buckets is compressed once


@dataclass
class Provenance:
    """How a file was made; stored as its attributes. `is_complete` compares the first five."""

    dataset: str
    split: str
    seed: int
    sources: list[str]
    fingerprints: list[str]
    origin: str = "public"  # or "simulated"
    share: float = 1.0  # of the rows of the sources
    clipped: int = 0
    dropped_empty: int = 0
    weight_scale: float = 1.0  # stored weights times this are those of the sources; not 1 where
    # float32 could not hold the latter
    rejected: dict[str, int] = field(default_factory=dict)  # reason -> rows of the sources left out
    selection: list[str] = field(default_factory=list)  # the cuts on these rows, in words
    jets_per_class: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def suite_version() -> str:
    """The version in a checkout's pyproject.toml, else that of the installed package."""
    try:
        with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
            return tomllib.load(file)["project"]["version"]
    except FileNotFoundError:  # installed
        return version("omnilearn")


def extra_columns(spec: DatasetSpec) -> dict[str, tuple[str, ...]]:
    """HDF5 datasets that no training reads -> names of their columns."""
    extra = {"constituents_extra": spec.constituent_extra, "jet_extra": spec.jet_extra}
    return {key: names for key, names in extra.items() if names}


def is_complete(path: Path, provenance: Provenance, spec: DatasetSpec) -> bool:
    """Whether `path` was made from the same sources with the same seed by this format version.

    A file without the extra columns of its dataset, or without a digest of its content, is not
    complete. The content itself is not read, see `finished_files.damaged_files`.
    """
    try:
        with open_for_reading(path) as file:
            stored = attributes(file)
            if DIGEST not in stored or any(
                key not in file or tuple(attributes(file[key]).get("columns", ())) != names
                for key, names in extra_columns(spec).items()
            ):
                return False
    except OSError:
        return False
    expected = vars(provenance) | {"format": FORMAT, "format_version": FORMAT_VERSION}
    compared = ("format", "format_version", "dataset", "split", "seed", "sources", "fingerprints")
    return all(key in stored and np.array_equal(stored[key], expected[key]) for key in compared)


def stored_fingerprints(path: Path) -> list[str]:
    """Fingerprints of the public files that a converted file was made of; [] without any."""
    try:
        with open_for_reading(path) as file:
            return list(attributes(file).get("fingerprints", []))
    except OSError:
        return []


def pad(jets: PreparedJets, max_constituents: int) -> np.ndarray:
    """(rows, jets per row, max_constituents, columns) float32, zero after the last constituent."""
    kept = jets.records["kept"]
    padded = np.zeros((*kept.shape, max_constituents, jets.features.shape[1]), dtype=np.float32)
    padded[np.arange(max_constituents) < kept[..., None]] = jets.features
    return padded


def dataset_arrays(jets: PreparedJets, spec: DatasetSpec) -> dict[str, np.ndarray]:
    """HDF5 key -> values (rows, ...) for these rows.

    Axis 1 of data, jet and multiplicity counts the jets of an event where it has several; each
    level has its own keys.
    """
    records = jets.records
    label = records["label"].astype("i1")
    arrays = {
        "pid": np.eye(spec.num_classes, dtype="i1")[label] if spec.one_hot else label,
        "weight": records["weight"],
        "source": records["source"],
    }
    padded = pad(jets, spec.max_constituents)
    for index, level in enumerate(spec.levels or ("",)):
        start = index * spec.jets_per_event
        jet = start if spec.jets_per_event == 1 else slice(start, start + spec.jets_per_event)
        arrays[spec.key("data", level)] = padded[:, jet, :, : spec.num_features]
        for name in ("jet", "multiplicity"):
            arrays[spec.key(name, level)] = records[name][:, jet]
        if spec.observables:
            arrays[spec.key("observables", level)] = records["observables"][:, index]
    jet = 0 if spec.jets_per_row == 1 else slice(None)
    extra = {
        "constituents_extra": padded[:, jet, :, spec.num_features :],
        "jet_extra": records["jet_extra"][:, jet],
    }
    return arrays | {key: extra[key] for key in extra_columns(spec)}


def write(
    path: Path,
    buckets: Buckets,
    spec: DatasetSpec,
    provenance: Provenance,
    advance: Callable[[int], object],
) -> None:
    """Write all jets of `buckets`, bucket after bucket, with `provenance` as attributes.

    `advance` is called with 0 after each bucket and may raise to stop the writing.
    """
    total = int(provenance.jets_per_class.sum())
    rows = min(ROWS_PER_CHUNK, total)
    no_jets = PreparedJets(
        np.zeros(0, record_type(spec)), np.zeros((0, spec.constituent_columns), np.float32)
    )
    with Sink(path) as sink, written_to(sink, rdcc_nbytes=CHUNK_CACHE) as file:
        for name, array in dataset_arrays(no_jets, spec).items():
            shape = array.shape[1:]
            file.create_dataset(
                name, (total, *shape), array.dtype, chunks=(rows, *shape), **COMPRESSION
            )
        first, digest = 0, ContentDigest()
        for jets in buckets.shuffled():
            rows_of_bucket = slice(first, first + len(jets.records))
            for name, array in dataset_arrays(jets, spec).items():
                file[name][rows_of_bucket] = array
                digest.add(name, array)
            first = rows_of_bucket.stop
            sink.check()
            advance(0)
        assert first == total, f"{first} rows scattered, {total} counted"
        write_provenance(file, spec, provenance)
        file.attrs[DIGEST] = digest.of(file)
    sink.check()


def write_provenance(file: h5py.File, spec: DatasetSpec, provenance: Provenance) -> None:
    """Store the names of the columns and the provenance as attributes of `file`."""
    file.attrs["format"] = FORMAT
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["suite_version"] = suite_version()
    file.attrs["classes"] = list(spec.class_names)
    file.attrs["features"] = list(FEATURES[: spec.num_features])
    file.attrs["jet_features"] = list(spec.jet_features)
    if spec.observables:
        file.attrs["observables"] = list(spec.observables)
    file.attrs["units"] = "GeV, radians"
    for key, names in extra_columns(spec).items():
        file[key].attrs["columns"] = list(names)
    for key, value in vars(provenance).items():
        if isinstance(value, dict):
            value = [f"{reason}: {rows}" for reason, rows in value.items()]
        file.attrs[key] = value
