"""The numbers of results.json as tables, each with its uncertainty, sample size and meaning.

Curves, spectra and the confusion matrix are left out: they are shown as figures.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from omnilearn.report.meanings import KINDS, OBSERVABLES, PARTS, meaning_of
from omnilearn.statistics.results import Result

IN_HEADING = ("dataset", "model", "data")
IN_FIGURES = ("spectra", "curves", "curve", "confusion")
UNFOLDED = re.compile(f"(triangular|chi2|floor){PARTS['unfolded']}")
SIZE, MEANING = "Sample size", "Meaning"


@dataclass
class NumberTable:
    """Title, explanation, headings, rows of as many cells, and the meanings of the rows."""

    title: str
    about: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)
    meanings: dict[str, str] = field(default_factory=dict)


def number_tables(results: Mapping[str, Any]) -> list[NumberTable]:
    """A table of the single numbers of results.json, then one of each kind of numbers."""
    single = NumberTable("Numbers", "", ["Number", "Value", SIZE, MEANING])
    tables: list[NumberTable] = []
    for key, value in results.items():
        if key in (*IN_HEADING, *IN_FIGURES) or UNFOLDED.fullmatch(key):
            continue
        if is_number(value):
            single.rows.append(number_row(key, value))
        elif isinstance(value, Mapping):
            tables += tables_of(key, value)
    return [table for table in (single, *unfolding_tables(results), *tables) if table.rows]


def is_number(value: Any) -> bool:
    return isinstance(value, Result | int | float | str)


def cell(value: Any) -> str:
    """A number as text, without its sample size."""
    if isinstance(value, Result):
        return value.text
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def number_row(key: str, value: Any) -> list[str]:
    name, meaning = meaning_of(key)
    return [name, cell(value), str(value.n) if isinstance(value, Result) else "", meaning]


def tables_of(key: str, value: Mapping[str, Any]) -> list[NumberTable]:
    """The tables of one entry of results.json: single numbers, lists, classes, or a scan."""
    title, about = meaning_of(key)
    title = title[:1].upper() + title[1:]
    if key == "scan":
        return [scan_table(kind, points) for kind, points in value.items()]
    if all(isinstance(item, Mapping) for item in value.values()):
        return [class_table(title, about, value)]
    if all(isinstance(item, list) for item in value.values()):
        return [iteration_table(title, about, value)]
    head = ["Number", "Value", SIZE, MEANING]
    rows = [number_row(name, item) for name, item in value.items() if is_number(item)]
    columns = [i for i in range(len(head)) if i < 2 or any(row[i] for row in rows)]  # not empty
    rows = [[row[i] for i in columns] for row in rows]
    return [NumberTable(title, about, [head[i] for i in columns], rows)]


def optional_cell(numbers: Mapping[str, Any], name: str) -> str:
    """A number as text, or an empty cell if there is none of this name."""
    return cell(numbers[name]) if name in numbers else ""


def class_table(title: str, about: str, classes: Mapping[str, Mapping[str, Any]]) -> NumberTable:
    """A row per number, a column per class."""
    table = NumberTable(title, about, ["Number", *classes])
    for name in dict.fromkeys(name for numbers in classes.values() for name in numbers):
        label, meaning = meaning_of(name)
        table.meanings[label] = meaning
        table.rows.append([label, *(optional_cell(numbers, name) for numbers in classes.values())])
    table.rows.append([SIZE, *(sizes(numbers.values()) for numbers in classes.values())])
    return table


def iteration_table(title: str, about: str, lists: Mapping[str, list[Any]]) -> NumberTable:
    """A row per observable, a column per iteration, counted from 0."""
    longest = max(map(len, lists.values()), default=0)
    table = NumberTable(title, about, ["", *map(str, range(longest))])
    for name, values in lists.items():
        cells = [cell(value) for value in values] + [""] * (longest - len(values))
        table.rows.append([OBSERVABLES.get(name, name), *cells])
    return table


def scan_table(kind: str, points: Mapping[str, Mapping[str, Any]]) -> NumberTable:
    """A row per injected signal, a column per number."""
    names = dict.fromkeys(
        name for point in points.values() for name, value in point.items() if is_number(value)
    )
    head = [meaning_of(name)[0] for name in names]
    rows = [[optional_cell(point, name) for name in names] for point in points.values()]
    return NumberTable(f"Search, {kind}", meaning_of("scan")[1], head, rows)


def unfolding_tables(results: Mapping[str, Any]) -> list[NumberTable]:
    """Distances of spectra: a table per kind of distance and level, a row per observable."""
    distances: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for key, value in results.items():
        if match := UNFOLDED.fullmatch(key):
            distance, level, observable, kind = match.groups()
            rows = distances.setdefault((distance, level), {})
            rows.setdefault(observable, {})[kind] = value
    tables = []
    for (distance, level), rows in distances.items():
        kinds = dict.fromkeys(kind for row in rows.values() for kind in row)
        observable, kind = next(iter(rows)), next(iter(kinds))
        name, about = meaning_of(f"{distance}_{level}_{observable}_{kind}")
        title = name[:1].upper() + name[1:].rpartition(",")[0]
        table = NumberTable(title, about, ["", *(KINDS[kind] for kind in kinds)])
        for observable, row in rows.items():
            cells = [optional_cell(row, kind) for kind in kinds]
            table.rows.append([OBSERVABLES[observable], *cells])
        size = [sizes(row.get(kind) for row in rows.values()) for kind in kinds]
        table.rows.append([SIZE, *size])
        tables.append(table)
    return tables


def every_result(value: Any) -> list[Result]:
    """All Results in results.json, at any depth."""
    if isinstance(value, Result):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value
    if not isinstance(items, str) and isinstance(items, Iterable):
        return [result for item in items for result in every_result(item)]
    return []


def sizes(values: Iterable[Any]) -> str:
    """The smallest and the largest sample size of several numbers."""
    return range_text([value.n for value in values if isinstance(value, Result)])


def range_text(counts: list[int]) -> str:
    """The smallest and the largest count, one number if they are equal, "" if there is none."""
    return " to ".join(dict.fromkeys((str(min(counts)), str(max(counts))))) if counts else ""
