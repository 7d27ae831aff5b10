"""Several trainings of one model: mean and spread, as published tables quote them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from omnilearn.errors import UserError
from omnilearn.statistics.results import Result


def over_trainings(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results of several trainings of one model, evaluated on the same jets, as one.

    Each number becomes the mean over trainings with their sample standard deviation as its error;
    `statistical` keeps the mean uncertainty that the test jets alone give, `trainings` the number
    of trainings. Where one training has only a limit, the lowest limit stands for all. Texts must
    agree, but for the name of the model, and whole numbers are averaged.
    Raises UserError for fewer than two trainings, or for trainings that measured different things.
    """
    if len(results) < 2:
        raise UserError(f"{len(results)} evaluated training; a spread needs two or more")
    names = results[0].keys()
    for other in results[1:]:
        if other.keys() != names:
            differing = ", ".join(sorted(set(other) ^ set(names)))
            raise UserError(
                f"trainings that are not of one kind: only some have {differing}; evaluate all of "
                "them again with the same data"
            )
    together: dict[str, Any] = {"trainings": len(results)}
    statistical = {}
    for name in names:
        values = [result[name] for result in results]
        together[name] = _together(name, values)
        errors = [value.error for value in values if isinstance(value, Result) and value.error]
        if errors:
            statistical[name] = float(np.mean(errors))
    return {**together, "statistical": statistical}


def _together(name: str, values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, Result):
        return spread(values)
    if isinstance(first, dict):
        return {key: _together(key, [value[key] for value in values]) for key in first}
    if isinstance(first, list) and first and isinstance(first[0], Result):
        return [spread(list(column)) for column in zip(*values, strict=True)]
    if isinstance(first, int | float) and not isinstance(first, bool):
        return float(np.mean(values))
    if any(value != first for value in values) and name != "model":
        raise UserError(f"trainings on different things: {name} is {', '.join(map(str, values))}")
    return first


def spread(values: list[Result]) -> Result:
    """Mean and sample standard deviation of a number over trainings."""
    undefined = [value for value in values if not np.isfinite(value.value)]
    if undefined:
        return undefined[0]
    limits = [value for value in values if value.bound]
    if limits:
        return min(limits, key=lambda value: value.value)
    numbers = [value.value for value in values]
    return Result(float(np.mean(numbers)), float(np.std(numbers, ddof=1)), values[0].n)
