"""Insert numbers and tables of benchmarks/results into README.md and docs/*.md, at their markers.

    python -m benchmarks docs            # rewrites what is between markers
    python -m benchmarks docs --check    # changes nothing, fails where a page would change

A number is written <!-- number: FILE KEY -->...<!-- /number -->. FILE is a folder or a JSON file
below benchmarks/results, without its suffix (of a folder: its results.json); KEY the way through
it, with / between names. Behind the key may stand x1000, a factor, or a format of Python such as
.0f, .0% or ,d. A table is written <!-- table: NAME WORDS -->, its lines, <!-- /table -->; names are
those of `benchmarks/docs_tables.py`.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.docs_tables import TABLES
from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.statistics.results import RESULT_KEYS, Result

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NUMBER = re.compile(r"(<!-- number: ([^>]+?) -->)(.*?)(<!-- /number -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- table: ([^>]+?) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that numbers are inserted into."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def rewritten(text: str) -> str:
    """A page with the numbers and tables of today between its markers.

    Raises UserError for a marker that nothing is known of, naming it, and for one without its end.
    """
    for kind, pattern in (("number", NUMBER), ("table", TABLE)):
        begun, whole = len(re.findall(f"<!-- {kind}:", text)), len(pattern.findall(text))
        if begun != whole or text.count(f"<!-- /{kind} -->") != whole:
            raise UserError(
                f"{begun} markers <!-- {kind}: ... -->, {whole} of them with an end; expected "
                f"<!-- /{kind} --> behind each"
            )
    text = NUMBER.sub(lambda found: found[1] + number(found[2]) + found[4], text)
    return TABLE.sub(lambda found: found[1] + table(found[2]) + found[4], text)


def number(words: str) -> str:
    """The text of a number; `words` are FILE KEY and perhaps a factor or a format."""
    file, key, *more = words.split()
    value = stored(file, key)
    how = more[0] if more else ""
    if isinstance(value, Result):
        if how.startswith("x"):
            factor = float(how[1:])
            error = None if value.error is None else value.error * factor
            value = Result(value.value * factor, error, value.n, value.bound, value.reason)
            how = ""
        return format(value.value, how) if how else value.text
    return format(value, how).replace(",", " ")


def stored(file: str, key: str):
    """What stands under a key of a file of results: a Result, a number or a text."""
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
    """The lines of a table, each with its end."""
    name, *more = words.split()
    if name not in TABLES:
        raise UserError(f"marker {words}: no table {name!r}; there are {', '.join(TABLES)}")
    return TABLES[name](RESULTS, *more).rstrip("\n") + "\n"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks docs", allow_abbrev=False, description=__doc__.splitlines()[0]
    )
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
                with atomic_path(path) as temporary:
                    temporary.write_text(new, encoding="utf-8")
    if differing and flags.check:
        raise UserError(
            f"{', '.join(differing)} differ from benchmarks/results; write them again with: "
            "python -m benchmarks docs"
        )
    print(f"rewritten: {', '.join(differing)}" if differing else "every number is up to date")
