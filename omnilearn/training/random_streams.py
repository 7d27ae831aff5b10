"""The numbers of all random streams of a seed, each used once.

A generator is `numpy.random.default_rng((seed, stream, ...))`, followed by the epoch, step, rank or
jet that it is for. The numbers must not change, or resumed runs would draw others.
"""

from enum import IntEnum, unique

import numpy as np


@unique
class Stream(IntEnum):
    """The second word of a seed."""

    TRAINING = 1  # time, noise and drops of a step; epoch, step and rank follow
    VALIDATION = 2  # the same for one jet; its row follows
    SAMPLED_JETS = 11  # new jets: kinematics, constituents, and the noise of a step of the solver
    SAMPLED_CONSTITUENTS = 12
    SOLVER_STEPS = 13
    SOLVER_STEPS_OF_KINEMATICS = 14
    BACKGROUND_ROLES = 21  # which events of a search are data, reference, test, signal
    SIGNAL_ROLES = 22
    BUMP_HUNT = 23
    SIDEBAND_SIGNAL = 24  # signal in the sidebands; events that their weights accept
    UNWEIGHTING = 25
    FOLDS = 26  # which fold of a search has an event
    DIJETS = 31  # generated events of two jets, and their dijet masses
    DIJET_MASSES = 32
    CODES = 41  # new values of unused codes of a tokeniser
    TOKENS = 42  # the next token of a generated jet
    REPLICA_COUNTS = 51  # how often a bootstrap replica of an unfolding has an event
    REPLICA_SEED = 52  # seeds of the trainings of a replica, and of a repeated unfolding
    REPETITION_SEED = 53


@unique
class OrderStream(IntEnum):
    """The third word of a seed, after the epoch, for the order of jets."""

    BLOCKS = 1
    BATCHES = 2
    JETS = 3
    SAMPLE = 4  # the selection of some jets; the epoch is 0


def derived_seed(*words: int) -> int:
    """A seed below 2^31 from a seed, a stream and the number of its use."""
    return int(np.random.SeedSequence(words).generate_state(1)[0] >> 1)
