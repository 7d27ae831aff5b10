"""Conversion of randomly damaged files: each ends in a one-sentence error or a complete result.

OMNILEARN_MUTATIONS sets the number of damaged files per test.
"""

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from omnilearn.data.catalogue import dataset
from omnilearn.errors import UserError
from preprocessing.__main__ import plan
from preprocessing.convert import convert
from preprocessing.sources import Shard

MUTATIONS = int(os.environ.get("OMNILEARN_MUTATIONS", "60"))


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One to eight bytes replaced, or the tail cut off, or up to 64 bytes zeroed."""
    damaged = bytearray(content)
    kind = rng.integers(4)
    if kind == 0:
        return bytes(damaged[: rng.integers(1, len(damaged))])
    if kind == 1:
        first = rng.integers(len(damaged))
        damaged[first : first + 64] = bytes(len(damaged[first : first + 64]))
        return bytes(damaged)
    # half of the replaced bytes are in the header, the most sensitive part
    reach = len(damaged) if kind == 2 else min(len(damaged), 2048)
    for place in rng.integers(reach, size=rng.integers(1, 9)):
        damaged[place] = rng.integers(256)
    return bytes(damaged)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Destroy what earlier tests left now, and nothing until the end of the block.

    Some damaged files are read in a deep recursion, where the finalisers of other objects fail.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def survives(name: str, path: Path, out: Path) -> int:
    """Number of MUTATIONS mutations of `path` that are refused in a sentence; others are converted.

    Asserts that there is no traceback, no partial output and no number that is not finite.
    """
    spec, content, rng = dataset(name), path.read_bytes(), np.random.default_rng(11)
    refused = 0
    with without_garbage_collection():
        for index in range(MUTATIONS):
            path.write_bytes(mutated(content, rng))
            target = out / str(index)
            jobs = plan(name, [Shard.whole("train", 0, (path,))], path.parent, target, 0)
            message = None
            try:
                convert(jobs, 1)
            except UserError as error:
                message = str(error)
            if message is None:
                with h5py.File(jobs[0].outputs[0][0]) as file:
                    for level in spec.levels or ("",):
                        for key in ("data", "jet"):
                            assert np.isfinite(file[spec.key(key, level)][:]).all()
                    assert np.isfinite(file["weight"][:]).all()
            else:
                refused += 1
                assert str(path) in message
                assert "\n" not in message
                assert not [left for left in target.rglob("*") if left.is_file()]
            shutil.rmtree(target, ignore_errors=True)
        path.write_bytes(content)
    return refused
