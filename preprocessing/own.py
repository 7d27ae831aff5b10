"""A dataset of your own: writes four-momenta in memory to files that the suite trains on.

See docs/own_dataset.md; `finetune.py NAME --data DATA` reads these files.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn.data.catalogue import CATALOGUE, JETCLASS_NORMALISATION
from omnilearn.data.declared import FILE_NAME, write_declaration
from omnilearn.data.spec import (
    FEATURES,
    KINEMATIC_FEATURES,
    LEAST_SLOTS,
    MOST_SLOTS,
    DatasetSpec,
    JetLabel,
)
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from omnilearn.kinematics import to_cartesian
from omnilearn.log import log
from omnilearn.progress import progress
from omnilearn.typed import LARGEST_SEED, require_type
from preprocessing.convert import Job
from preprocessing.identity import identity
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk, require_gev, summed_jets
from preprocessing.jet_file import Provenance
from preprocessing.own_columns import class_numbers, group_numbers, weights_and_scale
from preprocessing.own_constituents import PDG_ID, Constituents, constituents_of
from preprocessing.sources import SPLITS, Shard, unexpected_files

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
# distinct for colour-blind readers (arXiv:2107.02270)
COLOURS = ("#4d4d4d", "#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#a96b59", "#e76300", "#92dadd")
MOST_CLASSES = 100
SOURCE = Path("constituents")  # in place of a file name in error messages
OTHERS = "give another charged hadron or nucleus as 211 or -211, a neutral one as 130"


def write_dataset(
    data: Path | str,
    name: str,
    constituents,
    label,
    *,
    classes: Sequence[str],
    jet_radius: float,
    jet_pt_range: tuple[float, float],
    max_constituents: int = 150,
    weight=None,
    group=None,
    splits: Mapping[str, float] = SHARES,
    seed: int = 0,
) -> list[Path]:
    """Write `data`/<name>/<split>/*.h5 and `data`/<name>/dataset.json; return the paths.

    constituents: awkward (jets, any number) of records pt, eta, phi, energy (or mass in its place;
    or px, py, pz, energy) and optionally pdg_id, records of such lists, four-vectors of the package
    vector, a list with one array or list per jet; or NumPy (jets, slots, 4) of pt, eta, phi,
    energy, (jets, slots, 5) with the PDG id, where pt = 0 is an empty slot. GeV and radians. A
    constituent that is None or masked is an empty slot.
    label (jets,): numbers that count `classes` from 0, the signal last, or their names, or one-hot
    (jets, classes); with one class the data set is for a generator. weight (jets,), of any sign and
    unit; group (jets,): the event of each jet, whose jets stay in one split. The jet is the sum of
    its constituents; `seed` decides the splits. Raises UserError naming the wrong argument, before
    anything is written.
    """
    require_type(Path | str, data, "data")
    data = Path(data).expanduser()
    classes = require_declaration(
        name, classes, jet_radius, jet_pt_range, max_constituents, splits, seed
    )
    flat = constituents_of(constituents)
    count = len(flat.counts)
    labels = class_numbers(label, classes, count)
    weight, scale = weights_and_scale(weight, count)
    spec = DatasetSpec(
        name=name,
        title=name,
        task="tagging",
        source="preprocessing.own.write_dataset",
        citation="",
        labels=tuple(
            JetLabel(text, text, COLOURS[i % len(COLOURS)]) for i, text in enumerate(classes)
        ),
        num_features=len(KINEMATIC_FEATURES if flat.pdg_id is None else FEATURES),
        max_constituents=int(max_constituents),
        jet_radius=float(jet_radius),
        jet_pt_range=(float(jet_pt_range[0]), float(jet_pt_range[1])),
        normalisation=JETCLASS_NORMALISATION,
        one_hot=False,
        folders=(name,),
        splits=tuple((split, float(splits[split])) for split in SPLITS if split in splits),
        signal=len(classes) - 1,
    )
    jets = JetArrays(flat, labels, weight)
    jets.require_gev(spec, SOURCE, "give the range of their pT in GeV as jet_pt_range")
    job = OwnJob.of(spec, jets, data, int(seed), group_numbers(group, count), scale)
    paths = [path for path, _ in job.outputs]
    if unexpected := unexpected_files(data / name, set(paths)):
        raise UserError(
            f"{unexpected[0]} is left of an earlier {name} and would be read beside the new jets, "
            f"some of which it may hold; remove {unexpected[0].parent}, or choose another name"
        )
    job.require_jets_in_every_split()
    try:
        for path, _ in job.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be made ({error.strerror})") from error
    with progress(count, f"writing {name}") as bar:
        bar.write(job.run(count, bar.update))
    for path, provenance in job.outputs:
        counts = zip(classes, provenance.jets_per_class, strict=True)
        if empty := [text for text, jets in counts if not jets]:
            log.warning(f"{path}: no jets of {', '.join(empty)}, which was declared")
    declaration = data / name / FILE_NAME
    write_declaration(declaration, replace(spec, normalisation=normalisation_of(paths[0])))
    return [*paths, declaration]


@dataclass(frozen=True)
class JetArrays:
    """All jets in memory, with the `read` of a public file's reader."""

    constituents: Constituents
    label: np.ndarray  # (jets,)
    weight: np.ndarray | None  # (jets,)

    def read(self, source: Path) -> Iterator[JetChunk]:
        for first in range(0, len(self.label), CHUNK_ROWS):
            yield self.chunk(source, first, first + CHUNK_ROWS)

    def require_gev(self, spec: DatasetSpec, source: Path, advice: str) -> None:
        """Raise UserError, ending with the advice, where the median pT of a chunk is far from the
        range of `spec`.

        Samples of different units may follow each other. Jets without constituents do not count.
        """
        jets = len(self.label)
        bounds = np.linspace(0, jets, max(1, round(jets / CHUNK_ROWS)) + 1).astype(int)
        for first, stop in pairwise(bounds.tolist()):
            pt = self.chunk(source, first, stop).jet[:, 0]
            if (pt > 0).any():
                require_gev(pt[pt > 0], spec, source, advice)

    def chunk(self, source: Path, first: int, stop: int) -> JetChunk:
        """The jets first to stop, each the sum of its constituents."""
        all_counts, pdg_id = self.constituents.counts, self.constituents.pdg_id
        counts = all_counts[first:stop]
        begin = int(all_counts[:first].sum())
        selected = slice(begin, begin + int(counts.sum()))
        momenta = self.constituents.momenta[selected]
        owner = np.repeat(np.arange(len(counts)), counts)
        return JetChunk(
            constituents=momenta,
            counts=counts,
            jet=summed_jets(to_cartesian(momenta), owner, len(counts)),
            label=self.label[first:stop],
            rows=first + np.arange(len(counts)),
            identity=None if pdg_id is None else identity(pdg_id[selected], source, PDG_ID, OTHERS),
            weight=None if self.weight is None else self.weight[first:stop],
            advice="leave such jets out",
        )


@dataclass(frozen=True)
class GroupedShard(Shard):
    """A shard whose splits are decided by the event, or the jet where `group` is None."""

    group: np.ndarray | None = None  # (jets,)

    def split_of(self, rows: np.ndarray, source: Path, seed: int) -> np.ndarray:
        events = rows if self.group is None else self.group[rows]
        return super().split_of(events, source, seed)


@dataclass(frozen=True)
class OwnJob(Job):
    """A job for jets in memory."""

    declared: DatasetSpec
    jets: JetArrays

    @staticmethod
    def of(
        spec: DatasetSpec,
        jets: JetArrays,
        data: Path,
        seed: int,
        group: np.ndarray | None,
        weight_scale: float,
    ) -> "OwnJob":
        """One file per split."""
        outputs = []
        for split, share in spec.splits:
            provenance = Provenance(spec.name, split, seed, ["arrays"], [""], "own", share)
            provenance.weight_scale = weight_scale
            path = data / spec.name / split / f"{spec.name}_{split}_000.h5"
            outputs.append((path, provenance))
        shard = GroupedShard(spec.splits, 0, (SOURCE,), group)
        return OwnJob(spec.name, shard, seed, tuple(outputs), spec, jets)

    def require_jets_in_every_split(self) -> None:
        """Raise UserError for a split without jets."""
        counts = self.jets.constituents.counts
        filled = np.flatnonzero(counts)
        if not len(filled):
            raise UserError(f"constituents: none of {len(counts)} jets has any of a pt above 0")
        split = self.shard.split_of(filled, self.shard.sources[0], self.seed)
        for share, (path, provenance) in enumerate(self.outputs):
            if not (split == share).any():
                raise UserError(
                    f"none of {len(filled)} jets fell into {provenance.split} ({path}); more jets "
                    "are needed, or a larger share"
                )

    @property
    def spec(self) -> DatasetSpec:
        return self.declared

    @property
    def reader(self) -> JetArrays:
        return self.jets


def require_declaration(
    name, classes, jet_radius, jet_pt_range, max_constituents, splits, seed
) -> tuple[str, ...]:
    """The names of the classes as texts; raises UserError about the first wrong argument."""
    is_name = isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name)
    if not is_name or name in CATALOGUE:
        raise UserError(
            f"name {name!r}: expected small letters, digits and _, and none of "
            f"{', '.join(CATALOGUE)}"
        )
    # a set has no order, and the numbers in a dictionary would be ignored
    is_sequence = np.iterable(classes) and not isinstance(classes, (str, bytes, Set, Mapping))
    given = list(classes) if is_sequence else [None]
    if not all(isinstance(label, (str, bytes)) for label in given):
        raise UserError(
            f"classes {classes!r}: expected a sequence of names, for instance ('QCD', 'top')"
        )
    names = tuple(
        label.decode(errors="replace") if isinstance(label, bytes) else str(label)
        for label in given
    )
    # they are in names of files, and separated by commas in --classes
    fit = all(re.fullmatch("[^,/ ]|[^,/ ][^,/]*[^,/ ]", label) for label in names)
    printable = fit and all(label.isprintable() for label in names)
    if not 1 <= len(names) <= MOST_CLASSES or len(set(names)) != len(names) or not printable:
        raise UserError(
            f"classes {names}: expected 1 to {MOST_CLASSES} printable names, all different, "
            "without commas, slashes, and spaces at the ends"
        )
    if not is_number(jet_radius) or not jet_radius > 0:
        raise UserError(f"jet_radius {jet_radius!r}: expected a number above zero")
    is_sequence = np.iterable(jet_pt_range) and not isinstance(jet_pt_range, str)
    edges: Any = list(jet_pt_range) if is_sequence else []
    if len(edges) != 2 or not all(map(is_number, edges)) or not 0 < edges[0] < edges[1]:
        raise UserError(
            f"jet_pt_range {jet_pt_range!r}: expected two rising numbers in GeV, for instance "
            "(550.0, 650.0)"
        )
    why = "; slots may stay empty, and PET looks at the 10 nearest constituents of each"
    for argument, value, least, most, reason in (
        ("max_constituents", max_constituents, LEAST_SLOTS, MOST_SLOTS, why),
        ("seed", seed, 0, LARGEST_SEED, ""),
    ):
        if not is_number(value) or value != int(value) or not least <= value <= most:
            raise UserError(
                f"{argument} {value!r}: expected a whole number, {least} to {most}{reason}"
            )
    if not isinstance(splits, Mapping) or not all(map(is_number, splits.values())):
        raise UserError(f"splits {splits!r}: expected shares by name, as {SHARES}")
    if not {"train", "val"} <= set(splits) <= set(SPLITS) or min(splits.values()) <= 0:
        raise UserError(f"splits {dict(splits)}: expected shares of train, val and perhaps test")
    if abs(sum(splits.values()) - 1) > 1e-6:
        raise UserError(f"splits {dict(splits)}: expected shares that add up to 1")
    return names


def is_number(value) -> bool:
    """Whether this is a finite number, of Python or NumPy, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def normalisation_of(path: Path):
    """Constants of JetClass for constituents, as in the backbones; mean and std of these jets."""
    with open_for_reading(path) as file:
        jet = file["jet"][:].astype(np.float64)
    std = jet.std(axis=0)
    return replace(
        JETCLASS_NORMALISATION,
        jet_mean=tuple(jet.mean(axis=0).tolist()),
        jet_std=tuple(np.where(std > 0, std, 1.0).tolist()),
    )
