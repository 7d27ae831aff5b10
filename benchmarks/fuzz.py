"""Damage files of every kind and count what their readers do: refuse, read the same, or worse.

python -m benchmarks fuzz                           # 10 000 damages over all readers
python -m benchmarks fuzz --reader config.json      # of one reader
python -m benchmarks fuzz --reader config.json --only 17     # the damage of that number again

A damage is a flipped bit, one to eight bytes (anywhere, or near the beginning, where headers are),
a stretch of zeros or a cut. Its number and --seed decide it. "changed" counts readers that took
other numbers for good, "tracebacks" those that ended in anything but a sentence: both are 0 for the
suite's own formats. Public formats without checksums cannot be held to the first.

Readers that are in --out already, of the same damages, are kept: a long run goes on.
"""

import argparse
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
from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError
from omnilearn.progress import progress
from omnilearn.runs import revision

READERS = OWN | PUBLIC | SIMULATED  # name -> what makes the file and gives its reader
OUTCOMES = ("refused", "unchanged", "changed", "tracebacks")
HEADER = 2048  # bytes: a small part of a file, and the most fragile
LONGEST_ZEROS = 512


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one damage."""
    found, kind = bytearray(content), rng.integers(5)
    if kind == 0:
        found[rng.integers(len(found))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        return content[: rng.integers(len(content))]
    elif kind == 2:
        first = int(rng.integers(len(found)))
        last = min(len(found), first + int(rng.integers(1, LONGEST_ZEROS + 1)))
        found[first:last] = bytes(last - first)
    else:
        reach = len(found) if kind == 3 else min(len(found), HEADER)
        for place in rng.integers(reach, size=rng.integers(1, 9)):
            found[place] = rng.integers(256)
    return bytes(found)


def content_of(value) -> bytes:
    """All that a reader returned, so that two readings can be compared."""
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
    """What a reader makes of a file, one of OUTCOMES."""
    try:
        with np.errstate(all="ignore"):
            found = read(path)
    except UserError:
        return "refused"
    except Exception:
        return "tracebacks"
    return "unchanged" if hashlib.sha256(content_of(found)).digest() == expected else "changed"


def attacked(name: str, seed: int, numbers: Sequence[int], folder: Path) -> dict:
    """Counts of the outcomes of these damages, and the numbers of those that should not be."""
    path, read = READERS[name](folder)
    content = path.read_bytes()
    expected = hashlib.sha256(content_of(read(path))).digest()
    counts = dict.fromkeys(("tried", *OUTCOMES), 0)
    bad: dict[str, list[int]] = {"changed": [], "tracebacks": []}
    for number in numbers:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        path.write_bytes(damaged(content, rng))
        found = outcome(read, path, expected)
        counts["tried"] += 1
        counts[found] += 1
        if found in bad:
            bad[found].append(number)
    if len(numbers) == 1 and counts["tracebacks"]:
        try:
            read(path)
        except Exception:
            traceback.print_exc()
    return {**counts, "numbers": {kind: found[:20] for kind, found in bad.items()}}


def table(rows: dict[str, dict]) -> str:
    """One line per reader."""
    head = ("reader", "tried", *OUTCOMES)
    lines = [head, *((name, *(str(row[key]) for key in head[1:])) for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            f"{text:{'<' if not place else '>'}{width}}"
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks fuzz", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--damages", type=int, default=10_000, help="of all readers (10000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, help="damage files of this reader alone")
    parser.add_argument("--only", type=int, help="the damage of this number alone")
    parser.add_argument("--out", type=Path, help="write the counts here as JSON")
    flags = parser.parse_args(arguments)
    names = [flags.reader] if flags.reader else list(READERS)
    each = -(-flags.damages // len(names))
    numbers = range(each) if flags.only is None else [flags.only]
    command = f"python -m benchmarks fuzz --damages {flags.damages} --seed {flags.seed}"
    rows = already_counted(flags.out, command)
    with progress(len(names), "readers") as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged counts and types make NumPy and uproot warn
        for name in names:
            if name not in rows:
                with tempfile.TemporaryDirectory() as folder:
                    rows[name] = attacked(name, flags.seed, numbers, Path(folder))
                if flags.out:
                    write(flags.out, command, rows)
            bar.update(1)
    print(table(rows))


def already_counted(out: Path | None, command: str) -> dict[str, dict]:
    """The rows that the same command has left at this revision."""
    if not out or not out.exists():
        return {}
    found = json.loads(out.read_text())
    is_same = (found["command"], found["revision"]) == (command, revision())
    return found["readers"] if is_same else {}


def write(out: Path, command: str, rows: dict[str, dict]) -> None:
    """The counts of each reader, and of the suite's own formats together."""
    own = [row for name, row in rows.items() if name in OWN]
    result = {
        "command": command,
        "revision": revision(),
        "damages": sum(row["tried"] for row in rows.values()),
        "own_formats": {key: sum(row[key] for row in own) for key in ("tried", *OUTCOMES)},
        "readers": {name: rows[name] for name in READERS if name in rows},
    }
    with atomic_path(out) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
