"""Damage files of every format and count the outcomes: refused, unchanged, changed, traceback.

python -m benchmarks fuzz                           # 10 000 damages over all readers
python -m benchmarks fuzz --reader config.json      # of one reader
python -m benchmarks fuzz --reader config.json --only 17     # repeats the damage of that number

A damage is a flipped bit, one to eight changed bytes (anywhere, or near the beginning, where the
headers are), a range of zeros, or a cut; its number and --seed determine it. "changed" counts files
that were read with other content and without an error, "tracebacks" those that raised anything but
a UserError: both are 0 for the suite's own formats. A public format without checksums cannot detect
every change.

Readers whose counts of the same damages are in --out are not run again: a long run can be resumed.
"""

import hashlib
import json
import tempfile
import traceback
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.fuzz_files import OWN
from benchmarks.fuzz_public import PUBLIC
from benchmarks.fuzz_simulated import SIMULATED
from benchmarks.programs import command_parser, write_json
from omnilearn.errors import UserError
from omnilearn.progress import progress
from omnilearn.runs import revision

READERS = OWN | PUBLIC | SIMULATED  # name -> function that makes a file and returns its reader
OUTCOMES = ("refused", "unchanged", "changed", "tracebacks")
HEADER = 2048  # bytes at the beginning, which damages hit more often
LONGEST_ZEROS = 512


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one damage."""
    result, kind = bytearray(content), rng.integers(5)
    if kind == 0:
        result[rng.integers(len(result))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        return content[: rng.integers(len(content))]
    elif kind == 2:
        first = int(rng.integers(len(result)))
        last = min(len(result), first + int(rng.integers(1, LONGEST_ZEROS + 1)))
        result[first:last] = bytes(last - first)
    else:
        end = len(result) if kind == 3 else min(len(result), HEADER)
        for position in rng.integers(end, size=rng.integers(1, 9)):
            result[position] = rng.integers(256)
    return bytes(result)


def content_of(value) -> bytes:
    """The bytes of everything that a reader returned, to compare two readings."""
    if isinstance(value, dict):
        return b"{" + b",".join(repr(k).encode() + content_of(v) for k, v in value.items()) + b"}"
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(content_of, value)) + b"]"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} ".encode() + np.ascontiguousarray(value).tobytes()
    if hasattr(value, "__dict__"):
        return content_of(vars(value))
    return repr(value).encode()


def outcome(read, path: Path, expected: bytes) -> str:
    """One of OUTCOMES for a file; `expected` is the digest of the content without damage."""
    try:
        with np.errstate(all="ignore"):
            value = read(path)
    except UserError:
        return "refused"
    except Exception:
        return "tracebacks"
    return "unchanged" if hashlib.sha256(content_of(value)).digest() == expected else "changed"


def count_outcomes(name: str, seed: int, numbers: Sequence[int], folder: Path) -> dict:
    """Counts of the outcomes of the damages with these numbers, and the numbers of those that
    changed the content or ended in a traceback."""
    path, read = READERS[name](folder)
    content = path.read_bytes()
    expected = hashlib.sha256(content_of(read(path))).digest()
    counts = dict.fromkeys(("tried", *OUTCOMES), 0)
    bad: dict[str, list[int]] = {"changed": [], "tracebacks": []}
    for number in numbers:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        path.write_bytes(damaged(content, rng))
        result = outcome(read, path, expected)
        counts["tried"] += 1
        counts[result] += 1
        if result in bad:
            bad[result].append(number)
    if len(numbers) == 1 and counts["tracebacks"]:
        try:
            read(path)
        except Exception:
            traceback.print_exc()
    return {**counts, "numbers": {kind: failures[:20] for kind, failures in bad.items()}}


def table(rows: dict[str, dict]) -> str:
    """One line per reader."""
    head = ("reader", "tried", *OUTCOMES)
    lines = [head, *((name, *(str(row[key]) for key in head[1:])) for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            f"{text:{'>' if column else '<'}{width}}"
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def main(arguments: Sequence[str]) -> None:
    parser = command_parser("fuzz", __doc__)
    parser.add_argument("--damages", type=int, default=10_000, help="of all readers (10000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, help="damage files of this reader alone")
    parser.add_argument("--only", type=int, help="the damage of this number alone")
    parser.add_argument("--out", type=Path, help="write the counts here as JSON")
    flags = parser.parse_args(arguments)
    names = [flags.reader] if flags.reader else list(READERS)
    per_reader = -(-flags.damages // len(names))
    numbers = range(per_reader) if flags.only is None else [flags.only]
    command = f"python -m benchmarks fuzz --damages {flags.damages} --seed {flags.seed}"
    rows = already_counted(flags.out, command)
    with progress(len(names), "readers") as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged counts and types make NumPy and uproot warn
        for name in names:
            if name not in rows:
                with tempfile.TemporaryDirectory() as folder:
                    rows[name] = count_outcomes(name, flags.seed, numbers, Path(folder))
                if flags.out:
                    write(flags.out, command, rows)
            bar.update(1)
    print(table(rows))


def already_counted(out: Path | None, command: str) -> dict[str, dict]:
    """The rows that the same command wrote at the same revision."""
    if not out or not out.exists():
        return {}
    stored = json.loads(out.read_text())
    is_same = (stored["command"], stored["revision"]) == (command, revision())
    return stored["readers"] if is_same else {}


def write(out: Path, command: str, rows: dict[str, dict]) -> None:
    """Write the counts of each reader, and of the suite's own formats together."""
    own_rows = [row for name, row in rows.items() if name in OWN]
    result = {
        "command": command,
        "revision": revision(),
        "damages": sum(row["tried"] for row in rows.values()),
        "own_formats": {key: sum(row[key] for row in own_rows) for key in ("tried", *OUTCOMES)},
        "readers": {name: rows[name] for name in READERS if name in rows},
    }
    write_json(out, result, indent=1)
