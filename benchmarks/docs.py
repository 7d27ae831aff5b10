"""Insert numbers and tables of benchmarks/results into the pages, at their markers.

Pages are README.md, docs/*.md and the README.md of every folder of results.

    python -m benchmarks docs            # rewrites the text between markers
    python -m benchmarks docs --check    # changes nothing, fails if a page would change

A number is written <!-- number: FILE KEY -->...<!-- /number -->. FILE is a folder or a JSON file
below benchmarks/results, without its suffix (of a folder: its results.json); KEY is the path of
names within it, separated by /. A factor (x1000) or a format of Python (.0f, .0% or ,d) may follow
the key. A table is written <!-- table: NAME WORDS -->, its lines, <!-- /table -->; NAME is a key of
TABLES in `benchmarks/docs_tables.py`.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.docs_tables import TABLES
from benchmarks.generation_tables import scaled
from benchmarks.programs import RESULTS, command_parser, write_text
from benchmarks.scripts import ROOT
from omnilearn.errors import UserError
from omnilearn.statistics.results import RESULT_KEYS, Result

NUMBER = re.compile(r"(<!-- number: ([^>]+?) -->)(.*?)(<!-- /number -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- table: ([^>]+?) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)


def pages() -> list[Path]:
    """The pages that numbers are inserted into."""
    of_results = sorted(RESULTS.rglob("README.md"))
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *of_results]


def rewritten(text: str) -> str:
    """A page with the present numbers and tables between its markers.

    Raises UserError for a marker without its end, and for an unknown number or table, naming it.
    """
    for kind, pattern in (("number", NUMBER), ("table", TABLE)):
        starts, complete = len(re.findall(f"<!-- {kind}:", text)), len(pattern.findall(text))
        if starts != complete or text.count(f"<!-- /{kind} -->") != complete:
            raise UserError(
                f"{starts} markers <!-- {kind}: ... -->, {complete} of them with an end; expected "
                f"<!-- /{kind} --> behind each"
            )
    text = NUMBER.sub(lambda match: match[1] + number(match[2]) + match[4], text)
    return TABLE.sub(lambda match: match[1] + table(match[2]) + match[4], text)


def number(words: str) -> str:
    """The text of a number; `words` are FILE KEY and optionally a factor or a format."""
    file, key, *options = words.split()
    value = stored(file, key)
    option = options[0] if options else ""
    if isinstance(value, Result):
        if option.startswith("x"):
            return scaled(value, float(option[1:])).text
        return format(value.value, option) if option else value.text
    return format(value, option).replace(",", " ")


def stored(file: str, key: str):
    """The value of a key of a file of results: a Result, a number or a text."""
    path = RESULTS / file
    path = path / "results.json" if path.is_dir() else path.with_name(f"{path.name}.json")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        for name in key.split("/"):
            value = value[int(name) if isinstance(value, list) else name]
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise UserError(f"marker {file} {key}: {path} has no such number ({error!r})") from None
    if isinstance(value, dict) and RESULT_KEYS & set(value):
        return Result(**value)
    return value


def table(words: str) -> str:
    """The lines of a table, each with its line end."""
    name, *arguments = words.split()
    if name not in TABLES:
        raise UserError(f"marker {words}: no table {name!r}; there are {', '.join(TABLES)}")
    return TABLES[name](RESULTS, *arguments).rstrip("\n") + "\n"


def main(arguments: Sequence[str]) -> None:
    parser = command_parser("docs", __doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if one would")
    flags = parser.parse_args(arguments)
    differing = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        try:
            new = rewritten(text)
        except UserError as error:
            raise UserError(f"{path.relative_to(ROOT)}: {error}") from None
        if new != text:
            differing.append(path.relative_to(ROOT).as_posix())
            if not flags.check:
                write_text(path, new)
    if differing and flags.check:
        raise UserError(
            f"{', '.join(differing)} differ from benchmarks/results; write them again with: "
            "python -m benchmarks docs"
        )
    print(f"rewritten: {', '.join(differing)}" if differing else "every number is up to date")
