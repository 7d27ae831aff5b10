"""The streams of random numbers that one seed has: all their numbers, each used once.

A generator is `numpy.random.default_rng((seed, stream, ...))`; the words that follow say which
epoch, step, rank or jet it is for. Numbers stay what they are: a resumed run draws on.
"""

from enum import IntEnum, unique


@unique
class Stream(IntEnum):
    """The second word of a seed: what is drawn."""

    TRAINING = 1  # time, noise and drops of a step; epoch, step and rank follow
    VALIDATION = 2  # the same of a jet, whatever its batch; its row follows
    SAMPLED_JETS = 11  # new jets: kinematics, constituents, and the noise of a step of the solver
    SAMPLED_CONSTITUENTS = 12
    SOLVER_STEPS = 13
    BACKGROUND_ROLES = 21  # which events of a search are data, reference, test, signal
    SIGNAL_ROLES = 22
    BUMP_HUNT = 23
    DIJETS = 31  # generated events of two jets, and their dijet masses
    DIJET_MASSES = 32
    CODES = 41  # where unused codes of a tokeniser are put
    TOKENS = 42  # the next token of a generated jet


@unique
class OrderStream(IntEnum):
    """The third word of a seed, after the epoch: in which order jets are read."""

    BLOCKS = 1
    BATCHES = 2
    JETS = 3
    SAMPLE = 4  # which jets are used where not all are; the epoch is 0
