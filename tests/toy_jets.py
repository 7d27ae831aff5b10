"""A toy shower: classes differ in prongs, mass and multiplicity, so that a tagger can learn.

A jet of class c is a massive body that decays into 1, 2 or 3 prongs, each of which fragments into
collinear massless particles. The files have the layout of the suite, or that of the released code.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.catalogue import TOP
from omnilearn.data.catalogue import dataset as find_dataset
from omnilearn.data.spec import FEATURES, JET_FEATURES, DatasetSpec

PRONGS = (1, 3, 2, 2, 2)  # of class c % 5, as are the next two
MASS = (60.0, 173.0, 125.0, 91.0, 80.0)  # GeV
MULTIPLICITY = (28.0, 46.0, 40.0, 34.0, 52.0)
TOP40 = replace(TOP, max_constituents=40)  # top tagging with 40 slots
SPLITS = {"train": 2000, "val": 500, "test": 500}  # jets


def shower(label: np.ndarray, spec: DatasetSpec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Jets of these classes: data (n, P, F), jet (n, 4), multiplicity (n,), as stored in files."""
    kind = label % 5
    slots = 2 * spec.max_constituents
    multiplicity = rng.gamma(8.0, np.take(MULTIPLICITY, kind) / 8.0)  # as broad as JetClass
    count = np.clip(np.rint(multiplicity), 3, slots).astype(np.int32)
    real = np.arange(slots) < count[:, None]  # (n, slots)

    jet_pt = rng.uniform(*spec.jet_pt_range, len(label))
    fraction = rng.exponential(size=(len(label), slots)) ** 2 * real
    fraction /= fraction.sum(axis=1, keepdims=True)
    prong = rng.integers(0, np.take(PRONGS, kind)[:, None], (len(label), slots))
    # two prongs that share the momentum equally are 2 m / pT apart
    opening = 2 * np.take(MASS, kind) / jet_pt * rng.normal(1.0, 0.1, len(label))
    turn = rng.uniform(0, 2 * np.pi, (len(label), 1))
    number_of_prongs = np.take(PRONGS, kind)[:, None]
    radius = np.where(number_of_prongs > 1, opening[:, None] / 2, 0.0)
    angle = turn + 2 * np.pi * prong / number_of_prongs
    eta = radius * np.cos(angle) + rng.normal(0, 0.08, angle.shape)
    phi = radius * np.sin(angle) + rng.normal(0, 0.08, angle.shape)
    eta += rng.uniform(-1.5, 1.5, (len(label), 1))

    pt = fraction * jet_pt[:, None]
    energy = pt * np.cosh(eta)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    total = [component.sum(axis=1, keepdims=True) for component in (px, py, pz, energy)]
    sum_pt = np.hypot(total[0], total[1])
    sum_eta, sum_phi = np.arcsinh(total[2] / sum_pt), np.arctan2(total[1], total[0])
    mass = np.sqrt(np.maximum(total[3] ** 2 - sum_pt**2 - total[2] ** 2, 0))

    order = np.argsort(-pt, axis=1)[:, : spec.max_constituents]
    pt, energy, eta, phi, real = (
        np.take_along_axis(array, order, axis=1) for array in (pt, energy, eta, phi, real)
    )
    safe_pt, safe_energy = np.where(real, pt, 1.0), np.where(real, energy, 1.0)
    kinematics = [
        eta - sum_eta,
        phi - sum_phi,
        np.log(np.maximum(1 - pt / sum_pt, 1e-6)),
        np.log(safe_pt),
        np.log(np.maximum(1 - energy / total[3], 1e-6)),
        np.log(safe_energy),
        np.hypot(eta - sum_eta, phi - sum_phi),
    ]
    species = rng.choice(5, real.shape, p=(0.55, 0.06, 0.36, 0.02, 0.01))
    charge = np.isin(species, (0, 3, 4)) * rng.choice((-1, 1), real.shape)
    identity = [charge, *(species == flag for flag in range(5))]
    data = np.stack([*kinematics, *identity], axis=-1)[..., : spec.num_features]
    jet = np.column_stack([sum_pt, sum_eta, mass, count])
    return {
        "data": (data * real[..., None]).astype(np.float32),
        "jet": jet.astype(np.float32),
        "multiplicity": count,
    }


def write_toy_file(
    path: Path,
    spec: DatasetSpec,
    num_jets: int,
    seed: int | tuple[int, ...],
    released: bool = False,
    split: str = "train",
) -> None:
    """One file of jets of all classes in random order; `released`: float64, three keys."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, spec.num_classes, num_jets)
    jets = shower(label, spec, rng)
    pid = np.eye(spec.num_classes)[label] if spec.one_hot else label
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        if released:
            for key, array in (("data", jets["data"]), ("jet", jets["jet"]), ("pid", pid)):
                file.create_dataset(key, data=array.astype(np.float64))
            return
        chunks = (min(256, num_jets), *jets["data"].shape[1:])
        file.create_dataset(
            "data", data=jets["data"], chunks=chunks, compression="gzip", compression_opts=1
        )
        file["jet"] = jets["jet"]
        file["pid"] = pid.astype(np.int8)
        file["weight"] = np.ones(num_jets, np.float32)
        file["multiplicity"] = jets["multiplicity"]
        file.attrs.update(
            {
                "format": "omnilearn",
                "format_version": 1,
                "dataset": spec.name,
                "split": split,
                "classes": list(spec.class_names),
                "features": list(FEATURES[: spec.num_features]),
                "jet_features": list(JET_FEATURES),
                "units": "GeV",
                "seed": seed,
                "sources": ["toy shower"],
                "clipped": 0,
                "dropped_empty": 0,
                "jets_per_class": np.bincount(label, minlength=spec.num_classes),
            }
        )


def write_toy_dataset(
    folder: Path,
    dataset: str = "top",
    jets: Mapping[str, int] = SPLITS,
    seed: int = 0,
    files: int = 1,
    released: bool = False,
) -> Path:
    """Toy files of a dataset of the catalogue, `files` per split; returns `folder`, the --data."""
    spec = find_dataset(dataset)
    for stream, (split, total) in enumerate(jets.items()):
        for part in range(files):
            if released:
                path = folder / spec.folders[-1] / f"{split}_{part}.h5"
            else:
                path = folder / spec.folders[0] / split / f"{spec.name}_{split}_{part:03d}.h5"
            count = (part + 1) * total // files - part * total // files
            write_toy_file(path, spec, count, (seed, stream, part), released, split)
    return folder


def rewrite(path: Path, key: str, array: np.ndarray) -> None:
    """Replace an array of a file."""
    with h5py.File(path, "r+") as file:
        del file[key]
        file[key] = array
