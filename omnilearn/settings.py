"""Settings as frozen dataclasses: flags, ranges and help lines are made from their fields."""

import argparse
import math
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, TypeVar, cast

from omnilearn.errors import UserError

Kind = TypeVar("Kind", bound="Settings")


def option(default, help: str, kind: type | None = None, **more):
    """A field with its help line and range.

    `kind` is the type of a flag whose default is None. more: the range, by `least`, `above`,
    `most`, `below` and `choices`; `exclusive`, a name shared by flags of which only one may be
    given.
    """
    return field(default=default, metadata={"help": help, "kind": kind or type(default), **more})


@dataclass(frozen=True)
class Settings:
    """Values in their ranges; raises UserError, naming the flag, for others."""

    default_is: ClassVar = "default:"  # before the default in help lines

    def __post_init__(self):
        for item in fields(self):
            require_in_range(item, getattr(self, item.name), f"--{flag(item.name)}")


def require_in_range(item: Field, value, name: str) -> None:
    """Raise UserError where a value of this field, given as `name`, is out of its range.

    None, whose value depends on other settings, is accepted.
    """
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} is {value!r}; expected a finite number")
    limits = item.metadata
    checks = [
        "least" not in limits or value >= limits["least"],
        "above" not in limits or value > limits["above"],
        "most" not in limits or value <= limits["most"],
        "below" not in limits or value < limits["below"],
        "choices" not in limits or value in limits["choices"],
    ]
    if not all(checks):
        raise UserError(f"{name} is {value!r}; expected {range_of(item)}")


def range_of(item: Field) -> str:
    """The range of a field in words."""
    limits = item.metadata
    if "choices" in limits:
        return " or ".join(filter(None, limits["choices"]))
    if "most" in limits:
        return f"{limits['least']} to {limits['most']}"
    if "above" in limits:
        return f"above {limits['above']}"
    below = f", below {limits['below']}" if "below" in limits else ""
    return f"{limits['least']} or more{below}"


def flag(name: str) -> str:
    return name.replace("_", "-")


def add_flags(parser: argparse.ArgumentParser, *kinds: type[Settings]) -> dict:
    """One flag per field; absent ones set nothing. Returns the flags by the names of fields."""
    actions: dict = {}
    groups: dict = {}

    def add(group, item: Field, name: str, text: str, alias: str = "") -> None:
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
        if item.metadata["kind"] is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = item.metadata["kind"]
        choices = item.metadata.get("choices", ("",))
        if all(choices):
            options["metavar"] = f"{{{','.join(choices)}}}"
        names = [f"--{flag(name)}", *([f"--{alias}"] if alias else [])]
        actions[name] = group.add_argument(*names, dest=name, **options)

    for kind in kinds:
        for item in fields(kind):
            meta = item.metadata
            if "second" in meta:
                for inner in fields(meta["second"]):
                    if inner.name in meta["names"]:
                        text = f"{inner.metadata['help']}; of {meta['help']} (recipe)"
                        alias = meta["alias"] if inner.name == "epochs" else ""
                        add(parser, inner, f"{prefix_of(item)}_{inner.name}", text, alias)
                continue
            name, group = meta.get("exclusive"), cast(Any, parser)
            if name:
                group = groups[name] = groups.get(name) or parser.add_mutually_exclusive_group()
            add(group, item, item.name, help_line(item, item.default, kind.default_is))
    return actions


def help_line(item: Field, value: Any, words: str) -> str:
    """The help of a field with a value in brackets, after these words; None and "" are left out."""
    text = item.metadata["help"]
    return text if value in (None, "") else f"{text} ({words} {value!r})"


def prefix_of(item: Field) -> str:
    """The beginning of the flags of a second training."""
    return item.metadata["prefix"] or item.name


def flags_of(kind: type[Settings], name: str) -> list[str]:
    """Names of the flags of a second training."""
    (item,) = (item for item in fields(kind) if item.name == name)
    return [f"{prefix_of(item)}_{inner}" for inner in item.metadata["names"]]


def given(kind: type[Settings], arguments: argparse.Namespace) -> dict:
    """The values of the flags that were given, by the names of fields."""
    values, flags = {}, vars(arguments)
    for item in fields(kind):
        if "second" in item.metadata:
            given_inside = {
                inner.name: (inner, value)
                for inner in fields(item.metadata["second"])
                if (value := flags.get(f"{prefix_of(item)}_{inner.name}")) is not None
            }
            for name, (inner, value) in given_inside.items():
                require_in_range(inner, value, f"--{flag(f'{prefix_of(item)}_{name}')}")
            values[item.name] = {name: value for name, (_, value) in given_inside.items()}
        elif item.name in flags:
            values[item.name] = flags[item.name]
    return values


def configured(kind: type[Kind], recipe: dict, arguments: argparse.Namespace) -> Kind:
    """The recipe, then every flag that was given."""
    return kind(**{**recipe, **given(kind, arguments)})


def from_arguments(kind: type[Kind], **values) -> Kind:
    """Settings from arguments in Python; raises UserError naming one that is out of its range."""
    for item in fields(kind):
        require_in_range(item, values[item.name], item.name)
    return kind(**values)


def without_effect(target: str, names: Iterable[str]) -> dict[str, str]:
    """Flag -> the message that refuses it, for flags without effect on `target`."""
    return {name: f"--{flag(name)} has no effect on {target}; leave it out" for name in names}


def known_arguments(
    parser: argparse.ArgumentParser, kinds: Iterable[type[Settings]]
) -> argparse.Namespace:
    """The command line as far as it is known before the task, which has one of `kinds` of flags.

    Flags of a task may precede the data set or run; their values are not checked yet.
    """
    everything = argparse.ArgumentParser(
        parents=[parser], allow_abbrev=False, add_help=False, conflict_handler="resolve"
    )
    for kind in dict.fromkeys(kinds):
        for action in add_flags(everything, kind).values():
            action.type = None
    return everything.parse_known_args()[0]


def parsed(
    parser: argparse.ArgumentParser, actions: dict, idle: dict, *settings: Settings
) -> argparse.Namespace:
    """The command line; flags without effect are hidden from the help and refused when given.

    The help shows the values of `settings`, which are those of the recipe and of the given flags.
    """
    for kind in settings:
        for item in fields(kind):
            if item.name in actions:
                value = getattr(kind, item.name)
                actions[item.name].help = help_line(item, value, Settings.default_is)
    for name in idle.keys() & actions.keys():
        actions[name].help = argparse.SUPPRESS
    parser.add_argument("-h", "--help", action="help", help="show this and stop")
    arguments = parser.parse_args()
    for name, sentence in idle.items():
        if name in arguments:
            raise UserError(sentence)
    return arguments
