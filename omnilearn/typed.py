"""Values that must have the declared types: of stored JSON, and arguments from Python."""

import dataclasses
import functools
import inspect
import math
import os
import types
import typing
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from omnilearn.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kind = TypeVar("Kind", bound="DataclassInstance")
Function = TypeVar("Function", bound=Callable)
LARGEST = 2**53  # floats hold all whole numbers up to here
LARGEST_SEED = 2**32 - 1  # that Keras can set
# declared type of an argument -> types that are taken for it, of Python or NumPy, and their name
ARGUMENTS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "text"),
    Path | str: ((str, os.PathLike), "a path"),
}


def typed(kind: type[Kind], stored: Any, path: str = "") -> Kind:
    """An instance of the dataclass `kind` from an object of JSON; absent fields have defaults.

    Raises ValueError naming a field that is unknown, missing, of another type or not finite. A
    field whose default is None may be null.
    """
    if not isinstance(stored, dict):
        raise ValueError(f"{path or kind.__name__} is {short(stored)}, expected an object")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    if unknown := [name for name in stored if name not in fields]:
        raise ValueError(f"unknown {below(path, unknown[0])!r} among the keys")
    hints, values = typing.get_type_hints(kind), dict[str, Any]()
    for name, field in fields.items():
        if name in stored:
            if stored[name] is None and field.default is None:
                values[name] = None
            else:
                values[name] = as_type(hints[name], stored[name], below(path, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"no {below(path, name)!r} among the keys")
    return kind(**values)


def as_type(hint: Any, value: Any, path: str) -> Any:
    """The value, with tuples for lists where tuples are declared."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in inner:
            return None
        return as_type(next(kind for kind in inner if kind is not type(None)), value, path)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return typed(hint, value, path)
    if origin in (tuple, list):
        expect(isinstance(value, list), value, path, "a list")
        if origin is tuple and inner[-1:] != (Ellipsis,):
            expect(len(value) == len(inner), value, path, f"{len(inner)} entries")
            kinds = inner
        else:
            kinds = (inner[0] if inner else object,) * len(value)
        items = enumerate(zip(kinds, value, strict=True))
        return origin(as_type(kind, item, f"{path}[{index}]") for index, (kind, item) in items)
    if origin is dict or hint is dict:
        expect(isinstance(value, dict), value, path, "an object")
        return {
            name: as_type(inner[1] if inner else object, item, below(path, name))
            for name, item in value.items()
        }
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float:
        fits = is_number and abs(value) <= 1e300 and math.isfinite(value)
        expect(fits, value, path, "a finite number")
    elif hint is int:
        fits = is_number and isinstance(value, int) and abs(value) <= LARGEST
        expect(fits, value, path, "a whole number")
    elif hint in (str, bool):
        expected = {str: "text", bool: "true or false"}[hint]
        expect(isinstance(value, hint), value, path, expected)
    return value


def expect(fits: bool, value: Any, path: str, expected: str) -> None:
    if not fits:
        raise ValueError(f"{path!r} is {short(value)}, expected {expected}")


def short(value: Any) -> str:
    """The beginning of a value, for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def with_typed_arguments(function: Function) -> Function:
    """The function, which raises UserError naming an argument of another type than it declares.

    Arguments without a declared type, or with another than those of `require_type`, are left alone.
    """
    hints, signature = typing.get_type_hints(function), inspect.signature(function)

    @functools.wraps(function)
    def checked(*arguments, **named):
        for name, value in signature.bind(*arguments, **named).arguments.items():
            require_type(hints.get(name), value, name)
        return function(*arguments, **named)

    return typing.cast(Function, checked)


def require_type(hint: Any, value: Any, name: str) -> None:
    """Raise UserError where a value given from Python is not a number, text, path or dataclass that
    is declared; a bool is no number."""
    if hint not in ARGUMENTS and value is None:
        return
    classes: list[type] = [kind for kind in typing.get_args(hint) if inspect.isclass(kind)]
    kinds = tuple(filter(dataclasses.is_dataclass, classes))
    words = " or ".join(kind.__name__ for kind in kinds)
    accepted, expected = ARGUMENTS.get(hint, (kinds, f"a {words}"))
    if accepted and (isinstance(value, bool) or not isinstance(value, accepted)):
        raise UserError(f"{name} is {short(value)}; expected {expected}")
