"""Checks and converts the columns with one value per jet: class, weight, event."""

from collections.abc import Sequence

import awkward as ak
import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5_sums import as_text

# mean weights in this range are stored without a scale; float32 holds 1e-38 to 1e38
ORDINARY_WEIGHTS = (1e-6, 1e6)


def as_array(name: str, values) -> np.ndarray:
    """`values` of any kind as an array; raises UserError for the first missing value."""
    try:
        if isinstance(values, ak.Array):
            values = ak.to_numpy(values, allow_missing=True)
        values = np.ma.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: not understood ({error}); expected one for each jet") from error
    if values.ndim == 0:
        raise UserError(f"{name}: {values.item()!r} is a single value; expected one for each jet")
    if names := values.dtype.names:
        raise UserError(
            f"{name}: columns {', '.join(names)}; expected one value for each jet, for instance "
            "one of these columns"
        )
    missing = np.ma.getmaskarray(values)
    if values.dtype == object:
        is_none = np.array([is_missing(value) for value in values.ravel()])
        missing = missing | is_none.reshape(values.shape)
    if missing.any():
        jets = missing.any(axis=tuple(range(1, missing.ndim)))
        raise UserError(
            f"{name}: missing in jet {int(np.argmax(jets))} (counted from 0), and in "
            f"{int(jets.sum()) - 1} more; leave such jets out"
        )
    values = np.asarray(values.data)
    try:
        return np.array(values.tolist()) if values.dtype == object else values
    except ValueError as error:  # rows of unequal lengths
        raise UserError(f"{name}: not understood ({error}); expected one for each jet") from error


def is_missing(value) -> bool:
    """Whether this is None, numpy.ma.masked or a missing value of pandas, unequal to itself."""
    if value is None or value is np.ma.masked:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA has no truth value
        return True
    except ValueError:  # an array, such as a one-hot row
        return False


def require_numbers(name: str, values, jets: int) -> np.ndarray:
    """`values` as an array (jets,) of finite numbers; raises UserError otherwise."""
    values = as_array(name, values)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise UserError(f"{name}: shape {values.shape} of {values.dtype}; expected (jets,) numbers")
    require_length(name, values, jets)
    if not np.isfinite(values).all():
        raise UserError(
            f"{name}: not a finite number in jet {int(np.argmin(np.isfinite(values)))} (counted "
            "from 0); leave such jets out"
        )
    return values


def require_length(name: str, values: np.ndarray, jets: int) -> None:
    if len(values) != jets:
        raise UserError(f"{name}: {len(values)} of them for {jets} jets")


def class_numbers(labels, classes: Sequence[str], jets: int) -> np.ndarray:
    """Labels (jets,) counting `classes` from 0, from numbers, names of classes, or one-hot rows.

    Raises UserError for the first jet of no class, and for columns that are not named as they are.
    """
    values = as_array("label", in_order_of(classes, labels))
    if values.ndim == 2 and values.shape[1] == 1:
        is_one_hot = len(classes) == 1 and values.dtype.kind in "biuf" and (values == 1).all()
        values = np.zeros(len(values), int) if is_one_hot else values[:, 0]
    if values.dtype.kind in "SU":
        if values.ndim == 1:
            require_length("label", values, jets)
            texts = values.astype(str) if values.dtype.kind == "U" else as_text(values).astype(str)
            is_class = texts[:, None] == np.array(classes)
            require_classes(is_class.any(axis=1), texts, f"one of {', '.join(classes)}")
            return is_class.argmax(axis=1)
    elif values.ndim == 2 and values.shape[1] == len(classes) and values.dtype.kind in "biuf":
        require_length("label", values, jets)
        is_one_hot = np.isin(values, (0, 1)).all(axis=1) & (values.sum(axis=1) == 1)
        require_classes(is_one_hot, values, f"a single 1 among the {len(classes)} classes")
        return values.argmax(axis=1)
    label = require_numbers("label", values, jets)
    expected = f"0 to {len(classes) - 1}, for {', '.join(classes)}"
    require_classes(np.isin(label, np.arange(len(classes))), label, expected)
    return label.astype(np.int64)


def in_order_of(classes: Sequence[str], labels):
    """Labels with a column for each class, as pandas.get_dummies gives them, in the order of the
    classes; other forms as they are.

    The columns have the names or numbers of the classes; raises UserError for other ones.
    """
    names = [*getattr(labels, "columns", ())]
    if len(names) < 2:
        return labels
    column = {str(name): name for name in names}
    for known in (list(classes), [str(number) for number in range(len(classes))]):
        if len(names) == len(known) and set(column) == set(known):
            return labels[[column[name] for name in known]]
    raise UserError(
        f"label: the columns {', '.join(map(str, names))}; expected one column, or those of the "
        f"classes {', '.join(classes)}"
    )


def require_classes(valid: np.ndarray, values: np.ndarray, expected: str) -> None:
    """Raise UserError for the first jet that is not `valid` (jets,)."""
    if not valid.all():
        row = int(np.argmin(valid))
        raise UserError(
            f"label: {values[row].tolist()} in jet {row} (counted from 0); expected {expected}"
        )


def weights_and_scale(weights, jets: int) -> tuple[np.ndarray | None, float]:
    """Weights (jets,) within the range of float32, and their scale: weights = result * scale.

    The scale is 1 unless the weights are far from one, as cross sections in some units are.
    """
    if weights is None:
        return None, 1.0
    weight = require_numbers("weight", weights, jets).astype(np.float64)
    largest = np.abs(weight).max()
    if largest == 0:
        raise UserError("weight: zero for all jets; at least some must count")
    mean = float(np.abs(weight / largest).mean() * largest)
    scale = 1.0 if ORDINARY_WEIGHTS[0] <= mean <= ORDINARY_WEIGHTS[1] else mean
    return weight / scale, scale


def group_numbers(groups, jets: int) -> np.ndarray | None:
    """A number for the event of each jet (jets,), from numbers or texts; None for None."""
    if groups is None:
        return None
    values = as_array("group", groups)
    if values.ndim != 1 or values.dtype.kind not in "biufSU":
        raise UserError(
            f"group: shape {values.shape} of {values.dtype}; expected (jets,) numbers or texts, "
            "the same for the jets of one event"
        )
    require_length("group", values, jets)
    if values.dtype.kind == "f":
        require_numbers("group", values, jets)
    return np.unique(values, return_inverse=True)[1]
