"""A dataset of your own: from four-momenta in memory to files the suite trains on.

docs/own_dataset.md is the example; `finetune.py NAME --data DATA` finds what is written here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.data.catalogue import CATALOGUE, JETCLASS_NORMALISATION
from omnilearn.data.declared import FILE_NAME, write_declaration
from omnilearn.data.spec import FEATURES, KINEMATIC_FEATURES, DatasetSpec, JetLabel
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from omnilearn.kinematics import from_cartesian, to_cartesian
from omnilearn.progress import progress
from preprocessing.convert import Job
from preprocessing.identity import identity
from preprocessing.jet_chunk import CHUNK_ROWS, PHI_LIMIT, JetChunk
from preprocessing.jet_file import Provenance
from preprocessing.sources import SPLITS, Shard

MOMENTUM = ("pt", "eta", "phi", "energy")
PDG_ID = "pdg_id"
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
# distinct for colour-blind readers (arXiv:2107.02270)
COLOURS = ("#4d4d4d", "#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#a96b59", "#e76300", "#92dadd")
MOST_CLASSES = 100


def write_dataset(
    data: Path | str,
    name: str,
    constituents: ak.Array | np.ndarray,
    label: np.ndarray,
    *,
    classes: Sequence[str],
    jet_radius: float,
    jet_pt_range: tuple[float, float],
    max_constituents: int = 150,
    weight: np.ndarray | None = None,
    splits: Mapping[str, float] = SHARES,
    seed: int = 0,
) -> list[Path]:
    """Write `data`/<name>/<split>/*.h5 and `data`/<name>/dataset.json; return the paths.

    constituents: awkward (jets, any number) of records pt, eta, phi, energy and perhaps pdg_id,
    or records of such lists; or NumPy (jets, slots, 4) in that order, (jets, slots, 5) with the
    PDG id, where pt = 0 is an empty slot. GeV and radians. label (jets,) counts `classes` from 0,
    the signal last; weight (jets,). The jet is the sum of its constituents; `seed` draws splits.
    Raises UserError saying what is wrong with which argument; nothing is written then.
    """
    label = require_numbers("label", label, None)
    momenta, pdg_id, counts = flattened(constituents)
    require_numbers("label", label, len(counts))
    weight = None if weight is None else require_numbers("weight", weight, len(counts))
    require_declaration(name, classes, jet_pt_range, max_constituents, splits, seed)
    require_label(label, classes)
    require_momenta(momenta, counts)
    spec = DatasetSpec(
        name=name,
        title=name,
        task="tagging",
        source="preprocessing.own.write_dataset",
        citation="",
        labels=tuple(
            JetLabel(one, one, COLOURS[i % len(COLOURS)]) for i, one in enumerate(classes)
        ),
        num_features=len(KINEMATIC_FEATURES if pdg_id is None else FEATURES),
        max_constituents=int(max_constituents),
        jet_radius=float(jet_radius),
        jet_pt_range=tuple(map(float, jet_pt_range)),
        normalisation=JETCLASS_NORMALISATION,
        one_hot=False,
        folders=(name,),
        splits=tuple((split, float(splits[split])) for split in SPLITS if split in splits),
        signal=len(classes) - 1,
    )
    jets = JetArrays(momenta, pdg_id, counts, label.astype(np.int64), weight)
    job = OwnJob.of(spec, jets, Path(data), seed)
    with progress(len(counts), f"writing {name}") as bar:
        bar.write(job.run(len(counts), bar.update))
    for path, made in job.outputs:
        if not made.jets_per_class.sum():
            raise UserError(f"none of {len(counts)} jets fell into {made.split} ({path}); more "
                            "jets are needed, or a larger share")  # fmt: skip
    declaration = Path(data) / name / FILE_NAME
    paths = [path for path, _ in job.outputs]
    write_declaration(declaration, replace(spec, normalisation=measured(paths[0])))
    return [*paths, declaration]


@dataclass(frozen=True)
class JetArrays:
    """All jets, flat; `read` hands them out as a reader of a public file does."""

    momenta: np.ndarray  # (constituents, 4): pt, eta, phi, energy
    pdg_id: np.ndarray | None  # (constituents,)
    counts: np.ndarray  # (jets,)
    label: np.ndarray  # (jets,)
    weight: np.ndarray | None  # (jets,)

    def read(self, source: Path) -> Iterator[JetChunk]:
        """A stretch at a time."""
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        for first in range(0, len(self.counts), CHUNK_ROWS):
            rows = slice(first, first + CHUNK_ROWS)
            counts = self.counts[rows]
            part = slice(ends[first], ends[first + len(counts)])
            momenta = self.momenta[part].astype(np.float64)
            owner = np.repeat(np.arange(len(counts)), counts)
            real = momenta[:, 0] > 0
            cartesian = to_cartesian(momenta[real])
            total = [np.bincount(owner[real], column, len(counts)) for column in cartesian.T]
            yield JetChunk(
                constituents=momenta,
                counts=counts,
                jet=from_cartesian(np.stack(total, axis=-1)),
                label=self.label[rows],
                rows=first + np.arange(len(counts)),
                identity=None
                if self.pdg_id is None
                else identity(self.pdg_id[part], source, PDG_ID),
                weight=None if self.weight is None else self.weight[rows],
            )


@dataclass(frozen=True)
class OwnJob(Job):
    """The job of a public file, for jets in memory."""

    declared: DatasetSpec
    jets: JetArrays

    @staticmethod
    def of(spec: DatasetSpec, jets: JetArrays, data: Path, seed: int) -> "OwnJob":
        """One file per split."""
        source = Path("constituents")  # what sentences about these jets call them
        outputs = tuple(
            (
                data / spec.name / split / f"{spec.name}_{split}_000.h5",
                Provenance(spec.name, split, seed, ["arrays"], [""], "own", share),
            )
            for split, share in spec.splits
        )
        shard = Shard(spec.splits, 0, (source,))
        return OwnJob(spec.name, shard, seed, outputs, spec, jets)

    @property
    def spec(self) -> DatasetSpec:
        return self.declared

    @property
    def reader(self) -> JetArrays:
        return self.jets


def flattened(
    constituents: ak.Array | np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Momenta (constituents, 4), PDG ids (constituents,) or None, and counts (jets,)."""
    expected = (
        f"expected awkward jets of records {', '.join(MOMENTUM)} (and perhaps {PDG_ID}), or a "
        "NumPy array (jets, slots, 4), or 5 with the PDG id"
    )
    if isinstance(constituents, ak.Array):
        missing = [key for key in MOMENTUM if key not in constituents.fields]
        if constituents.ndim == 1 and not missing:  # records of lists, as of a ROOT tree
            fields = [key for key in (*MOMENTUM, PDG_ID) if key in constituents.fields]
            try:
                constituents = ak.zip({key: constituents[key] for key in fields})
            except ValueError as error:
                raise UserError(
                    f"constituents: {', '.join(fields)} differ in length in some jet; {expected}"
                ) from error
        if missing or constituents.ndim != 2:
            found = ", ".join(constituents.fields) or "no record"
            raise UserError(f"constituents: {found} with {constituents.ndim} axes; {expected}")
        counts = ak.to_numpy(ak.num(constituents))
        columns = {
            key: ak.to_numpy(ak.flatten(constituents[key]))
            for key in (*MOMENTUM, PDG_ID)
            if key in constituents.fields
        }
        pdg_id = columns.pop(PDG_ID, None)
        return np.stack(list(columns.values()), axis=-1), pdg_id, counts
    array = np.asarray(constituents)
    if array.ndim != 3 or array.shape[2] not in (4, 5) or array.dtype.kind not in "iuf":
        raise UserError(f"constituents: shape {array.shape} of {array.dtype}; {expected}")
    flat = array.reshape(-1, array.shape[2])
    counts = np.full(len(array), array.shape[1])
    return flat[:, :4], flat[:, 4] if flat.shape[1] == 5 else None, counts


def require_numbers(name: str, values: np.ndarray, jets: int | None) -> np.ndarray:
    """`values` as an array (jets,) of finite numbers; raises UserError otherwise."""
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise UserError(f"{name}: shape {values.shape} of {values.dtype}; expected (jets,) numbers")
    if jets is not None and len(values) != jets:
        raise UserError(f"{name}: {len(values)} of them for {jets} jets")
    if not np.isfinite(values).all():
        raise UserError(f"{name}: not a finite number in jet {int(np.argmin(np.isfinite(values)))}")
    return values


def require_declaration(name, classes, jet_pt_range, max_constituents, splits, seed) -> None:
    """Raise UserError about the first argument that declares no dataset."""
    if name in CATALOGUE or not re.fullmatch(r"[a-z][a-z0-9_]*", str(name)):
        raise UserError(
            f"name {name!r}: expected small letters, digits and _, and none of "
            f"{', '.join(CATALOGUE)}"
        )
    if not 2 <= len(classes) <= MOST_CLASSES or len(set(classes)) != len(classes):
        raise UserError(
            f"classes {tuple(classes)}: expected 2 to {MOST_CLASSES} names, all different"
        )
    low, high = jet_pt_range
    if not 0 < low < high:
        raise UserError(f"jet_pt_range ({low}, {high}): expected two rising numbers in GeV")
    if max_constituents < 1:
        raise UserError(f"max_constituents {max_constituents}: expected 1 or more")
    if not {"train", "val"} <= set(splits) <= set(SPLITS) or min(splits.values()) <= 0:
        raise UserError(f"splits {dict(splits)}: expected shares of train, val and perhaps test")
    if abs(sum(splits.values()) - 1) > 1e-6:
        raise UserError(f"splits {dict(splits)}: expected shares that add up to 1")
    if seed < 0:
        raise UserError(f"seed {seed}: expected 0 or more")


def require_label(label: np.ndarray, classes: Sequence[str]) -> None:
    """Raise UserError for the first jet (jets,) of no class."""
    bad = ~np.isin(label, np.arange(len(classes)))
    if bad.any():
        row = int(np.argmax(bad))
        raise UserError(
            f"label: {label[row]} in jet {row} (counted from 0); expected 0 to "
            f"{len(classes) - 1}, for {', '.join(classes)}"
        )


def require_momenta(momenta: np.ndarray, counts: np.ndarray) -> None:
    """Raise UserError for the first constituent that is no four-momentum in GeV and radians."""
    finite = np.isfinite(momenta).all(axis=1)
    pt, eta, phi, energy = np.where(finite[:, None], momenta, 0.0).astype(np.float64).T
    with np.errstate(over="ignore"):
        momentum = pt * np.cosh(eta)
    for bad, what in (
        (~finite, "a number that is not finite; empty slots are filled with 0"),
        (pt < 0, "a negative pt"),
        ((pt > 0) & (np.abs(phi) > PHI_LIMIT), "a phi beyond 2 pi; radians are expected"),
        ((pt > 0) & (energy < 0.99 * momentum), "less energy than momentum; the order is pt, eta, "
         "phi, energy"),
    ):  # fmt: skip
        if bad.any():
            row = int(np.searchsorted(np.cumsum(counts), np.argmax(bad), side="right"))
            raise UserError(f"constituents: jet {row} (counted from 0) has {what}")


def measured(path: Path):
    """JetClass constants for constituents, as a backbone knows them; mean and std of these jets."""
    with open_for_reading(path) as file:
        jet = file["jet"][:].astype(np.float64)
    std = jet.std(axis=0)
    return replace(
        JETCLASS_NORMALISATION,
        jet_mean=tuple(jet.mean(axis=0).tolist()),
        jet_std=tuple(np.where(std > 0, std, 1.0).tolist()),
    )
