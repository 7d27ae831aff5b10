"""The one writer of the suite's HDF5: padded constituents, jets, labels, provenance."""

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
ROWS_PER_CHUNK = 256  # jets a reader has to decompress for one jet
# per jet of 13 features in 150 slots, on one core: gzip-1 1476 bytes, written 36 000/s, read
# 119 000/s; lzf 1632, 87 000, 79 000; with the byte shuffle no smaller and a third slower to read
COMPRESSION = {"compression": "gzip", "compression_opts": 1}
CHUNK_CACHE = 16 * 2**20  # holds the chunk that two buckets share, so it is compressed once


@dataclass
class Provenance:
    """What a file remembers of its making; the first five decide whether it is made again."""

    dataset: str
    split: str
    seed: int
    sources: list[str]
    fingerprints: list[str]
    origin: str = "public"  # or "simulated"
    share: float = 1.0  # of the rows of the sources
    clipped: int = 0
    dropped_empty: int = 0
    weight_scale: float = 1.0  # what the stored weights are to be multiplied by, where they are not
    # stored in the unit of the sources because float32 could not hold them
    rejected: dict[str, int] = field(default_factory=dict)  # rows of the sources left out, why
    selection: list[str] = field(default_factory=list)  # what was asked of the others, in words
    jets_per_class: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def suite_version() -> str:
    """The version in pyproject.toml of a checkout, else that of the installed package."""
    try:
        with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
            return tomllib.load(file)["project"]["version"]
    except FileNotFoundError:  # installed
        return version("omnilearn")


def extra_columns(spec: DatasetSpec) -> dict[str, tuple[str, ...]]:
    """The datasets that no training reads, and the names of their columns."""
    extra = {"constituents_extra": spec.constituent_extra, "jet_extra": spec.jet_extra}
    return {key: names for key, names in extra.items() if names}


def is_complete(path: Path, provenance: Provenance, spec: DatasetSpec) -> bool:
    """Whether `path` was made from the same sources with the same seed by this format version.

    A file without the extra columns of its dataset, or without a digest of its content, is not;
    whether it still holds that content is for `finished_files.damaged` to say.
    """
    try:
        with open_for_reading(path) as file:
            found = attributes(file)
            if DIGEST not in found or any(
                key not in file or tuple(attributes(file[key]).get("columns", ())) != names
                for key, names in extra_columns(spec).items()
            ):
                return False
    except OSError:
        return False
    expected = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "dataset": provenance.dataset,
        "split": provenance.split,
        "seed": provenance.seed,
    }
    return all(found.get(key) == value for key, value in expected.items()) and all(
        list(found.get(key, [])) == getattr(provenance, key) for key in ("sources", "fingerprints")
    )


def stored_fingerprints(path: Path) -> list[str]:
    """Fingerprints of the public files that one of ours was made of; none where it says nothing."""
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


def stored(jets: PreparedJets, spec: DatasetSpec) -> dict[str, np.ndarray]:
    """The datasets of a file, key by key, for these rows.

    Axis 1 of data, jet and multiplicity counts the jets of an event where it has several; each
    level has keys of its own.
    """
    records = jets.records
    label = records["label"].astype("i1")
    arrays = {
        "pid": np.eye(spec.num_classes, dtype="i1")[label] if spec.one_hot else label,
        "weight": records["weight"],
        "source": records["source"],
    }
    padded = pad(jets, spec.max_constituents)
    for number, level in enumerate(spec.levels or ("",)):
        start = number * spec.jets_per_event
        place = start if spec.jets_per_event == 1 else slice(start, start + spec.jets_per_event)
        arrays[spec.key("data", level)] = padded[:, place, :, : spec.num_features]
        for name in ("jet", "multiplicity"):
            arrays[spec.key(name, level)] = records[name][:, place]
        if spec.observables:
            arrays[spec.key("observables", level)] = records["observables"][:, number]
    place = 0 if spec.jets_per_row == 1 else slice(None)
    extra = {
        "constituents_extra": padded[:, place, :, spec.num_features :],
        "jet_extra": records["jet_extra"][:, place],
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

    `advance` is called after each bucket, with 0 further jets, and may raise to stop the writing.
    """
    total = int(provenance.jets_per_class.sum())
    rows = min(ROWS_PER_CHUNK, total)
    nothing = PreparedJets(
        np.zeros(0, record_type(spec)), np.zeros((0, spec.constituent_columns), np.float32)
    )
    with Sink(path) as sink, written_to(sink, rdcc_nbytes=CHUNK_CACHE) as file:
        for name, array in stored(nothing, spec).items():
            shape = array.shape[1:]
            file.create_dataset(
                name, (total, *shape), array.dtype, chunks=(rows, *shape), **COMPRESSION
            )
        first, digest = 0, ContentDigest()
        for jets in buckets.shuffled():
            part = slice(first, first + len(jets.records))
            for name, array in stored(jets, spec).items():
                file[name][part] = array
                digest.add(name, array)
            first = part.stop
            sink.check()
            advance(0)
        assert first == total, f"{first} rows scattered, {total} counted"
        write_provenance(file, spec, provenance)
        file.attrs[DIGEST] = digest.of(file)
    sink.check()


def write_provenance(file: h5py.File, spec: DatasetSpec, provenance: Provenance) -> None:
    """Say in the attributes of `file` what its columns mean and where its jets come from."""
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
