"""A chunk of jets of a public file, and its conversion: cleaned, ordered, made relative."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from omnilearn.data.spec import KINEMATIC_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.kinematics import (
    count_clipped,
    delta_phi,
    from_cartesian,
    invariant_mass,
    relative_features,
    to_cartesian,
)

CHUNK_ROWS = 4096  # jets read at a time; bounds the memory of a run
MOMENTUM_LIMIT = 1e8  # GeV; above any collider, and its square is far from overflow
ETA_LIMIT = 20.0
PHI_LIMIT = 7.0  # a jet's phi may run from -pi to pi or from 0 to 2 pi
HIGHEST_CHARGE = 2  # of a hadron
# the sum of the constituents over their jet, which may be calibrated, groomed or cut to its slots
SUM_LIMITS = {"pt": (1 / 3, 3.0), "energy": (1 / 3, 3.0), "mass": (1 / 5, 5.0)}
LEAST_MASS = 1.0  # GeV, of a sum; the mass of a jet of one constituent has no ratio
LEAST_ENERGY = 0.9  # over the momentum of a constituent; the rest is rounding
LEAST_JETS = 100  # with a median that means something
OTHER_UNIT = 100.0  # times the range of pt of a dataset: jets beyond it are in MeV or TeV
MOST_OF_OTHER_UNIT = 0.01  # of the jets of a chunk; single ones may be soft


@dataclass
class JetChunk:
    """Rows of one public file, in file order; GeV and radians. A row is a jet, or an event.

    The `spec.jets_per_row` jets of an event are consecutive, level after level. Constituents are
    not yet sorted, cut to the slots or relative.
    """

    constituents: np.ndarray  # (constituents of all jets, 4): pt, eta, phi, energy
    counts: np.ndarray  # (jets,) constituents per jet; slots with pt = 0 may be among them
    jet: np.ndarray  # (jets, 4): pt, eta, phi, energy
    label: np.ndarray  # (rows,) class number
    rows: np.ndarray  # (rows,) number of each row in its file, counted from 0
    identity: np.ndarray | None = None  # (constituents, 1 or 6): charge, identity flags
    weight: np.ndarray | None = None  # (rows,)
    observables: np.ndarray | None = None  # (rows, levels, observables)
    constituent_extra: np.ndarray | None = None  # (constituents, spec.constituent_extra), any value
    jet_extra: np.ndarray | None = None  # (jets, spec.jet_extra), any value
    rejected: dict[str, int] = field(default_factory=dict)  # rows a reader left out, by reason
    selection: tuple[str, ...] = ()  # the cuts of a reader, in words
    # the end of messages about impossible values
    advice: str = "the file is damaged or of another layout, download it again"

    def take(self, selected: np.ndarray) -> "JetChunk":
        """The rows marked in `selected` (rows,); `rejected` and `selection` stay."""
        jets = np.repeat(selected, len(self.counts) // max(1, len(selected)))
        constituents = np.repeat(jets, self.counts)
        masks = {
            **dict.fromkeys(("label", "rows", "weight", "observables"), selected),
            **dict.fromkeys(("counts", "jet", "jet_extra"), jets),
            **dict.fromkeys(("constituents", "identity", "constituent_extra"), constituents),
        }
        arrays = {name: getattr(self, name) for name in masks}
        taken = {name: a[masks[name]] for name, a in arrays.items() if a is not None}
        return replace(self, **taken)

    def further_columns(self, spec: DatasetSpec) -> np.ndarray:
        """Identity and extra columns (constituents, columns) beside the momenta.

        Extra columns of `spec` that the reader lacks are NaN.
        """
        extra = self.constituent_extra
        if extra is None:
            shape = (len(self.constituents), len(spec.constituent_extra))
            extra = np.full(shape, np.nan, np.float32)
        return extra if self.identity is None else np.concatenate([self.identity, extra], axis=1)


def summed_jets(cartesian: np.ndarray, owner: np.ndarray, jets: int) -> np.ndarray:
    """Sums (jets, 4) pt, eta, phi, energy of the px, py, pz, energy (n, 4) of jets `owner` (n,)."""
    sums = [np.bincount(owner, component, jets) for component in cartesian.T]
    return from_cartesian(np.stack(sums, axis=-1))


def record_type(spec: DatasetSpec) -> np.dtype:
    """The stored quantities of a row, without its constituents."""
    jets, levels = spec.jets_per_row, max(1, len(spec.levels))
    return np.dtype(
        [
            ("jet", "f4", (jets, len(spec.jet_features))),
            ("label", "i4"),
            ("weight", "f4"),
            ("multiplicity", "i4", (jets,)),  # all constituents
            ("kept", "i4", (jets,)),  # those that fit into the slots
            ("observables", "f4", (levels, len(spec.observables))),
            ("jet_extra", "f8", (jets, len(spec.jet_extra))),
            ("source", "i4", (2,)),  # index of the public file, row in it
        ]
    )


@dataclass
class PreparedJets:
    """Converted rows, without padding."""

    records: np.ndarray  # (rows,) record_type(spec)
    features: np.ndarray  # (kept constituents of all jets, spec.constituent_columns) float32
    clipped: int = 0
    dropped_empty: int = 0

    @property
    def kept(self) -> np.ndarray:
        """Kept constituents of all jets of each row (rows,)."""
        return self.records["kept"].sum(axis=1, dtype=np.int64)

    def take(self, order: np.ndarray) -> "PreparedJets":
        """The rows at `order`, with their constituents."""
        kept = self.kept
        starts = np.cumsum(kept) - kept
        records, kept, starts = self.records[order], kept[order], starts[order]
        new_starts = np.cumsum(kept) - kept
        index = np.repeat(starts - new_starts, kept) + np.arange(kept.sum())
        return PreparedJets(records, self.features[index])


def prepare(chunk: JetChunk, spec: DatasetSpec, path: Path) -> PreparedJets:
    """Drop empty rows, order constituents by falling pt, keep the hardest, make them relative.

    A row with levels is empty when no level is complete; with one level, when a jet is.
    Raises UserError naming `path` and the row of a jet without momentum or with an unknown label.
    """
    jets = len(chunk.counts)
    owner = np.repeat(np.arange(jets), chunk.counts)
    constituents, further = chunk.constituents, chunk.further_columns(spec)
    real = constituents[:, 0] > 0
    if not real.all():
        constituents, further, owner = constituents[real], further[real], owner[real]
    multiplicity = np.bincount(owner, minlength=jets)
    require_physical(chunk, constituents, owner, multiplicity > 0, spec, path)
    if chunk.identity is not None:
        require_identity(chunk, further[:, : chunk.identity.shape[1]], owner, path)
    shape = (len(chunk.label), max(1, len(spec.levels)), spec.jets_per_event)
    filled = (multiplicity > 0).reshape(shape).all(axis=2)  # (rows, levels)
    # an event that lacks a jet at a level has none there
    complete = np.repeat(filled, spec.jets_per_event)
    if (multiplicity[~complete] > 0).any():
        in_complete = complete[owner]
        constituents, further = constituents[in_complete], further[in_complete]
        owner = owner[in_complete]
        multiplicity = multiplicity * complete

    pt = constituents[:, 0]
    if ((pt[1:] > pt[:-1]) & (owner[1:] == owner[:-1])).any():
        order = np.lexsort((-pt, owner))  # stable: equal pt stay in file order
        constituents, further, owner = constituents[order], further[order], owner[order]
    kept = np.minimum(multiplicity, spec.max_constituents)
    if (kept < multiplicity).any():
        rank = np.arange(len(owner)) - (np.cumsum(multiplicity) - multiplicity)[owner]
        hardest = rank < spec.max_constituents
        constituents, further, owner = constituents[hardest], further[hardest], owner[hardest]

    kinematic = len(KINEMATIC_FEATURES)
    features = np.empty((len(owner), spec.constituent_columns), dtype=np.float32)
    features[:, :kinematic] = relative_features(constituents[:, None], chunk.jet[owner])[:, 0]
    if spec.constituent_columns > kinematic:
        features[:, kinematic:] = further

    rows = filled.any(axis=1)
    records = np.zeros(len(rows), dtype=record_type(spec))
    jet_features = {
        "jet_pt": chunk.jet[:, 0],
        "jet_eta": chunk.jet[:, 1],
        "jet_phi": chunk.jet[:, 2],
        "jet_mass": invariant_mass(chunk.jet),
        "multiplicity": multiplicity,
    }
    for column, name in enumerate(spec.jet_features):
        values = np.where(complete, jet_features[name], 0)
        records["jet"][..., column] = values.reshape(len(rows), spec.jets_per_row)
    records["multiplicity"] = multiplicity.reshape(len(rows), spec.jets_per_row)
    records["kept"] = kept.reshape(len(rows), spec.jets_per_row)
    records["label"] = chunk.label
    records["weight"] = 1.0 if chunk.weight is None else chunk.weight
    if chunk.observables is not None:
        records["observables"] = chunk.observables
    records["jet_extra"] = np.nan
    if chunk.jet_extra is not None:
        records["jet_extra"] = chunk.jet_extra.reshape(records["jet_extra"].shape)
    records["source"][:, 1] = chunk.rows
    return PreparedJets(
        records[rows], features, count_clipped(features), int(np.count_nonzero(~rows))
    )


def require_gev(
    jet_pt: np.ndarray,
    spec: DatasetSpec,
    path: Path,
    advice: str = "is this file of another dataset?",
) -> None:
    """Raise UserError when the median of jet_pt (jets,) lies far outside the dataset's range.

    advice: the end of its message where the unit is not the cause.
    """
    low, high = spec.jet_pt_range
    median = float(np.median(jet_pt))
    if low / 2 <= median <= 2 * high:  # the median of a few jets fluctuates
        return
    hint = f"; {advice}"
    if median >= OTHER_UNIT * high:
        hint = "; it looks like MeV, divide the momenta by 1000"
    elif median <= low / OTHER_UNIT:
        hint = "; it looks like TeV, multiply the momenta by 1000"
    raise UserError(
        f"{path}: the median jet pt is {median:g}, but jets of {spec.title} have "
        f"{low:g}-{high:g} GeV{hint}"
    )


def require_one_unit(
    jet_pt: np.ndarray,
    rows: np.ndarray,
    spec: DatasetSpec,
    path: Path,
    is_first: bool,
    row: str = "jet",
) -> None:
    """Raise UserError where some of jet_pt (jets,) are in another unit than the rest of the file.

    rows (jets,): their numbers in the file; `row` is the word for one. is_first: nothing was read
    before, so that the unit of most jets is that of the file; `require_gev` decides whether it is
    GeV.
    """
    low, high = spec.jet_pt_range
    above = (jet_pt > OTHER_UNIT * high) & (jet_pt < MOMENTUM_LIMIT)
    below = (jet_pt > 0) & (jet_pt < low / OTHER_UNIT)
    unit: np.ndarray = above.astype(int) - below
    usual = np.bincount(unit + 1, minlength=3).argmax() - 1 if is_first else 0
    other: np.ndarray = unit != usual
    if np.count_nonzero(other) > max(1, MOST_OF_OTHER_UNIT * len(jet_pt)):
        raise UserError(
            f"{path}: the file mixes units: the pt of {row} {rows[np.argmax(other)]} (counted from "
            "0) and others is about 1000 times smaller or larger than that of most; write it again "
            "with all momenta in one unit, as in the public files"
        )


def require_consistent(chunk: JetChunk, spec: DatasetSpec, path: Path) -> None:
    """Raise UserError where the constituents do not add up to about their jets, in the median.

    It notices units and columns that differ between both, angles in degrees, and jets in another
    order than their constituents. Constituents of impossible eta are left to `require_physical`.
    """
    owner = np.repeat(np.arange(len(chunk.counts)), chunk.counts)
    real = (chunk.constituents[:, 0] > 0) & (np.abs(chunk.constituents[:, 1]) <= ETA_LIMIT)
    pt, eta, _, energy = chunk.constituents[real].T
    summed = summed_jets(to_cartesian(chunk.constituents[real]), owner[real], len(chunk.counts))
    filled = (summed[:, 0] > 0) & (chunk.jet[:, 0] > 0)
    if not filled.any():
        return
    summed, jet = summed[filled], chunk.jet[filled]
    angles = summed[:, 1] - jet[:, 1], delta_phi(summed[:, 2], jet[:, 2])
    distance = float(np.median(np.hypot(*angles)))
    if not distance <= spec.jet_radius / 2:
        raise UserError(
            f"{path}: the sum of the constituents is {distance:.3g} away from their jet in eta and "
            "phi (median), expected about 0; both must be in radians, in the columns of the public "
            "files, and jets in the order of their constituents"
        )
    expected = "expected about 1; both must be in the same unit, in the columns of the public files"
    mass = invariant_mass(summed)
    massive = mass > LEAST_MASS
    sums = {
        "pt": (summed[:, 0], jet[:, 0]),
        "energy": (summed[:, 3], jet[:, 3]),
        "mass": (mass[massive], invariant_mass(jet)[massive]),
    }
    for name, (of_sum, of_jet) in sums.items():
        low, high = SUM_LIMITS[name]
        with np.errstate(divide="ignore"):  # of a jet whose rounded mass is 0
            ratio = float(np.median(of_sum / of_jet)) if len(of_jet) else 1.0
        if not low <= ratio <= high:
            raise UserError(
                f"{path}: the sum of the constituents has {ratio:.3g} times the {name} of their "
                f"jet (median), {expected}"
            )
    ratio = float(np.median(energy / (pt * np.cosh(eta))))
    if not ratio >= LEAST_ENERGY:
        raise UserError(
            f"{path}: the energy of a constituent is {ratio:.3g} times its momentum (median), "
            f"{expected}"
        )


def require_physical(
    chunk: JetChunk,
    constituents: np.ndarray,
    owner: np.ndarray,
    filled: np.ndarray,
    spec: DatasetSpec,
    path: Path,
) -> None:
    """Raise UserError for the first jet with constituents but an impossible momentum or label."""
    limit = np.array([MOMENTUM_LIMIT, ETA_LIMIT, PHI_LIMIT, MOMENTUM_LIMIT])
    good_jet = (np.abs(chunk.jet) < limit).all(axis=1) & (chunk.jet[:, [0, 3]] > 0).all(axis=1)
    refuse(filled & ~good_jet, "has an impossible jet pt, eta, phi or energy", chunk, path)
    bad_label = (chunk.label < 0) | (chunk.label >= spec.num_classes)
    refuse(bad_label, f"has a label outside 0-{spec.num_classes - 1}", chunk, path)
    possible = (np.abs(constituents) < limit).all(axis=1) & (constituents[:, 3] > 0)
    bad = np.bincount(owner[~possible], minlength=len(filled)) > 0
    refuse(bad, "has a constituent of impossible pt, eta, phi or energy", chunk, path)
    for name in ("weight", "observables"):
        values = getattr(chunk, name)
        if values is not None:
            fits = np.abs(values) <= np.finfo(np.float32).max
            bad = ~fits.all(axis=tuple(range(1, values.ndim)))
            refuse(bad, f"has {name} that are not finite in float32", chunk, path)


def require_identity(chunk: JetChunk, identity: np.ndarray, owner: np.ndarray, path: Path) -> None:
    """Raise UserError for the first jet with a charge or flag (constituents, 1 or 6) that no
    particle has, such as a filler."""
    charge, flags = identity[:, 0], identity[:, 1:]
    known = np.abs(charge) <= HIGHEST_CHARGE
    known &= ((flags == 0) | (flags == 1)).all(axis=1)
    bad = np.bincount(owner[~known], minlength=len(chunk.counts)) > 0
    problem = f"has a constituent of a charge above {HIGHEST_CHARGE} or a flag other than 0 and 1"
    refuse(bad, problem, chunk, path)


def refuse(bad: np.ndarray, problem: str, chunk: JetChunk, path: Path) -> None:
    """Raise UserError about the first row marked in `bad` (rows,) or (jets,)."""
    if bad.any():
        row = chunk.rows[int(np.argmax(bad)) * len(chunk.rows) // len(bad)]
        unit = "jet" if len(chunk.counts) == len(chunk.rows) else "event"
        raise UserError(f"{path}: {unit} {row} (counted from 0) {problem}; {chunk.advice}")
