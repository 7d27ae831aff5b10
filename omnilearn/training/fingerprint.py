"""Fingerprints of the jets and the code of a training, by which changes are noticed.

The fingerprints of all ranks are compared before the first step; that of rank 0 is in every
checkpoint and is compared when a training is resumed.
"""

import json
import socket
from dataclasses import asdict
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
MOST_NAMED = 3  # files in a message


def fingerprint(training: Pipeline, validation: Pipeline) -> dict:
    """Data set, standardisation, files by name with their rows and digests, code; plain JSON.

    Folders are not included, so data may be moved. The standardisation is a constant of the code
    for datasets of the suite; that of one's own may be another when it is made again.
    """
    constants = asdict(training.spec.normalisation).items()
    return {
        "dataset": training.spec.name,
        "standardisation": {name: list(values) for name, values in constants},
        "training": training.sources(),
        "validation": validation.sources(),
        "code": code(),
        "revision": revision(),
    }


@cache
def code() -> str:
    """Digest of the source files of the suite."""
    files = sorted(SUITE.rglob("*.py"))
    parts = [(str(path.relative_to(SUITE)).encode(), path.read_bytes()) for path in files]
    return hashed(*(part for pair in parts for part in pair))


def same_on_all_ranks(training: Pipeline, validation: Pipeline) -> dict:
    """The fingerprint of this rank; raises UserError on all ranks if they differ.

    A rank that cannot read its data ends with an error, which the others notice.
    """
    current = fingerprint(training, validation)
    if distributed.size() == 1:
        return current
    compared = {key: value for key, value in current.items() if key != "revision"}
    digest = bytes.fromhex(hashed(json.dumps(compared).encode()))
    digests = distributed.allgather(np.frombuffer(digest, np.uint8)[None])
    if (digests == digests[0]).all():
        return current
    text = json.dumps({**current, "host": socket.gethostname()}).encode()
    lengths = distributed.allgather(np.array([len(text)], np.int64))
    texts = np.split(distributed.allgather(np.frombuffer(text, np.uint8)), np.cumsum(lengths)[:-1])
    ranks = [json.loads(text.tobytes()) for text in texts]
    other = int((digests != digests[0]).any(axis=1).argmax())
    difference = what_differs(ranks[0], ranks[other])
    raise UserError(
        f"rank {other} on {ranks[other]['host']} trains with other {difference} than rank 0 on "
        f"{ranks[0]['host']}; give all ranks the same --data and the same code"
    )


def refuse_other_data(path: Path, before: dict | None, now: dict, accepted: bool) -> None:
    """Raise UserError where the checkpoint at `path` was trained on other jets, unless accepted.

    Accepted changes and other code are logged: code may be repaired between two jobs. A checkpoint
    without a fingerprint is not compared.
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
            "former files, or train on these with train.py or finetune.py: with another --name, or "
            "going on with --accept-changed-data"
        )
    log.info(f"going on with other data than {path} was trained on: {changed}")


def what_differs(before: dict, now: dict) -> str:
    """The differences in words, empty if only the revisions differ."""
    differences = []
    if before.get("dataset") != now["dataset"]:
        differences.append(f"data set ({before.get('dataset')}, now {now['dataset']})")
    scaling = now["standardisation"]
    if before.get("standardisation", scaling) != scaling:  # earlier versions did not record it
        differences.append("standardisation of the inputs (of dataset.json)")
    for name in JETS:
        if before.get(name) != now[name]:
            files = files_that_differ(before.get(name) or [], now[name])
            differences.append(f"{name} jets ({files})")
    if before.get("code") != now["code"]:
        differences.append(f"code (revision {before.get('revision')}, now {now['revision']})")
    return " and ".join(differences)


def files_that_differ(before: list, now: list) -> str:
    """The first few differences between two lists of files (name, rows, digest), in words."""
    earlier, later = ({name: rest for name, *rest in files} for files in (before, now))
    differences = []
    for name in sorted(earlier.keys() | later.keys()):
        if name not in later:
            differences.append(f"{name} is not among them any more")
        elif name not in earlier:
            differences.append(f"{name} is new")
        elif earlier[name][0] != later[name][0]:
            differences.append(f"{name} has {earlier[name][0]} rows, now {later[name][0]}")
        elif earlier[name] != later[name]:
            differences.append(f"{name} has another content")
    if len(differences) > MOST_NAMED:
        differences[MOST_NAMED:] = [f"{len(differences) - MOST_NAMED} more files"]
    return ", ".join(differences) or "the same files in another order"
