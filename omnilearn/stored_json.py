"""JSON of ours, in and out: a digest beside the content, a sentence for whatever is wrong with it.

The digest is over the content, not its layout. Files without one, older ones and those written by
hand, are read too; who means to change a file by hand deletes its digest.
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
MOST_BYTES = 2**28  # no file of ours is longer; one of others is not read into memory


def write_json(path: Path, content: dict[str, Any], **layout) -> None:
    """`content` with its digest, whole or not at all; `layout` is what json.dumps takes."""
    with atomic_path(path) as temporary:
        text = json.dumps({**content, DIGEST: digest_of(content)}, **layout)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """One object per line, each with the digest of them all, so that a lost line is missed."""
    digest = digest_of(lines)
    with atomic_path(path) as temporary:
        text = "".join(json.dumps({**line, DIGEST: digest}) + "\n" for line in lines)
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path, what: str, mend: str, constant: Callable | None = None) -> dict[str, Any]:
    """The object in a file of ours, without its digest.

    what: what is expected in it, for the sentence. Raises UserError naming the file, and saying
    `mend`, for anything but an object of finite numbers that is as it was written; `constant` is
    called with NaN and Infinity where these are allowed.
    """
    content, digest = read_object(stored_text(path, what, mend), path, what, mend, constant)
    insist_on_digest(content, {digest} - {None}, path, what, mend)
    return content


def read_lines(path: Path, what: str, mend: str) -> list[dict[str, Any]]:
    """The objects that `write_lines` wrote; raises UserError as `read_json` does, naming the line.

    A number that was not finite is read as one.
    """
    lines, digests = [], set()
    for number, text in enumerate(stored_text(path, what, mend).splitlines(), start=1):
        line, digest = read_object(text, f"{path}, line {number}", what, mend, float)
        lines.append(line)
        digests.add(digest)
    if digests != {None}:
        insist_on_digest(lines, digests, path, what, mend)
    return lines


def stored_text(path: Path, what: str, mend: str) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is longer than {MOST_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a {what} ({error}); {mend}") from error


def read_object(
    text: str, where: Path | str, what: str, mend: str, constant: Callable | None = None
) -> tuple[dict[str, Any], str | None]:
    """An object and its digest, if it has one; `constant` reads NaN and Infinity, else refused."""
    try:
        content = json.loads(
            text,
            parse_constant=constant or refused,
            parse_float=finite,
            object_pairs_hook=of_single_keys,
        )
    except (ValueError, RecursionError) as error:
        said = error if isinstance(error, ValueError) else "it is nested too deeply"
        raise UserError(f"{where} is not a {what} ({said}); {mend}") from None
    if not isinstance(content, dict):
        raise UserError(f"{where} is not a {what} but {str(content)[:40]!r}; {mend}")
    # by its value too: a damaged name must not hide it
    names = [key for key, value in content.items() if key == DIGEST or str(value).startswith(SHA)]
    return content, str(content.pop(names[0])) if names else None


def insist_on_digest(content, found: set, where: Path | str, what: str, mend: str) -> None:
    if found and found != {digest_of(content)}:
        raise UserError(
            f"{where}: its {DIGEST!r} does not fit the rest of this {what}: it is damaged, or was "
            f"changed by hand (then delete the entry {DIGEST!r}); {mend}"
        )


def digest_of(content) -> str:
    """SHA-256 of what a reader will find."""
    same = json.loads(json.dumps(content))
    return SHA + hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text} is too large")
    return number


def refused(token: str):
    raise ValueError(f"the token {token}, where a finite number is expected, or null")


def of_single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a name stands there twice")
    return found
