"""A dataset of your own, declared by DATA/<name>/dataset.json instead of an entry here.

`preprocessing.own.write_dataset` writes it beside the files; docs/own_dataset.md shows how.
"""

import json
from dataclasses import asdict
from pathlib import Path

from omnilearn.atomic import atomic_path
from omnilearn.data.spec import DatasetSpec, JetLabel, Normalisation
from omnilearn.errors import UserError

FILE_NAME = "dataset.json"
# stored as they are; classes and the constants of the normalisation are written out
PLAIN = ("title", "source", "citation", "num_features", "max_constituents", "jet_radius", "signal")


def write_declaration(path: Path, spec: DatasetSpec) -> None:
    """`spec` as JSON, whole or not at all."""
    stored = {
        **{key: getattr(spec, key) for key in PLAIN},
        "classes": [asdict(label) for label in spec.labels],
        "jet_pt_range": spec.jet_pt_range,
        "splits": dict(spec.splits),
        "normalisation": asdict(spec.normalisation),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


def read_declaration(path: Path, name: str = "") -> DatasetSpec:
    """The dataset declared in `path`, named by its folder unless `name` is given.

    Raises UserError if it is malformed.
    """
    name = name or path.parent.name
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        spec = DatasetSpec(
            name=name,
            task="tagging",
            labels=tuple(JetLabel(**label) for label in stored["classes"]),
            jet_pt_range=tuple(stored["jet_pt_range"]),
            splits=tuple(stored["splits"].items()),
            normalisation=Normalisation(
                **{name: tuple(values) for name, values in stored["normalisation"].items()}
            ),
            one_hot=False,
            folders=(name,),
            **{key: stored[key] for key in PLAIN},
        )
        # a number written by hand as text would only be noticed deep inside
        _ = spec.num_features + spec.max_constituents, spec.labels[spec.signal]
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UserError(
            f"{path} does not declare a dataset ({type(error).__name__}: {error}); write it again "
            "with preprocessing.own.write_dataset"
        ) from error
    return spec
