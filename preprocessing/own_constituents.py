"""Constituents as physicists hold them: awkward, vector, NumPy, lists; flat four-momenta come out.

What is not there - None, an option type, a mask - is no constituent. Nothing is guessed: a field
that is not understood is named.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import awkward as ak
import numpy as np

from omnilearn.errors import UserError
from omnilearn.kinematics import from_cartesian
from preprocessing.jet_chunk import PHI_LIMIT

MOMENTUM = ("pt", "eta", "phi", "energy")
CARTESIAN = ("px", "py", "pz")
PDG_ID = "pdg_id"
# what each quantity may be called; without regard to capitals and underscores
NAMES = {
    **{name: name for name in ("pt", "eta", "phi", *CARTESIAN, "energy", "mass")},
    "e": "energy",
    "m": "mass",
    "pdgid": PDG_ID,
}
VECTORS = ("Momentum4D", "Vector4D")  # records of the package vector
# coordinates of a vector in its own words, which its properties turn into ours
OF_VECTORS = (
    "x",
    "y",
    "z",
    "t",
    "rho",
    "theta",
    "tau",
    "pt",
    "eta",
    "phi",
    "px",
    "py",
    "pz",
    "e",
    "energy",
    "m",
    "mass",
)
EXPECTED = (
    "expected awkward jets of records pt, eta, phi, energy (or mass; or px, py, pz, energy) and "
    "perhaps pdg_id, four-vectors of the package vector, a list of such jets, or a NumPy array "
    "(jets, slots, 4) of pt, eta, phi, energy, or 5 with the PDG id"
)

Columns = dict[str, np.ma.MaskedArray]  # name -> (constituents,), masked where missing


@dataclass(frozen=True)
class Constituents:
    """All constituents of all jets, one jet behind the other; GeV and radians."""

    momenta: np.ndarray  # (constituents, 4): pt, eta, phi, energy; pt = 0 is an empty slot
    pdg_id: np.ndarray | None  # (constituents,)
    counts: np.ndarray  # (jets,) constituents and empty slots


def constituents_of(given) -> Constituents:
    """Whatever is `given` in any of the forms of EXPECTED; raises UserError saying what is wrong.

    A constituent that is missing (None, or behind a mask) becomes an empty slot; a jet that is
    missing, and a constituent of which a part is missing, are refused.
    """
    with understood():
        columns, counts = columns_of(given)
    if not len(counts):
        raise UserError("constituents: no jets; at least a few are needed")
    columns = named(columns)
    pdg_id = columns.pop(PDG_ID, None)
    columns = {key: numbers(key, values) for key, values in columns.items()}
    momenta, missing = momenta_of(columns, counts)
    if pdg_id is not None:
        unknown = np.ma.getmaskarray(pdg_id) & ~missing & (momenta[:, 0] > 0)
        refuse(unknown, counts, f"has a constituent without {PDG_ID}")
        pdg_id = numbers(PDG_ID, pdg_id).filled(0)
    require_momenta(momenta, counts)
    return Constituents(momenta, pdg_id, counts)


@contextmanager
def understood() -> Iterator[None]:
    """Turn what awkward and NumPy say about odd input into a sentence about it."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"constituents: not understood ({said}); {EXPECTED}") from error


def columns_of(given) -> tuple[Columns, np.ndarray]:
    """Name -> numbers (constituents,), masked where missing, and counts (jets,)."""
    if isinstance(given, ak.Array):
        return columns_of_awkward(given)
    if isinstance(given, Mapping):  # a ROOT tree with library="np", a dictionary of lists
        return columns_of_awkward(
            ak.zip({key: awkward(values) for key, values in given.items()}, depth_limit=1)
        )
    if not isinstance(given, np.ndarray) and not isinstance(given, list | tuple):
        given = given.to_numpy() if hasattr(given, "to_numpy") else np.asanyarray(given)
    if isinstance(given, list | tuple) or (given.dtype == object and given.ndim == 1):
        return columns_of_jets(list(given))
    if given.dtype.names:  # structured, as the NumPy arrays of vector are
        return columns_of_awkward(
            ak.zip(
                {key: awkward(given[key]) for key in given.dtype.names},
                with_name="Momentum4D" if type(given).__module__.startswith("vector") else None,
            )
        )
    if given.ndim != 3 or given.shape[2] not in (4, 5) or given.dtype.kind not in "iuf":
        raise UserError(f"constituents: shape {given.shape} of {given.dtype}; {EXPECTED}")
    flat = np.ma.asarray(given.reshape(-1, given.shape[2]))
    return by_name(flat), np.full(len(given), given.shape[1])


