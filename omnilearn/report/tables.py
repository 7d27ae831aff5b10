"""The numbers of results.json as tables: every number with its uncertainty, size and meaning.

Lists that figures are drawn from (curves, spectra, the confusion matrix) are left to the figures.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from omnilearn.report.meanings import KINDS, OBSERVABLES, PARTS, meaning_of
from omnilearn.statistics.results import Result

IN_THE_HEAD = ("dataset", "model", "data")
DRAWN = ("spectra", "curves", "curve", "confusion")
UNFOLDED = re.compile(f"(triangular|chi2|floor){PARTS['unfolded']}")
SIZE, MEANING = "Sample size", "Meaning"


@dataclass
class NumberTable:
    """Title, what it is about, headings, rows of as many cells; below it what its rows mean."""

    title: str
    about: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)
    meanings: dict[str, str] = field(default_factory=dict)


def number_tables(results: Mapping[str, Any]) -> list[NumberTable]:
    """Every number of results.json, those of one kind in one table; the single ones come first."""
    single = NumberTable("Numbers", "", ["Number", "Value", SIZE, MEANING])
    others: list[NumberTable] = []
    for key, value in results.items():
        if key in (*IN_THE_HEAD, *DRAWN) or UNFOLDED.fullmatch(key):
            continue
        if is_number(value):
            single.rows.append(number_row(key, value))
        elif isinstance(value, Mapping):
            others += tables_of(key, value)
    return [table for table in (single, *unfolding_tables(results), *others) if table.rows]


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
    """What one entry of results.json holds: single numbers, lists, classes, or a scan."""
    title, about = meaning_of(key)
    title = title[:1].upper() + title[1:]
    if key == "scan":
        return [scan_table(kind, points) for kind, points in value.items()]
    if all(isinstance(item, Mapping) for item in value.values()):
        return [class_table(title, about, value)]
    if all(isinstance(item, list) for item in value.values()):
        return [iteration_table(title, about, value)]
    rows = [number_row(name, item) for name, item in value.items() if is_number(item)]
    return [
        without_empty_columns(NumberTable(title, about, ["Number", "Value", SIZE, MEANING], rows))
    ]


def without_empty_columns(table: NumberTable) -> NumberTable:
    """The table without the columns that no row fills."""
    kept = [
        number
        for number in range(len(table.head))
        if number < 2 or any(row[number] for row in table.rows)
    ]
    head = [table.head[number] for number in kept]
    rows = [[row[number] for number in kept] for row in table.rows]
    return replace(table, head=head, rows=rows)


def class_table(title: str, about: str, classes: Mapping[str, Mapping[str, Any]]) -> NumberTable:
    """A row per number, a column per class."""
    names = dict.fromkeys(name for found in classes.values() for name in found)
    table = NumberTable(title, about, ["Number", *classes])
    for name in names:
        label, meaning = meaning_of(name)
        table.meanings[label] = meaning
        cells = [cell(found[name]) if name in found else "" for found in classes.values()]
        table.rows.append([label, *cells])
    table.rows.append([SIZE, *(sizes(found.values()) for found in classes.values())])
    return table


def iteration_table(title: str, about: str, lists: Mapping[str, list[Any]]) -> NumberTable:
    """A row per observable, a column per iteration from 0 on."""
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
    table = NumberTable(
        f"Search, {kind}", meaning_of("scan")[1], [meaning_of(name)[0] for name in names]
    )
    for point in points.values():
        table.rows.append([cell(point[name]) if name in point else "" for name in names])
    return table


def unfolding_tables(results: Mapping[str, Any]) -> list[NumberTable]:
    """Distances of spectra: a table per kind of distance and level, a row per observable."""
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for key, value in results.items():
        if match := UNFOLDED.fullmatch(key):
            distance, level, observable, kind = match.groups()
            found.setdefault((distance, level), {}).setdefault(observable, {})[kind] = value
    tables = []
    for (distance, level), rows in found.items():
        kinds = dict.fromkeys(kind for row in rows.values() for kind in row)
        observable, kind = next(iter(rows)), next(iter(kinds))
        name, about = meaning_of(f"{distance}_{level}_{observable}_{kind}")
        title = name[:1].upper() + name[1:].rpartition(",")[0]
        table = NumberTable(title, about, ["", *(KINDS[kind] for kind in kinds)])
        for observable, row in rows.items():
            cells = [cell(row[kind]) if kind in row else "" for kind in kinds]
            table.rows.append([OBSERVABLES[observable], *cells])
        size = [sizes(row[kind] for row in rows.values() if kind in row) for kind in kinds]
        table.rows.append([SIZE, *size])
        tables.append(table)
    return tables


def every_result(value: Any) -> list[Result]:
    """All Results, however deep in results.json."""
    if isinstance(value, Result):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(inner, str) and isinstance(inner, Iterable):
        return [result for item in inner for result in every_result(item)]
    return []


def sizes(values: Iterable[Any]) -> str:
    """The sample sizes behind several numbers, the smallest and the largest."""
    found = sorted({value.n for value in values if isinstance(value, Result)})
    return " to ".join(map(str, dict.fromkeys((found[0], found[-1])))) if found else ""
