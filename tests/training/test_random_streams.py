"""Every random stream of a seed has its own number, and all are defined in one file."""

import re

import numpy as np
from commands import ROOT

from omnilearn.training.random_streams import OrderStream, Stream, derived_seed
from omnilearn.typed import LARGEST_SEED

SOURCES = [path for path in (ROOT / "omnilearn").rglob("*.py") if "random_streams" not in path.name]


def test_every_stream_is_used_and_no_module_defines_others():
    text = "\n".join(path.read_text() for path in SOURCES)
    for streams in (Stream, OrderStream):
        for name in streams.__members__:
            assert re.search(rf"\b{streams.__name__}\.{name}\b", text), f"{name} is not used"
    for path in SOURCES:
        unnamed = re.findall(r"default_rng\(\([^)]*,\s*[1-9]\d*\s*[,)]", path.read_text())
        assert not unnamed, f"{path.name} draws from {unnamed}; give it a name in random_streams"
        assert "STREAM_" not in path.read_text(), path.name


def test_the_numbers_of_streams_do_not_change():
    """They are part of the seeds of finished runs, which are evaluated and resumed with them."""
    numbers = [1, 2, 11, 12, 13, 14, 21, 22, 23, 24, 25, 26, 31, 32, 41, 42, 51, 52, 53]
    assert [member.value for member in Stream] == numbers
    assert [member.value for member in OrderStream] == [1, 2, 3, 4]
    drawn = [np.random.default_rng((0, each, 5)).random() for each in (Stream.TRAINING, 1)]
    assert drawn[0] == drawn[1]


def test_derived_seeds_are_seeds_of_their_own():
    seeds = [
        derived_seed(seed, stream, number)
        for seed in (0, 1, LARGEST_SEED)
        for stream in (Stream.REPLICA_SEED, Stream.REPETITION_SEED)
        for number in range(50)
    ]
    assert len(set(seeds)) == len(seeds)
    assert 100 < min(seeds) <= max(seeds) < 2**31
