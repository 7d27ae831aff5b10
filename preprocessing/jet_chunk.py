"""A stretch of jets on its way from a public file to ours: cleaned, ordered, made relative."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.kinematics import count_clipped, invariant_mass, relative_features

CHUNK_ROWS = 4096  # jets read at a time: what bounds the memory of a run
MOMENTUM_LIMIT = 1e8  # GeV; no collider makes more, and its square is far from overflow
ETA_LIMIT = 20.0
PHI_LIMIT = 7.0  # a jet's phi may run from -pi to pi or from 0 to 2 pi

RECORD = np.dtype(
    [
        ("jet", "f4", (4,)),  # pt, eta, mass, multiplicity
        ("label", "i4"),
        ("weight", "f4"),
        ("multiplicity", "i4"),  # all constituents
        ("kept", "i4"),  # those that fit into the slots
    ]
)


@dataclass
class JetChunk:
    """Consecutive jets of one public file, ragged; GeV and radians.

    A reader fills it; nothing in it is sorted, cut or relative yet.
    """

    constituents: np.ndarray  # (constituents of all jets, 4): pt, eta, phi, energy
    counts: np.ndarray  # (jets,) constituents per jet; slots with pt = 0 may be among them
    jet: np.ndarray  # (jets, 4): pt, eta, phi, energy
    label: np.ndarray  # (jets,) class number
    first_row: int  # of the first jet in its file
    identity: np.ndarray | None = None  # (constituents, 1 or 6): charge, identity flags
    weight: np.ndarray | None = None  # (jets,)


@dataclass
class PreparedJets:
    """Jets as they are stored, without the padding."""

    records: np.ndarray  # (jets,) RECORD
    features: np.ndarray  # (kept constituents of all jets, features) float32
    clipped: int = 0
    dropped_empty: int = 0

    def take(self, order: np.ndarray) -> "PreparedJets":
        """The jets at `order`, with their constituents."""
        kept = self.records["kept"].astype(np.int64)
        starts = np.cumsum(kept) - kept
        records, kept, starts = self.records[order], kept[order], starts[order]
        new_starts = np.cumsum(kept) - kept
        index = np.repeat(starts - new_starts, kept) + np.arange(kept.sum())
        return PreparedJets(records, self.features[index])


def prepare(chunk: JetChunk, spec: DatasetSpec, path: Path) -> PreparedJets:
    """Drop empty jets, order constituents by falling pt, keep the hardest, make them relative.

    Raises UserError naming `path` and the row of a jet without momentum or with an unknown label.
    """
    if chunk.first_row == 0:
        require_gev(chunk.jet[:, 0], spec, path)
    jets = len(chunk.counts)
    owner = np.repeat(np.arange(jets), chunk.counts)
    constituents, identity = chunk.constituents, chunk.identity
    real = constituents[:, 0] > 0
    if not real.all():
        constituents, owner = constituents[real], owner[real]
        identity = None if identity is None else identity[real]
    multiplicity = np.bincount(owner, minlength=jets)
    filled = multiplicity > 0
    require_physical(chunk, constituents, owner, filled, spec, path)

    pt = constituents[:, 0]
    if ((pt[1:] > pt[:-1]) & (owner[1:] == owner[:-1])).any():
        order = np.lexsort((-pt, owner))  # stable: equal pt stay in file order
        constituents, owner = constituents[order], owner[order]
        identity = None if identity is None else identity[order]
    kept = np.minimum(multiplicity, spec.max_constituents)
    if (kept < multiplicity).any():
        rank = np.arange(len(owner)) - (np.cumsum(multiplicity) - multiplicity)[owner]
        hardest = rank < spec.max_constituents
        constituents, owner = constituents[hardest], owner[hardest]
        identity = None if identity is None else identity[hardest]

    features = np.empty((len(owner), spec.num_features), dtype=np.float32)
    features[:, :7] = relative_features(constituents[:, None], chunk.jet[owner])[:, 0]
    if spec.num_features > 7:
        features[:, 7:] = identity

    records = np.zeros(jets, dtype=RECORD)
    records["jet"][:, :2] = chunk.jet[:, :2]
    records["jet"][:, 2] = invariant_mass(chunk.jet)
    records["jet"][:, 3] = records["multiplicity"] = multiplicity
    records["label"] = chunk.label
    records["weight"] = 1.0 if chunk.weight is None else chunk.weight
    records["kept"] = kept
    return PreparedJets(
        records[filled], features, count_clipped(features), int(np.count_nonzero(~filled))
    )


def require_gev(jet_pt: np.ndarray, spec: DatasetSpec, path: Path) -> None:
    """Raise UserError when the median of jet_pt (jets,) lies far outside the dataset's range."""
    low, high = spec.jet_pt_range
    median = float(np.median(jet_pt))
    if low / 2 <= median <= 2 * high:  # a stretch of few jets has a loose median
        return
    hint = ""
    if median >= 100 * high:
        hint = "; the file looks like MeV, divide its momenta by 1000"
    elif median <= low / 100:
        hint = "; the file looks like TeV, multiply its momenta by 1000"
    raise UserError(
        f"{path}: the median jet pt is {median:g}, but jets of {spec.title} have "
        f"{low:g}-{high:g} GeV{hint or '; is this file of another dataset?'}"
    )


def require_physical(
    chunk: JetChunk,
    constituents: np.ndarray,
    owner: np.ndarray,
    filled: np.ndarray,
    spec: DatasetSpec,
    path: Path,
) -> None:
    """Raise UserError for the first jet that has constituents but no usable momentum or label."""
    limit = np.array([MOMENTUM_LIMIT, ETA_LIMIT, PHI_LIMIT, MOMENTUM_LIMIT])
    good_jet = (np.abs(chunk.jet) < limit).all(axis=1) & (chunk.jet[:, [0, 3]] > 0).all(axis=1)
    refuse(filled & ~good_jet, "has an impossible jet pt, eta, phi or energy", chunk, path)
    bad_label = (chunk.label < 0) | (chunk.label >= spec.num_classes)
    refuse(bad_label, f"has a label outside 0-{spec.num_classes - 1}", chunk, path)
    pt, energy = constituents[:, 0], constituents[:, 3]
    good = np.isfinite(constituents).all(axis=1) & (energy > 0)
    good &= (energy < MOMENTUM_LIMIT) & (pt < MOMENTUM_LIMIT)
    bad_constituents = np.bincount(owner[~good], minlength=len(filled)) > 0
    refuse(bad_constituents, "has a constituent of impossible pt or energy", chunk, path)
    if chunk.weight is not None:
        refuse(~np.isfinite(chunk.weight), "has a weight that is not finite", chunk, path)


def refuse(bad: np.ndarray, what: str, chunk: JetChunk, path: Path) -> None:
    """Raise UserError about the first jet marked in `bad` (jets,)."""
    if bad.any():
        row = chunk.first_row + int(np.argmax(bad))
        raise UserError(
            f"{path}: jet {row} (counted from 0) {what}; the file is damaged or of another "
            "layout, download it again"
        )
