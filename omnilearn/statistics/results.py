"""A measured number with its uncertainty and its sample size; reading and writing results.json.

The file is strict JSON, without NaN and Infinity: an undefined value is null, with a `reason`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnilearn.errors import UserError
from omnilearn.stored_json import read_json, write_json

RESULT_KEYS = {"value", "error", "n", "bound", "reason"}
MEND = "write it again with: python evaluate.py RUN"
LONG = 1e7  # numbers above are shown with a power of ten


@dataclass(frozen=True)
class Result:
    """One number: value, one-sigma uncertainty (None if not known), sample size.

    `bound="lower"` marks a lower limit; `reason` explains a NaN value or a missing uncertainty.
    Raises ValueError for a negative uncertainty or sample size.
    """

    value: float
    error: float | None
    n: int
    bound: str | None = None
    reason: str | None = None

    def __post_init__(self):
        if self.error is not None and self.error < 0:
            raise ValueError(f"a one-sigma uncertainty is not negative, found {self.error}")
        if self.n < 0:
            raise ValueError(f"a sample size is not negative, found {self.n}")
        if self.bound not in (None, "lower"):
            raise ValueError(f"bound is None or 'lower', found {self.bound!r}")

    @property
    def text(self) -> str:
        """The number without its size: uncertainty to two digits, limits rounded down."""
        if not math.isfinite(self.value):
            return f"undefined ({self.reason})" if self.reason else "undefined"
        if self.bound == "lower":
            scale = 10.0 ** _decimals(self.value, 3)
            return f"> {math.floor(self.value * scale + 1e-9) / scale:.{_decimals(self.value, 3)}f}"
        if self.error is None or not math.isfinite(self.error):
            return f"{self.value:.{_decimals(self.value, 4)}f}"
        if abs(self.value) >= LONG:
            return f"{self.value:.1e} ± {self.error:.1e}"
        decimals = _decimals(self.error or self.value, 2 if self.error else 4)
        return f"{self.value:.{decimals}f} ± {self.error:.{decimals}f}"

    def __str__(self) -> str:
        return f"{self.text} (n={self.n})"


def _decimals(value: float, digits: int) -> int:
    """Decimals that show `digits` significant digits of `value`."""
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0


def write_results(path: Path | str, results: Mapping[str, Any]) -> None:
    """Write names -> Result, text, whole numbers, finite floats, or lists and dicts of these.

    Raises ValueError with the key of anything else.
    """
    write_json(Path(path), _encode(results, ""), indent=1, allow_nan=False, ensure_ascii=False)


def read_results(path: Path | str) -> dict[str, Any]:
    """The dict that `write_results` wrote.

    Raises UserError with the file, and the key if it applies, if it is missing or malformed.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such results file; {MEND}")
    tree = read_json(path, "file of results in strict JSON", MEND)
    try:
        return _decode(tree, "")
    except ValueError as error:
        raise UserError(f"{path}: {error}; {MEND}") from None


def _encode(value: Any, key: str) -> Any:
    if isinstance(value, Result):
        return _encode_result(value)
    if isinstance(value, Mapping):
        if value and key and RESULT_KEYS & set(value):
            raise ValueError(f"key {key!r}: the names {sorted(RESULT_KEYS)} belong to a Result")
        return {str(name): _encode(item, _below(key, name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item, _below(key, index)) for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | str | int):
        return value
    as_float = float(value) if hasattr(value, "__float__") else math.nan
    if not math.isfinite(as_float):
        raise ValueError(f"key {key!r}: expected a Result, text or a finite number, found {value}")
    return int(value) if hasattr(value, "__index__") else as_float


def _encode_result(result: Result) -> dict[str, Any]:
    value: float | None
    value, error, reason = float(result.value), result.error, result.reason
    if not math.isfinite(value):
        value, reason = None, reason or f"the value came out as {result.value}"
    if error is not None and not math.isfinite(error):
        error, reason = None, reason or f"the uncertainty came out as {result.error}"
    encoded = {
        "value": value,
        "error": None if error is None else float(error),
        "n": int(result.n),
        "bound": result.bound,
    }
    return encoded if reason is None else encoded | {"reason": reason}


def _decode(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        if key and RESULT_KEYS & set(value):
            return _decode_result(value, key)
        return {name: _decode(item, _below(key, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_decode(item, _below(key, index)) for index, item in enumerate(value)]
    return value


def _decode_result(fields: dict[str, Any], key: str) -> Result:
    missing = sorted(RESULT_KEYS - {"reason"} - set(fields))
    unknown = sorted(set(fields) - RESULT_KEYS)
    if missing or unknown:
        defect = f"lacks {', '.join(missing)}" if missing else f"has unknown {', '.join(unknown)}"
        raise ValueError(f"key {key!r} {defect}, expected value, error, n, bound")
    for name, kind in (("value", float), ("error", float), ("n", int)):
        field = fields[name]
        if field is None and name != "n":
            continue
        if isinstance(field, bool) or not isinstance(field, kind | int):
            raise ValueError(f"key {_below(key, name)!r}: expected a number, found {field!r}")
    if fields["value"] is None and not fields.get("reason"):
        raise ValueError(f"key {key!r}: the value is null and no reason is given")
    value = math.nan if fields["value"] is None else fields["value"]
    try:
        return Result(value, fields["error"], fields["n"], fields["bound"], fields.get("reason"))
    except ValueError as error:
        raise ValueError(f"key {key!r}: {error}") from None


def _below(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)
