"""Sets of jets as JetNet publishes them, generated or true, and their files.

Files are those of arXiv:2106.11535, one per class: particle_features (jets, slots, 4) eta_rel,
phi_rel, pt_rel, mask, and jet_features (jets, 4) pT, eta, mass [GeV], multiplicity.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.data.layout import class_files, find_files
from omnilearn.data.selection import selected_jets
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.hdf5 import array, atomic_file, stored_file
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import LOG_FLOOR, delta_phi, invariant_mass, sum_constituents

COLUMNS = ("eta_rel", "phi_rel", "pt_rel", "mask")


@dataclass(frozen=True)
class JetSet:
    """constituents (N, P, 4) in COLUMNS, jets (N, 4) pT, eta, mass, multiplicity, label (N,)."""

    constituents: np.ndarray
    jets: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows) -> "JetSet":
        return JetSet(*(values[rows] for values in vars(self).values()))

    def of_class(self, label: int) -> "JetSet":
        return self[self.label == label]


def relative_columns(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Unscaled features (N, P, 3 or more) and mask (N, P) -> constituents (N, P, 4) in COLUMNS.

    A generated log(1 - pt_rel) above zero gives pt_rel = LOG_FLOOR.
    """
    eta, phi, log_rest = np.moveaxis(np.asarray(features[..., :3], np.float64), -1, 0)
    pt = np.maximum(-np.expm1(np.minimum(log_rest, 0.0)), LOG_FLOOR)
    columns = np.stack([eta, phi, pt, np.ones_like(eta)], axis=-1)
    return (columns * mask[..., None]).astype(np.float32)


def four_momenta(jet_set: JetSet) -> tuple[np.ndarray, np.ndarray]:
    """Constituents (N, P, 4) pt, eta, phi, energy in GeV, massless, and their mask (N, P)."""
    eta_rel, phi, pt_rel, mask = np.moveaxis(np.asarray(jet_set.constituents, np.float64), -1, 0)
    pt = pt_rel * jet_set.jets[:, :1]
    eta = eta_rel + jet_set.jets[:, 1:2]
    return np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=-1) * mask[..., None], mask > 0


def jets_of_constituents(features: np.ndarray, mask: np.ndarray, label: np.ndarray) -> JetSet:
    """Unscaled TOKEN_FEATURES (N, P, 3) and mask (N, P) -> massless constituents and their sum.

    The tokens have no direction of the jet: eta of every jet is set to 0.
    """
    log_pt, eta, phi = np.moveaxis(np.asarray(features, np.float64), -1, 0)
    pt = np.exp(log_pt) * mask
    momenta = np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=-1)
    jet = sum_constituents(momenta, mask)
    axis = jet[:, None, :]
    columns = [eta - axis[..., 1], delta_phi(phi, axis[..., 2]), pt / axis[..., 0]]
    relative = np.stack([*columns, np.ones_like(pt)], axis=-1) * mask[..., None]
    columns = [jet[:, 0], np.zeros(len(jet)), invariant_mass(jet), mask.sum(axis=1)]
    jets = np.stack(columns, axis=-1)
    return JetSet(relative.astype(np.float32), jets.astype(np.float32), label)


def read_split(
    data: Path, spec: DatasetSpec, split: str, most: int, classes: str = ""
) -> tuple[JetSet, str]:
    """At most `most` jets of a split, without empty ones, and the origin of the files.

    classes: restricts the jets to these classes, comma-separated. The selection has equal numbers
    of all classes and is always the same.
    """
    files, _ = selected_jets(find_files(data, spec, split), spec, most, classes)
    with files:
        rows = np.flatnonzero(files.multiplicity)
        stored = files.gather(rows)
        mask = np.arange(spec.max_constituents) < files.multiplicity[rows, None]
        columns = relative_columns(stored["data"], mask)
        return JetSet(columns, stored["jet"], stored["pid"].argmax(axis=1)), files.origin


def write_set(folder: Path, jet_set: JetSet, spec: DatasetSpec, about: dict) -> None:
    """Write one file per class; `about`, plain JSON, describes how the jets were made."""
    for label, name in enumerate(class_files(spec).values()):
        part = jet_set.of_class(label)
        with atomic_file(folder / name) as file:
            file["particle_features"] = part.constituents.astype(np.float32)
            file["jet_features"] = part.jets.astype(np.float32)
            file.attrs["about"] = json.dumps(about, sort_keys=True)


def read_set(folder: Path, spec: DatasetSpec) -> tuple[JetSet, dict]:
    """The jets that `write_set` wrote, sorted by class, and `about`.

    Raises UserError with the file that is missing, damaged or differs in `about` from the others.
    """
    parts: list[JetSet] = []
    about: dict = {}
    mend = f"remove {folder} and make it again with: python evaluate.py {folder.parent}"
    for label, name in enumerate(class_files(spec).values()):
        path = folder / name
        with stored_file(path, "a set of jets", mend) as file:
            constituents, jets = array(file, "particle_features"), array(file, "jet_features")
            class_about = json.loads(attributes(file)["about"])
        shapes = constituents.shape, jets.shape
        if [len(shape) for shape in shapes] != [3, 2] or shapes[0][::2] != (len(jets), 4):
            raise UserError(
                f"{path}: its arrays have the shapes {shapes[0]} and {shapes[1]}, "
                f"expected (jets, slots, 4) and (jets, 4); {mend}"
            )
        if parts and class_about != about:
            raise UserError(f"{path} was made by {class_about}, the others by {about}; {mend}")
        about = class_about
        parts.append(JetSet(constituents, jets, np.full(len(jets), label)))
    return concatenated(parts), about


def concatenated(sets: list[JetSet]) -> JetSet:
    """Several sets as one, in their order."""
    columns = zip(*(vars(jet_set).values() for jet_set in sets), strict=True)
    return JetSet(*map(np.concatenate, columns))
