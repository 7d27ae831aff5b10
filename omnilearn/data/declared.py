"""A dataset of your own, declared by DATA/<name>/dataset.json instead of a catalogue entry.

`preprocessing.own.write_dataset` writes it beside the files; docs/own_dataset.md shows how.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from omnilearn.data.spec import (
    FEATURES,
    JET_FEATURES,
    MOST_SLOTS,
    DatasetSpec,
    JetLabel,
    Normalisation,
)
from omnilearn.errors import UserError
from omnilearn.stored_json import read_json, write_json
from omnilearn.typed import typed

FILE_NAME = "dataset.json"
# fields that are stored unchanged
PLAIN = ("title", "source", "citation", "num_features", "max_constituents", "jet_radius", "signal")


@dataclass(frozen=True)
class Declaration:
    """The fields of the file; raises ValueError for values out of range."""

    title: str
    source: str
    citation: str
    num_features: int
    max_constituents: int
    jet_radius: float
    signal: int
    classes: tuple[JetLabel, ...]
    jet_pt_range: tuple[float, float]
    splits: dict[str, float]
    normalisation: Normalisation

    def __post_init__(self):
        features = len(FEATURES)
        for fits, name, expected in (
            (1 <= self.num_features <= features, "num_features", f"1 to {features}"),
            (1 <= self.max_constituents <= MOST_SLOTS, "max_constituents", f"1 to {MOST_SLOTS}"),
            (self.jet_radius > 0, "jet_radius", "above zero"),
            (self.classes, "classes", "at least one"),
            (0 <= self.signal < len(self.classes), "signal", "the number of a class, from 0"),
            (0 <= self.jet_pt_range[0] < self.jet_pt_range[1], "jet_pt_range", "low, high in GeV"),
            (all(0 <= share <= 1 for share in self.splits.values()), "splits", "shares, 0 to 1"),
        ):
            if not fits:
                raise ValueError(f"{name!r} is {getattr(self, name)!r}, expected {expected}")
        for name, values in asdict(self.normalisation).items():
            length = len(JET_FEATURES) if name.startswith("jet") else features
            if len(values) != length or (name.endswith("std") and min(values) <= 0):
                raise ValueError(
                    f"'normalisation.{name}' is {values}, expected {length} numbers, widths above 0"
                )


def write_declaration(path: Path, spec: DatasetSpec) -> None:
    """Write `spec` as JSON, whole or not at all."""
    content = {
        **{key: getattr(spec, key) for key in PLAIN},
        "classes": [asdict(label) for label in spec.labels],
        "jet_pt_range": spec.jet_pt_range,
        "splits": dict(spec.splits),
        "normalisation": asdict(spec.normalisation),
    }
    write_json(path, content, indent=2)


def declared_in(folder: Path, name: str) -> DatasetSpec | None:
    """The dataset `name` that a folder declares; None where it declares none."""
    path = folder / FILE_NAME
    return read_declaration(path, name) if path.is_file() else None


def read_declaration(path: Path, name: str = "") -> DatasetSpec:
    """The dataset declared in `path`, named by its folder unless `name` is given.

    Raises UserError if it is malformed.
    """
    name = name or path.parent.name
    mend = "write it again with preprocessing.own.write_dataset"
    stored = read_json(path, "declaration of a dataset", mend)
    try:
        declared = typed(Declaration, stored)
    except ValueError as error:
        raise UserError(f"{path} does not declare a dataset ({error}); {mend}") from error
    plain = {key: getattr(declared, key) for key in (*PLAIN, "jet_pt_range", "normalisation")}
    return DatasetSpec(
        name=name,
        task="tagging",
        labels=declared.classes,
        splits=tuple(declared.splits.items()),
        one_hot=False,
        folders=(name,),
        **plain,
    )
