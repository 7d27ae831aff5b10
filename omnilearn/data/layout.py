"""Paths of the files of jets, and the check of their layout."""

import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.catalogue import CATALOGUE
from omnilearn.data.spec import FEATURES, MOST_SLOTS, SPLITS, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.file_kinds import HDF5, of_another_kind
from omnilearn.hdf5_sums import attributes

FORMAT_VERSION = 1


@dataclass(frozen=True)
class StoredLayout:
    """The layout of a file, from its keys, shapes and attributes."""

    rows: int  # jets, or events
    slots: int  # per jet in this file; further slots of the dataset are empty
    multiplicity: bool  # is stored; filled slots are then in front
    weight: str | None  # key of the weights
    one_hot: bool
    origin: str  # public, simulated by this suite, or own


def class_files(spec: DatasetSpec) -> dict[str, str]:
    """Class -> name of its file in JetNet's public layout: g.hdf5, or g150.hdf5 of 150 slots."""
    suffix = "" if spec.max_constituents == 30 else spec.max_constituents
    return {name: f"{name}{suffix}.hdf5" for name in spec.class_names}


def maker(spec: DatasetSpec, data: Path | str = "DATA") -> str:
    """The command or function that makes the files of this dataset, for messages."""
    if spec.name not in CATALOGUE:
        return " preprocessing.own.write_dataset"
    return f": python -m preprocessing {spec.name} --raw DIR --out {data}"


def remedy(spec: DatasetSpec) -> str:
    """Advice for a damaged file of this dataset, for messages."""
    return f"make it again with{maker(spec)}"


def find_files(data: Path, spec: DatasetSpec, split: str) -> list[Path]:
    """Files of a split: DATA/<folder>/<split>/*.h5, or DATA/<folder>/<split>*.h5, sorted naturally.

    Raises UserError for another split than train, val and test, and with the command that makes
    the files when there is none.
    """
    if split not in SPLITS:
        raise UserError(f"split is {split!r}; expected train, val or test")
    folders = [Path(data) / name for name in spec.folders]
    for folder in folders:
        for pattern in (f"{split}/*.h5", f"{split}*.h5"):
            # a name that begins with a dot is a file still being written
            if paths := [path for path in folder.glob(pattern) if path.name[0] != "."]:
                return sorted(paths, key=_natural)
    present = [
        str(path)
        for folder in folders
        for path in sorted([*folder.glob(f"{split}*"), *folder.glob(f"{split}/*")])
        if path.is_file() and path.name[0] != "."
    ]
    found = f", found {', '.join(present[:3])}" if present else ""
    raise UserError(
        f"no {split} files of {spec.name} (expected {folders[0] / split}/*.h5{found}); "
        f"make them with{maker(spec, data)}"
    )


def unreadable(path: Path, error: OSError, spec: DatasetSpec) -> UserError:
    """What is wrong with a file that HDF5 cannot open: damage, or a file of another kind."""
    if other := of_another_kind(path, remedy(spec), HDF5):
        return UserError(f"{path} is {other}")
    return UserError(f"{path}: no readable HDF5 file ({error}), {remedy(spec)}")


def _natural(path: Path) -> list:
    """Sort key that puts train_2 before train_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def stored_layout(file: h5py.File, path: Path, spec: DatasetSpec, level: str = "") -> StoredLayout:
    """The layout of an open file at one of its levels.

    Raises UserError naming file and key when a key is missing or has another shape than that of
    the dataset, or when classes, features, the dataset or the version of the format differ.
    """
    shapes = {key: item.shape for key, item in file.items() if is_numeric(item)}
    texts = attributes(file)
    version = texts.get("format_version", FORMAT_VERSION)
    if not isinstance(version, int | float | np.number) or not version <= FORMAT_VERSION:
        raise UserError(
            f"{path}: format_version {version!s:.40}, this suite reads up to {FORMAT_VERSION}; "
            "install the newer suite that wrote it"
        )
    if spec.name in CATALOGUE and texts.get("dataset", spec.name) != spec.name:
        raise UserError(
            f"{path} holds jets of the dataset {texts['dataset']}, expected {spec.name}; "
            "move it to the folder of its dataset"
        )
    columns = {
        "classes": spec.class_names,
        "features": FEATURES[: spec.num_features],
        "jet_features": spec.jet_features,
    }
    for key, names in columns.items():
        stored = np.ravel(texts.get(key, names)).tolist()
        if stored != list(names):
            raise UserError(
                f"{path}: its {key} are {', '.join(map(str, stored))}, {spec.name} expects "
                f"{', '.join(names)}, {remedy(spec)}"
            )
    data, multiplicity = (spec.key(name, level) for name in ("data", "multiplicity"))
    rows = (*shapes.get(data, ()), 0)[0]
    slots = (0, 0, *shapes.get(data, ()))[-2]
    per_jet = (rows,) if spec.jets_per_event == 1 else (rows, spec.jets_per_event)
    expected: dict[str, list[tuple[int, ...]]] = {
        data: [(*per_jet, max(slots, 1), spec.num_features)],
        spec.key("jet", level): [(*per_jet, len(spec.jet_features))],
        "pid": [(rows,), (rows, 1), (rows, spec.num_classes)],
    }
    optional: dict[str, list[tuple[int, ...]]] = {
        multiplicity: [per_jet],
        "weight": [(rows,)],
        "weights": [(rows,)],
    }
    if missing := [key for key in expected if key not in shapes]:
        raise UserError(
            f"{path}: no numeric {missing[0]!r} among its keys "
            f"({', '.join(sorted(shapes)) or 'none'}), {remedy(spec)}"
        )
    for key, allowed in (expected | optional).items():
        if key in file and key not in shapes:
            kind = getattr(file.get(key), "dtype", "no array")
            raise UserError(
                f"{path}: {key!r} holds {kind}, {spec.name} expects numbers, {remedy(spec)}"
            )
        if key in shapes and shapes[key] not in allowed:
            raise UserError(
                f"{path}: {key!r} has shape {shapes[key]}, {spec.name} expects "
                f"{' or '.join(map(str, allowed))}, {remedy(spec)}"
            )
    if slots > MOST_SLOTS:
        raise UserError(
            f"{path}: {data!r} has {slots} slots per jet, expected {MOST_SLOTS} at most, "
            f"{remedy(spec)}"
        )
    if rows == 0:
        raise UserError(f"{path}: {data!r} holds 0 jets, {remedy(spec)}")
    weight = next((key for key in ("weight", "weights") if key in shapes), None)
    one_hot = shapes["pid"] == (rows, spec.num_classes) and spec.num_classes > 1
    origin = str(texts.get("origin", "public"))
    return StoredLayout(rows, slots, multiplicity in shapes, weight, one_hot, origin)


def is_numeric(item: h5py.HLObject) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim > 0 and item.dtype.kind in "biuf"