def by_name(flat: np.ma.MaskedArray) -> Columns:
    """The columns (constituents, 4 or 5) of a plain array by their names."""
    return dict(zip((*MOMENTUM, PDG_ID), flat.T, strict=False))


def awkward(values) -> ak.Array:
    """Lists, object arrays and masked arrays as awkward arrays."""
    if isinstance(values, ak.Array):
        return values
    if isinstance(values, np.ma.MaskedArray):
        regular = ak.from_numpy(values.data)
        return ak.mask(regular, ak.from_numpy(~np.ma.getmaskarray(values)))
    if isinstance(values, np.ndarray) and values.dtype != object:
        return ak.from_numpy(values)
    return ak.from_iter(values)


def columns_of_jets(jets: list) -> tuple[Columns, np.ndarray]:
    """A list with one entry per jet: an array (constituents, 4 or 5), or a list of records."""
    for row, jet in enumerate(jets):
        if jet is None or jet is np.ma.masked:
            raise UserError(f"constituents: jet {row} (counted from 0) is missing")
    first = next((one for jet in jets for one in list(jet)[:1] if one is not None), None)
    if isinstance(first, Mapping) or any(isinstance(jet, Mapping) for jet in jets):
        return columns_of_awkward(ak.from_iter(jets))
    if any(isinstance(jet, ak.Array) and jet.fields for jet in jets):
        return columns_of_awkward(ak.concatenate([jet[np.newaxis] for jet in jets]))
    rows = []
    for number, jet in enumerate(jets):
        if isinstance(jet, list | tuple):
            jet = [one for one in jet if one is not None]
        jet = np.ma.asarray(ak.to_numpy(jet) if isinstance(jet, ak.Array) else jet)
        if jet.size == 0:
            continue
        if jet.ndim != 2 or jet.shape[1] not in (4, 5) or jet.dtype.kind not in "iuf":
            raise UserError(
                f"constituents: jet {number} (counted from 0) has shape {jet.shape} of "
                f"{jet.dtype}; {EXPECTED}"
            )
        rows.append((number, jet))
    widths = {jet.shape[1] for _, jet in rows}
    if len(widths) > 1:
        raise UserError(f"constituents: some jets have 4 columns, others 5; {EXPECTED}")
    counts = np.zeros(len(jets), np.int64)
    counts[[number for number, _ in rows]] = [len(jet) for _, jet in rows]
    flat = np.ma.concatenate([np.ma.zeros((0, max(widths, default=4))), *(jet for _, jet in rows)])
    return by_name(flat), counts


