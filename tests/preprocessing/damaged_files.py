"""Files damaged byte by byte, and the promise about them: a sentence or a whole result.

OMNILEARN_MUTATIONS sets how many damaged files a test tries.
"""

import os
import shutil
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
    """One to eight bytes replaced, or a tail cut off, or a stretch zeroed."""
    damaged = bytearray(content)
    kind = rng.integers(4)
    if kind == 0:
        return bytes(damaged[: rng.integers(1, len(damaged))])
    if kind == 1:
        first = rng.integers(len(damaged))
        stretch = damaged[first : first + 64]
        damaged[first : first + 64] = bytes(len(stretch))
        return bytes(damaged)
    # headers are a small part of a file and the most fragile: half of the blows go there
    reach = len(damaged) if kind == 2 else min(len(damaged), 2048)
    for place in rng.integers(reach, size=rng.integers(1, 9)):
        damaged[place] = rng.integers(256)
    return bytes(damaged)


def survives(name: str, path: Path, out: Path) -> int:
    """How many of MUTATIONS mutations of `path` are refused in a sentence; others are converted.

    Asserts that there is no other end: no traceback, no half output, no number that is not finite.
    """
    spec, content, rng = dataset(name), path.read_bytes(), np.random.default_rng(11)
    refused = 0
    for number in range(MUTATIONS):
        path.write_bytes(mutated(content, rng))
        target = out / str(number)
        jobs = plan(name, [Shard.whole("train", 0, (path,))], path.parent, target, 0)
        complaint = None
        try:
            convert(jobs, 1)
        except UserError as error:
            complaint = str(error)
        if complaint is None:
            with h5py.File(jobs[0].outputs[0][0]) as file:
                for level in spec.levels or ("",):
                    for key in ("data", "jet"):
                        assert np.isfinite(file[spec.key(key, level)][:]).all()
                assert np.isfinite(file["weight"][:]).all()
        else:
            refused += 1
            assert str(path) in complaint
            assert "\n" not in complaint
            assert not [left for left in target.rglob("*") if left.is_file()]
        shutil.rmtree(target, ignore_errors=True)
    path.write_bytes(content)
    return refused
