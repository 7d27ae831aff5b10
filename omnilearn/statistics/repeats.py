"""Several trainings of one model: mean and spread, as published tables quote them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from omnilearn.errors import UserError
from omnilearn.statistics.results import Result


def over_trainings(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One set of results from several trainings of one model, evaluated on the same jets.

    Each number becomes the mean over trainings with their sample standard deviation as its error;
    `statistical` holds the mean uncertainty that the test jets alone give, `trainings` the number
    of trainings. If any training has only a limit, the lowest value of all is a limit. Texts must
    be equal, except the name of the model; whole numbers and lists of numbers are averaged.
    Raises UserError for fewer than two trainings, or if their keys or texts differ.
    """
    if len(results) < 2:
        raise UserError(f"{len(results)} evaluated training; a spread needs two or more")
    names = results[0].keys()
    for result in results[1:]:
        if result.keys() != names:
            differing = ", ".join(sorted(set(result) ^ set(names)))
            raise UserError(
                f"the trainings have different results: only some have {differing}; evaluate all "
                "of them again with the same data"
            )
    combined: dict[str, Any] = {"trainings": len(results)}
    statistical = {}
    for name in names:
        values = [result[name] for result in results]
        combined[name] = _combined(name, values)
        errors = [value.error for value in values if isinstance(value, Result) and value.error]
        if errors:
            statistical[name] = float(np.mean(errors))
    return {**combined, "statistical": statistical}


def _combined(name: str, values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, Result):
        return spread(values)
    if isinstance(first, dict):
        return {key: _combined(key, [value[key] for value in values]) for key in first}
    if isinstance(first, list) and first and isinstance(first[0], Result):
        return [spread(list(column)) for column in zip(*values, strict=True)]
    if isinstance(first, int | float) and not isinstance(first, bool):
        return float(np.mean(values))
    if any(value != first for value in values) and name != "model":
        if isinstance(first, list):
            return np.mean(values, axis=0).tolist()
        raise UserError(
            f"the trainings cannot be averaged: {name} is {', '.join(map(str, values))}; it must "
            "be the same in all of them"
        )
    return first


def spread(results: list[Result]) -> Result:
    """Mean and sample standard deviation of a number over trainings."""
    if undefined := [result for result in results if not np.isfinite(result.value)]:
        return undefined[0]
    if any(result.bound for result in results):
        lowest = min(results, key=lambda result: result.value)
        return replace(lowest, error=None, bound="lower")
    values = [result.value for result in results]
    return Result(float(np.mean(values)), float(np.std(values, ddof=1)), results[0].n)
