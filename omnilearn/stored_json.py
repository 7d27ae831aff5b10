"""Reading and writing our JSON files, whose content has a digest beside it.

The digest is over the content, not its layout. Files without one, older ones and those written by
hand, are read too; to change a file by hand, delete its digest.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omnilearn.atomic import atomic_path
from omnilearn.errors import UserError

DIGEST, SHA = "digest", "sha256:"
MOST_BYTES = 2**28  # our files are shorter; longer ones are not read into memory


def write_json(path: Path, content: dict[str, Any], **layout) -> None:
    """Write `content` with its digest, whole or not at all; `layout`: options of json.dumps."""
    with atomic_path(path) as temporary:
        text = json.dumps({**content, DIGEST: digest_of(content)}, **layout)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write one object per line, each with the digest of all lines, so a lost line is noticed."""
    digest = digest_of(lines)
    with atomic_path(path) as temporary:
        text = "".join(json.dumps({**line, DIGEST: digest}) + "\n" for line in lines)
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path, kind: str, mend: str, constant: Callable | None = None) -> dict[str, Any]:
    """The object in a file of ours, without its digest.

    kind: of the expected file, in words; mend: what helps. Raises UserError with the file and
    both for anything but an object of finite numbers that fits its digest; `constant` is called
    with NaN and Infinity where these are allowed.
    """
    content, digest = parsed_object(stored_text(path, kind, mend), path, kind, mend, constant)
    require_digest(content, {digest} - {None}, path, kind, mend)
    return content


def read_lines(path: Path, kind: str, mend: str) -> list[dict[str, Any]]:
    """The objects that `write_lines` wrote; raises UserError as `read_json` does, naming the line.

    NaN and Infinity are allowed.
    """
    lines, digests = [], set()
    for index, text in enumerate(stored_text(path, kind, mend).splitlines(), start=1):
        line, digest = parsed_object(text, f"{path}, line {index}", kind, mend, float)
        lines.append(line)
        digests.add(digest)
    if digests != {None}:
        require_digest(lines, digests, path, kind, mend)
    return lines


def stored_text(path: Path, kind: str, mend: str) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is longer than {MOST_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a {kind} ({error}); {mend}") from error


def parsed_object(
    text: str, source: Path | str, kind: str, mend: str, constant: Callable | None = None
) -> tuple[dict[str, Any], str | None]:
    """An object and its digest, if any; NaN and Infinity are refused without `constant`."""
    try:
        content = json.loads(
            text,
            parse_constant=constant or refuse_constant,
            parse_float=finite,
            object_pairs_hook=without_duplicates,
        )
    except (ValueError, RecursionError) as error:
        reason = error if isinstance(error, ValueError) else "it is nested too deeply"
        raise UserError(f"{source} is not a {kind} ({reason}); {mend}") from None
    if not isinstance(content, dict):
        raise UserError(f"{source} is not a {kind} but {str(content)[:40]!r}; {mend}")
    # also recognised by its value, where its name is damaged
    names = [key for key, value in content.items() if key == DIGEST or str(value).startswith(SHA)]
    return content, str(content.pop(names[0])) if names else None


def require_digest(content, digests: set, source: Path | str, kind: str, mend: str) -> None:
    if digests and digests != {digest_of(content)}:
        raise UserError(
            f"{source}: its {DIGEST!r} does not fit the rest of this {kind}: it is damaged, or was "
            f"changed by hand (then delete the entry {DIGEST!r}); {mend}"
        )


def digest_of(content) -> str:
    """SHA-256 of the content as it is read back."""
    stored = json.loads(json.dumps(content))
    return SHA + hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()


def finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is too large")
    return value


def refuse_constant(token: str):
    raise ValueError(f"the token {token}, where a finite number is expected, or null")


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name occurs twice")
    return content