def columns_of_awkward(array: ak.Array) -> tuple[Columns, np.ndarray]:
    """The fields of jets of records, or of records of lists as a ROOT tree has them."""
    columns = fields_of(array)
    if not columns and array.ndim == 3:  # lists of four or five numbers
        require_jets(array)
        flat = np.ma.asarray(ak.to_numpy(ak.flatten(array, axis=1), allow_missing=True))
        if flat.ndim == 2 and flat.shape[1] in (4, 5):
            return by_name(flat), whole(ak.num(array, axis=1)).astype(np.int64)
    if not columns:
        raise UserError(f"constituents: no record with {array.ndim} axes; {EXPECTED}")
    for key, values in columns.items():
        require_jets(values)
        if values.ndim != 2:
            found = ", ".join(columns)
            raise UserError(f"constituents: {found} with {values.ndim} axes in {key}; {EXPECTED}")
    counts = {key: whole(ak.num(values, axis=1)) for key, values in columns.items()}
    first = next(iter(counts.values()))
    for key, number in counts.items():
        if (number != first).any():
            raise UserError(
                f"constituents: {', '.join(columns)} differ in length in jet "
                f"{int(np.argmax(number != first))} (counted from 0), {key} has "
                f"{number[np.argmax(number != first)]}; {EXPECTED}"
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
    from vector.backends.awkward import behavior  # late: it takes a second, and few need it

    vectors = ak.with_name(ak.Array(array.layout, behavior=dict(behavior)), "Momentum4D")
    others = [key for key in array.fields if key.lower() not in OF_VECTORS]
    return {
        **{key: getattr(vectors, key) for key in MOMENTUM},
        **{key: array[key] for key in others},
    }


def require_jets(array: ak.Array) -> None:
    """Raise UserError for the first jet that is not there."""
    gone = np.asarray(ak.to_numpy(ak.is_none(array, axis=0)))
    if gone.any():
        raise UserError(
            f"constituents: jet {int(np.argmax(gone))} (counted from 0) is missing (None, or "
            f"masked), and {int(gone.sum()) - 1} more; leave such jets out, with their labels"
        )


def whole(counts) -> np.ndarray:
    """Counts (jets,) without the option type that a mask of jets leaves behind."""
    return np.asarray(ak.to_numpy(counts, allow_missing=True))


def named(columns: Columns) -> Columns:
    """The columns by our names; raises UserError for one unknown, doubled, or missing."""
    found: Columns = {}
    for key, values in columns.items():
        name = NAMES.get(key.lower().replace("_", ""))
        if name is None:
            raise UserError(
                f"constituents: the field {key!r} is not known; leave it out, for instance with "
                f"constituents[[{', '.join(repr(one) for one in columns if one != key)}]]; "
                f"{EXPECTED}"
            )
        if name in found:
            raise UserError(f"constituents: {name} is there twice, once as {key!r}; keep one")
        found[name] = values
    given = set(found) - {PDG_ID}
    sets = [{*three, last} for three in (MOMENTUM[:3], CARTESIAN) for last in ("energy", "mass")]
    if given not in sets:
        raise UserError(
            f"constituents: {', '.join(columns)} with 2 axes are not one four-momentum; {EXPECTED}"
        )
    return found


def numbers(key: str, values: np.ndarray) -> np.ma.MaskedArray:
    """Float64 numbers (constituents,), masked where there are none."""
    values = np.ma.asarray(values)
    if values.dtype.kind not in "biuf":
        raise UserError(f"constituents: {key} holds {values.dtype}; numbers are expected")
    return np.ma.asarray(values.astype(np.float64))


def momenta_of(given: Columns, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """pt, eta, phi, energy (constituents, 4), zeros where missing, and which are (constituents,).

    Raises UserError for a constituent of which only a part is missing.
    """
    masks = {key: np.ma.getmaskarray(values) for key, values in given.items()}
    size = "pt" if "pt" in given else "px"
    missing = masks[size]
    for key, mask in masks.items():
        there = mask & ~missing & (given[size].filled(0) != 0)
        refuse(there, counts, f"has a constituent with {size} but without {key}")
        missing = missing | mask
    columns = {key: np.where(missing, 0.0, values.filled(0)) for key, values in given.items()}
    with np.errstate(over="ignore", invalid="ignore"):
        if "px" in columns:
            px, py, pz = (columns[key] for key in CARTESIAN)
            momentum = np.sqrt(px**2 + py**2 + pz**2)
        else:
            momentum = columns["pt"] * np.cosh(columns["eta"])
        energy = columns.get("energy")
        if energy is None:  # a negative mass is a rounded zero, or noticed below
            mass = columns["mass"]
            energy = np.sqrt(np.maximum(momentum**2 + mass * np.abs(mass), 0.0))
        if "px" in columns:
            return from_cartesian(np.stack([px, py, pz, energy], axis=-1)), missing
    return np.stack([*(columns[key] for key in MOMENTUM[:3]), energy], axis=-1), missing


def require_momenta(momenta: np.ndarray, counts: np.ndarray) -> None:
    """Raise UserError for the first constituent that is no four-momentum in GeV and radians."""
    finite = np.isfinite(momenta).all(axis=1)
    pt, eta, phi, energy = np.where(finite[:, None], momenta, 0.0).T
    with np.errstate(over="ignore"):
        momentum = pt * np.cosh(eta)
    for bad, what in (
        (~finite, "a number that is not finite; empty slots are filled with 0"),
        (pt < 0, "a negative pt"),
        ((pt > 0) & (np.abs(phi) > PHI_LIMIT), "a phi beyond 2 pi; radians are expected"),
        (
            (pt > 0) & (energy < 0.99 * momentum),
            "less energy than momentum; the order is pt, eta, phi, energy",
        ),
    ):
        refuse(bad, counts, f"has {what}")


def refuse(bad: np.ndarray, counts: np.ndarray, what: str) -> None:
    """Raise UserError about the jet of the first constituent marked in `bad` (constituents,)."""
    if bad.any():
        row = int(np.searchsorted(np.cumsum(counts), np.argmax(bad), side="right"))
        raise UserError(f"constituents: jet {row} (counted from 0) {what}")
