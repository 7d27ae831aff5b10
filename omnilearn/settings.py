"""Settings as frozen dataclasses: flags, ranges and help lines are made from their fields."""

import argparse
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, TypeVar, cast

from omnilearn.errors import UserError

Kind = TypeVar("Kind", bound="Settings")


def option(default, help: str, kind: type | None = None, **more):
    """A field with its help line; a flag without one cannot be written.

    `kind` is the type of a flag whose default, None, depends on other settings. more: the range,
    of `least`, `above`, `most`, `below` and `choices`; `exclusive`, a name that flags share of
    which only one may be given.
    """
    return field(default=default, metadata={"help": help, "kind": kind or type(default), **more})


@dataclass(frozen=True)
class Settings:
    """Values in their ranges; raises UserError, naming the flag, for others."""

    default_is: ClassVar = "default:"  # a value that no flag gives

    def __post_init__(self):
        for item in fields(self):
            require_in_range(item, getattr(self, item.name), item.name)


def require_in_range(item: Field, value, name: str) -> None:
    """Raise UserError where a value of this field, given by the flag `name`, is out of its range.

    None is what depends on other settings.
    """
    of = item.metadata
    fits = [
        "least" not in of or value >= of["least"],
        "above" not in of or value > of["above"],
        "most" not in of or value <= of["most"],
        "below" not in of or value < of["below"],
        "choices" not in of or value in of["choices"],
    ]
    if value is not None and not all(fits):
        raise UserError(f"--{flag(name)} is {value!r}; expected {range_of(item)}")


def range_of(item: Field) -> str:
    """The range of a field in words."""
    of = item.metadata
    if "choices" in of:
        return " or ".join(filter(None, of["choices"]))
    if "most" in of:
        return f"{of['least']} to {of['most']}"
    if "above" in of:
        return f"above {of['above']}"
    return f"{of['least']} or more" + (f", below {of['below']}" if "below" in of else "")


def flag(name: str) -> str:
    return name.replace("_", "-")


def add_flags(parser: argparse.ArgumentParser, *kinds: type[Settings]) -> dict:
    """One flag per field; absent ones set nothing. Returns the flags by the names of fields."""
    actions: dict = {}
    groups: dict = {}

    def add(place, item: Field, name: str, text: str, alias: str = "") -> None:
        of, more = item.metadata, dict[str, Any]()
        if of["kind"] is bool:
            more["action"] = argparse.BooleanOptionalAction
        else:
            more["type"] = of["kind"]
        if all(of.get("choices", ("",))):
            more["metavar"] = f"{{{','.join(of['choices'])}}}"
        names = [f"--{flag(name)}", *([f"--{alias}"] if alias else [])]
        actions[name] = place.add_argument(
            *names, dest=name, default=argparse.SUPPRESS, help=text, **more
        )

    for kind in kinds:
        for item in fields(kind):
            of = item.metadata
            if "second" in of:
                for inner in fields(of["second"]):
                    if inner.name in of["names"]:
                        text = f"{inner.metadata['help']}; of {of['help']} (recipe)"
                        alias = of["alias"] if inner.name == "epochs" else ""
                        add(parser, inner, f"{prefix_of(item)}_{inner.name}", text, alias)
                continue
            name, place = of.get("exclusive"), cast(Any, parser)
            if name:
                place = groups[name] = groups.get(name) or parser.add_mutually_exclusive_group()
            default = "" if item.default is None else f" {item.default!r}"
            add(place, item, item.name, f"{of['help']} ({kind.default_is}{default})")
    return actions


def prefix_of(item: Field) -> str:
    """What the flags of a second training begin with."""
    return item.metadata["prefix"] or item.name


def flags_of(kind: type[Settings], name: str) -> list[str]:
    """Names of the flags of a second training."""
    (item,) = (item for item in fields(kind) if item.name == name)
    return [f"{prefix_of(item)}_{inner}" for inner in item.metadata["names"]]


def given(kind: type[Settings], arguments: argparse.Namespace) -> dict:
    """What flags set, by the names of fields."""
    values, flags = {}, vars(arguments)
    for item in fields(kind):
        if "second" in item.metadata:
            inside = {
                inner.name: (inner, value)
                for inner in fields(item.metadata["second"])
                if (value := flags.get(f"{prefix_of(item)}_{inner.name}")) is not None
            }
            for name, (inner, value) in inside.items():
                require_in_range(inner, value, f"{prefix_of(item)}_{name}")
            values[item.name] = {name: value for name, (_, value) in inside.items()}
        elif item.name in flags:
            values[item.name] = flags[item.name]
    return values


def configured(kind: type[Kind], recipe: dict, arguments: argparse.Namespace) -> Kind:
    """The recipe, then every flag that was given."""
    return kind(**{**recipe, **given(kind, arguments)})


def without_effect(what: str, names: Iterable[str]) -> dict[str, str]:
    """Flag -> the sentence that refuses it."""
    return {name: f"--{flag(name)} has no effect on {what}; leave it out" for name in names}


def parsed(parser: argparse.ArgumentParser, actions: dict, idle: dict) -> argparse.Namespace:
    """The command line; flags without effect are not among the help, and refused when given."""
    for name in idle.keys() & actions.keys():
        actions[name].help = argparse.SUPPRESS
    parser.add_argument("-h", "--help", action="help", help="show this and stop")
    arguments = parser.parse_args()
    for name, sentence in idle.items():
        if name in arguments:
            raise UserError(sentence)
    return arguments
