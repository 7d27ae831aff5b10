"""What a training is trained on and with: the jets and the code, to tell when either changed.

Every rank has a fingerprint of its own and all are compared before the first step; that of rank 0
is in every checkpoint and is compared when a training goes on.
"""

import json
import socket
from functools import cache
from pathlib import Path

import numpy as np

from omnilearn.content import hashed
from omnilearn.data.pipeline import Pipeline
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.runs import revision
from omnilearn.training import distributed

SUITE = Path(__file__).parents[1]
JETS = ("training", "validation")
MOST_NAMED = 3  # files in a sentence


def fingerprint(training: Pipeline, validation: Pipeline) -> dict:
    """Data set, files by name with their rows and content, code; plain JSON.

    Folders are not in it: data that were moved are the same.
    """
    return {
        "dataset": training.spec.name,
        **{
            name: pipeline.sources()
            for name, pipeline in zip(JETS, (training, validation), strict=True)
        },
        "code": code(),
        "revision": revision(),
    }


@cache
def code() -> str:
    """Digest of the sources of the suite, whatever the version control says."""
    files = sorted(SUITE.rglob("*.py"))
    parts = [(str(path.relative_to(SUITE)).encode(), path.read_bytes()) for path in files]
    return hashed(*(part for pair in parts for part in pair))


def same_on_all_ranks(training: Pipeline, validation: Pipeline) -> dict:
    """The fingerprint of this rank; raises UserError, on all of them, where another has another.

    A rank that cannot read its data says so and ends, which the others notice.
    """
    found = fingerprint(training, validation)
    if distributed.size() == 1:
        return found
    compared = {key: value for key, value in found.items() if key != "revision"}
    own = bytes.fromhex(hashed(json.dumps(compared).encode()))
    digests = distributed.allgather(np.frombuffer(own, np.uint8)[None])
    if (digests == digests[0]).all():
        return found
    said = json.dumps({**found, "host": socket.gethostname()}).encode()
    lengths = distributed.allgather(np.array([len(said)], np.int64))
    together = distributed.allgather(np.frombuffer(said, np.uint8))
    texts = np.split(together, np.cumsum(lengths)[:-1])
    ranks = [json.loads(text.tobytes()) for text in texts]
    odd = next(number for number, one in enumerate(digests) if (one != digests[0]).any())
    raise UserError(
        f"rank {odd} on {ranks[odd]['host']} trains with other {what_differs(ranks[0], ranks[odd])}"
        f" than rank 0 on {ranks[0]['host']}; give all ranks the same --data and the same code"
    )


def refuse_other_data(path: Path, before: dict | None, now: dict, accepted: bool) -> None:
    """Raise UserError where the checkpoint at `path` was trained on other jets, unless accepted.

    What was accepted, and other code, is said by rank 0: code may be mended between two jobs. A
    checkpoint without a fingerprint is taken as it is.
    """
    if not before:
        return
    if before.get("code") != now["code"]:
        log.info(
            f"the code has changed since {path} (revision {before.get('revision')}, now "
            f"{now['revision']}): going on with the new one"
        )
    changed = what_differs(before, {**now, "code": before.get("code")})
    if not changed:
        return
    if not accepted:
        raise UserError(
            f"{path} was trained on other data than there are now: {changed}; bring back the "
            "former files, go on with these with --accept-changed-data, or use another --name"
        )
    log.info(f"going on with other data than {path} was trained on: {changed}")


def what_differs(before: dict, now: dict) -> str:
    """In words; empty where nothing does, but perhaps the revision."""
    found = []
    if before.get("dataset") != now["dataset"]:
        found.append(f"data set ({before.get('dataset')}, now {now['dataset']})")
    for name in JETS:
        if before.get(name) != now[name]:
            found.append(f"{name} jets ({files_that_differ(before.get(name) or [], now[name])})")
    if before.get("code") != now["code"]:
        found.append(f"code (revision {before.get('revision')}, now {now['revision']})")
    return " and ".join(found)


def files_that_differ(before: list, now: list) -> str:
    """The first few files that are not the same in two lists of (name, rows, content)."""
    earlier, later = ({name: rest for name, *rest in files} for files in (before, now))
    found = []
    for name in sorted(earlier.keys() | later.keys()):
        if name not in later:
            found.append(f"{name} is not among them any more")
        elif name not in earlier:
            found.append(f"{name} is new")
        elif earlier[name][0] != later[name][0]:
            found.append(f"{name} has {earlier[name][0]} rows, now {later[name][0]}")
        elif earlier[name] != later[name]:
            found.append(f"{name} has another content")
    more = [f"{len(found) - MOST_NAMED} more files"] if len(found) > MOST_NAMED else []
    return ", ".join(found[:MOST_NAMED] + more) or "the same files in another order"
