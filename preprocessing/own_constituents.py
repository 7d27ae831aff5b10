"""Converts constituents in awkward, vector, NumPy or lists to flat four-momenta.

A missing constituent (None, an option type, a mask) is an empty slot. Nothing is guessed: an
unknown field is refused by its name.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import awkward as ak
import numpy as np

from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian
from preprocessing.jet_chunk import ETA_LIMIT, MOMENTUM_LIMIT, PHI_LIMIT

MOMENTUM = ("pt", "eta", "phi", "energy")
CARTESIAN = ("px", "py", "pz")
PDG_ID = "pdg_id"
# known names of each quantity, without capitals and underscores -> our name
NAMES = {
    **{name: name for name in ("pt", "eta", "phi", *CARTESIAN, "energy", "mass")},
    "e": "energy",
    "m": "mass",
    "pdgid": PDG_ID,
}
VECTORS = ("Momentum4D", "Vector4D")  # records of the package vector
# coordinates of the package vector, whose properties give ours
OF_VECTORS = {*MOMENTUM, *CARTESIAN, "x", "y", "z", "t", "rho", "theta", "tau", "e", "m", "mass"}
EXPECTED = (
    "expected awkward jets of records pt, eta, phi, energy (or mass; or px, py, pz, energy) and "
    "perhaps pdg_id, four-vectors of the package vector, a list of such jets, or a NumPy array "
    "(jets, slots, 4) of pt, eta, phi, energy, or 5 with the PDG id; one jet is [jet]"
)

# what awkward and NumPy raise for such input
UNEXPECTED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
PART_JETS = 16384  # converted together

Columns = dict[str, np.ma.MaskedArray]  # name -> (constituents,), masked where missing


@dataclass(frozen=True)
class Constituents:
    """All constituents of all jets, jet after jet, without empty slots; GeV and radians."""

    momenta: np.ndarray  # (constituents, 4) float64: pt above 0, eta, phi, energy
    pdg_id: np.ndarray | None  # (constituents,)
    counts: np.ndarray  # (jets,)


def constituents_of(jets) -> Constituents:
    """The constituents of `jets` in any of the forms of EXPECTED; raises UserError for others.

    A constituent that is missing (None, or masked) is an empty slot, as one with pt = 0; missing
    jets and constituents with a missing component are refused. Arrays and lists are converted part
    by part, so that memory holds one copy of the constituents and no empty slots.
    """
    jets = list(jets) if isinstance(jets, Iterator) else jets
    is_sequence = isinstance(jets, list | tuple) or getattr(jets, "ndim", 0) > 0
    if not is_sequence or len(jets) <= PART_JETS:
        return converted(jets)
    try:
        starts = range(0, len(jets), PART_JETS)
        parts = [converted(jets[first : first + PART_JETS]) for first in starts]
    except UserError:
        return converted(jets)  # its message counts all jets
    if len({part.pdg_id is None for part in parts}) > 1:
        return converted(jets)
    momenta, counts = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("momenta", "counts")
    )
    pdg_ids = [part.pdg_id for part in parts if part.pdg_id is not None]
    return Constituents(momenta, np.concatenate(pdg_ids) if pdg_ids else None, counts)


def converted(jets) -> Constituents:
    """As `constituents_of`, all jets at once."""
    with one_sentence_errors():
        columns, counts = columns_of(jets)
    if not len(counts):
        raise UserError("constituents: no jets; at least a few are needed")
    columns = standard_names(columns)
    stored_id, pdg_id = columns.pop(PDG_ID, None), None
    columns = {key: as_floats(key, values) for key, values in columns.items()}
    momenta, missing = momenta_of(columns, counts)
    real = momenta[:, 0] > 0
    if stored_id is not None:
        unknown = np.ma.getmaskarray(stored_id) & ~missing & real
        refuse(unknown, counts, f"has a constituent without {PDG_ID}")
        # empty slots may be filled with any number
        pdg_id = as_floats(PDG_ID, stored_id).filled(0)[real]
    require_momenta(momenta, counts)
    owner = np.repeat(np.arange(len(counts)), counts)[real]
    return Constituents(momenta[real], pdg_id, np.bincount(owner, minlength=len(counts)))


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """Turn exceptions of awkward and NumPy about unexpected input into a UserError."""
    try:
        yield
    except UserError:
        raise
    except UNEXPECTED as error:
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"constituents: not understood ({message}); {EXPECTED}") from error


def columns_of(jets) -> tuple[Columns, np.ndarray]:
    """Name -> numbers (constituents,), masked where missing, and counts (jets,)."""
    if isinstance(jets, ak.Array):
        return columns_of_awkward(jets)
    if isinstance(jets, Mapping):  # a ROOT tree with library="np", a dictionary of lists
        fields = {key: to_awkward(values) for key, values in jets.items()}
        return columns_of_awkward(ak.zip(fields, depth_limit=1))
    if column_names(jets):  # structured, as the NumPy arrays of vector are; a table of pandas
        return columns_of_awkward(records_of(jets))
    if not isinstance(jets, np.ndarray) and not isinstance(jets, list | tuple):
        jets = jets.to_numpy() if hasattr(jets, "to_numpy") else np.asanyarray(jets)
    if isinstance(jets, list | tuple) or (jets.dtype == object and jets.ndim == 1):
        return columns_of_jets(list(jets))
    if jets.ndim != 3 or jets.shape[2] not in (4, 5) or jets.dtype.kind not in "iuf":
        raise UserError(f"constituents: shape {jets.shape} of {jets.dtype}; {EXPECTED}")
    flat = np.ma.asarray(jets.reshape(-1, jets.shape[2]))
    return by_name(flat), np.full(len(jets), jets.shape[1])


def column_names(table) -> list[str]:
    """Names of the columns of a structured array or a table of pandas; empty for anything else."""
    if isinstance(table, ak.Array):
        return []
    names = getattr(getattr(table, "dtype", None), "names", None)
    return [*(getattr(table, "columns", ()) if names is None else names)]


def records_of(table) -> ak.Array:
    """A structured array or a table of pandas as records: its columns by their names."""
    fields = {str(key): to_awkward(np.asanyarray(table[key])) for key in column_names(table)}
    is_vector = type(table).__module__.startswith("vector")
    return ak.zip(fields, depth_limit=1, with_name="Momentum4D" if is_vector else None)


def momentum_of(vector) -> dict[str, float] | None:
    """The components of a four-vector of the package vector; None for None."""
    return None if vector is None else {key: getattr(vector, key) for key in MOMENTUM}


def by_name(flat: np.ma.MaskedArray) -> Columns:
    """The columns of an array (constituents, 4 or 5) by their names."""
    return dict(zip((*MOMENTUM, PDG_ID), flat.T, strict=False))


def to_awkward(values) -> ak.Array:
    """Lists, object arrays and masked arrays as awkward arrays."""
    if isinstance(values, ak.Array):
        return values
    if isinstance(values, np.ma.MaskedArray):
        regular = to_awkward(values.data)
        return ak.mask(regular, ak.from_numpy(~np.ma.getmaskarray(values)))
    if isinstance(values, np.ndarray) and values.dtype != object:
        return ak.from_numpy(values.astype(values.dtype.newbyteorder("="), copy=False))
    return ak.from_iter(values)


def columns_of_jets(jets: list) -> tuple[Columns, np.ndarray]:
    """A list with one entry per jet: an array (constituents, 4 or 5), or a list of records."""
    for row, jet in enumerate(jets):
        if jet is None or jet is np.ma.masked:
            raise UserError(f"constituents: jet {row} (counted from 0) is missing")
    jets = [records_of(jet) if column_names(jet) else jet for jet in jets]
    first = next((item for jet in jets for item in list(jet)[:1] if item is not None), None)
    if type(first).__module__.startswith("vector.backends.object"):
        return columns_of_awkward(
            ak.from_iter([[momentum_of(each) for each in jet] for jet in jets])
        )
    if hasattr(first, "_asdict"):  # named tuples, as pandas gives the rows of a table
        jets = [[None if each is None else each._asdict() for each in jet] for jet in jets]
        first = {}
    if isinstance(first, Mapping) or any(isinstance(jet, Mapping) for jet in jets):
        return columns_of_awkward(ak.from_iter(jets))
    if any(isinstance(jet, ak.Array) and jet.fields for jet in jets):
        return columns_of_awkward(ak.concatenate([jet[np.newaxis] for jet in jets]))
    arrays, counts = [], np.zeros(len(jets), np.int64)
    for row, jet in enumerate(jets):
        if isinstance(jet, list | tuple):
            jet = [constituent for constituent in jet if constituent is not None]
        jet = np.ma.asarray(ak.to_numpy(jet) if isinstance(jet, ak.Array) else jet)
        if jet.size == 0:
            continue
        if jet.ndim != 2 or jet.shape[1] not in (4, 5) or jet.dtype.kind not in "iuf":
            raise UserError(
                f"constituents: jet {row} (counted from 0) has shape {jet.shape} of "
                f"{jet.dtype}; {EXPECTED}"
            )
        arrays.append(jet)
        counts[row] = len(jet)
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        raise UserError(f"constituents: some jets have 4 columns, others 5; {EXPECTED}")
    flat = np.ma.concatenate([np.ma.zeros((0, max(widths, default=4))), *arrays])
    return by_name(flat), counts


def columns_of_awkward(array: ak.Array) -> tuple[Columns, np.ndarray]:
    """The fields of jets of records, or of records of lists as a ROOT tree has them."""
    columns = fields_of(array)
    if not columns and array.ndim == 3:  # lists of four or five numbers
        require_jets(array)
        flat = np.ma.asarray(ak.to_numpy(ak.flatten(array, axis=1), allow_missing=True))
        if flat.ndim == 2 and flat.shape[1] in (4, 5):
            return by_name(flat), plain_counts(ak.num(array, axis=1)).astype(np.int64)
    if not columns:
        raise UserError(f"constituents: no record with {array.ndim} axes; {EXPECTED}")
    for key, values in columns.items():
        require_jets(values)
        if values.ndim != 2:
            names = ", ".join(columns)
            raise UserError(f"constituents: {names} with {values.ndim} axes in {key}; {EXPECTED}")
    counts = {key: plain_counts(ak.num(values, axis=1)) for key, values in columns.items()}
    first = next(iter(counts.values()))
    for key, count in counts.items():
        if (count != first).any():
            row = int(np.argmax(count != first))
            raise UserError(
                f"constituents: {', '.join(columns)} differ in length in jet {row} (counted from "
                f"0), {key} has {count[row]}; {EXPECTED}"
            )
    flat = {
        key: np.ma.asarray(ak.to_numpy(ak.flatten(values, axis=1), allow_missing=True))
        for key, values in columns.items()
    }
    return flat, first.astype(np.int64)


def fields_of(array: ak.Array) -> dict[str, ak.Array]:
    """Every field of the records, those of vectors as pt, eta, phi and energy."""
    if array.layout.purelist_parameter("__record__") not in VECTORS:
        return {key: array[key] for key in array.fields}
    from vector.backends.awkward import behavior  # only here, since the import takes a second

    vectors = ak.with_name(ak.Array(array.layout, behavior=dict(behavior)), "Momentum4D")
    others = [key for key in array.fields if key.lower() not in OF_VECTORS]
    return {
        **{key: getattr(vectors, key) for key in MOMENTUM},
        **{key: array[key] for key in others},
    }


def require_jets(array: ak.Array) -> None:
    """Raise UserError for the first missing jet."""
    missing = np.asarray(ak.to_numpy(ak.is_none(array, axis=0)))
    if missing.any():
        raise UserError(
            f"constituents: jet {int(np.argmax(missing))} (counted from 0) is missing (None, or "
            f"masked), and {int(missing.sum()) - 1} more; leave such jets out, with their labels"
        )


def plain_counts(counts) -> np.ndarray:
    """Counts (jets,) without an option type, which a mask of jets adds."""
    return np.asarray(ak.to_numpy(counts, allow_missing=True))


def standard_names(columns: Columns) -> Columns:
    """The columns by our names; raises UserError for an unknown, doubled or missing one."""
    names = {field: NAMES.get(field.lower().replace("_", "")) for field in columns}
    known = [field for field, name in names.items() if name]
    momenta = [{*three, last} for three in (MOMENTUM[:3], CARTESIAN) for last in ("energy", "mass")]
    renamed: Columns = {}
    for key, values in columns.items():
        name = names[key]
        if name is None:
            is_whole = {names[field] for field in known} - {PDG_ID} in momenta
            mend = f"leave it out, for instance with constituents[{known}]; " if is_whole else ""
            raise UserError(f"constituents: the field {key!r} is not known; {mend}{EXPECTED}")
        if name in renamed:
            raise UserError(f"constituents: {name} is there twice, once as {key!r}; keep one")
        renamed[name] = values
    if set(renamed) - {PDG_ID} not in momenta:
        raise UserError(
            f"constituents: {', '.join(columns)} with 2 axes are not one four-momentum; {EXPECTED}"
        )
    return renamed


def as_floats(key: str, values: np.ndarray) -> np.ma.MaskedArray:
    """Float64 values (constituents,), masked where missing."""
    values = np.ma.asarray(values)
    if values.dtype.kind not in "biuf":
        raise UserError(f"constituents: {key} holds {values.dtype}; numbers are expected")
    return np.ma.asarray(values.astype(np.float64))


def momenta_of(columns: Columns, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """pt, eta, phi, energy (constituents, 4), zeros where missing, and the missing (constituents,).

    Raises UserError for a constituent of which some components are missing.
    """
    masks = {key: np.ma.getmaskarray(values) for key, values in columns.items()}
    size = "pt" if "pt" in columns else "px"
    missing = masks[size]
    for key, mask in masks.items():
        incomplete = mask & ~missing & (columns[size].filled(0) != 0)
        refuse(incomplete, counts, f"has a constituent with {size} but without {key}")
        missing = missing | mask
    filled = {key: np.where(missing, 0.0, values.filled(0)) for key, values in columns.items()}
    with np.errstate(over="ignore", invalid="ignore"):
        if "px" in filled:
            px, py, pz = (filled[key] for key in CARTESIAN)
            momentum = np.sqrt(px**2 + py**2 + pz**2)
        else:
            momentum = filled["pt"] * np.cosh(filled["eta"])
        energy = filled.get("energy")
        if energy is None:  # a negative mass is a rounded zero, or refused by require_momenta
            mass = filled["mass"]
            energy = np.sqrt(np.maximum(momentum**2 + mass * np.abs(mass), 0.0))
        if "px" in filled:
            return from_cartesian(np.stack([px, py, pz, energy], axis=-1)), missing
    return np.stack([*(filled[key] for key in MOMENTUM[:3]), energy], axis=-1), missing


def require_momenta(momenta: np.ndarray, counts: np.ndarray) -> None:
    """Raise UserError for the first constituent that is no four-momentum in GeV and radians."""
    finite = np.isfinite(momenta).all(axis=1)
    pt, eta, phi, energy = np.where(finite[:, None], momenta, 0.0).T
    with np.errstate(over="ignore", invalid="ignore"):  # of an eta of -999 in an empty slot
        momentum = pt * np.cosh(eta)
    for bad, problem in (
        (~finite, "a number that is not finite; empty slots are filled with 0"),
        (pt < 0, "a negative pt; empty slots are filled with 0"),
        ((pt > 0) & (np.abs(phi) >= PHI_LIMIT), "a phi beyond 2 pi; radians are expected"),
        ((pt > 0) & (np.abs(eta) >= ETA_LIMIT), f"an abs(eta) beyond {ETA_LIMIT:g}; leave it out"),
        (np.maximum(pt, energy) >= MOMENTUM_LIMIT, f"{MOMENTUM_LIMIT:g} GeV or more"),
        (
            (pt > 0) & (energy < 0.99 * momentum),
            "less energy than momentum; the order is pt, eta, phi, energy",
        ),
    ):
        refuse(bad, counts, f"has {problem}")


def refuse(bad: np.ndarray, counts: np.ndarray, problem: str) -> None:
    """Raise UserError about the jet of the first constituent marked in `bad` (constituents,)."""
    if bad.any():
        row = int(np.searchsorted(np.cumsum(counts), np.argmax(bad), side="right"))
        raise UserError(f"constituents: jet {row} (counted from 0) {problem}")
