"""The plan of batches: functions of (seed, epoch, ranks), computed alike on every rank.

Blocks of consecutive rows are permuted anew each epoch and concatenated; a rank takes a contiguous
share of that sequence and passes through it in windows. Inside a window jets are ordered by the
number of slots they need, so that a batch of short jets is a short array. Every rank knows the
multiplicities of all jets (one byte each) and all take the longest length of a step, so that a
step costs the same on all ranks.
"""

from collections.abc import Sequence

import numpy as np

from omnilearn.keras_settings import uses_xla
from omnilearn.training.random_streams import OrderStream

# The six shorter lengths at P = 150 with the fewest slots, by dynamic programming for a gamma
# distribution of mean 42 and width 18, the multiplicities of JetClass. Slots per jet: 150 with no
# short length, 73 with one, 54 with three, 48 with these six, 46 with ten. Each length adds one
# compiled graph, and one batch per window that is filled with jets of the next length.
LENGTHS_AT_150 = (26, 36, 46, 57, 71, 93)
BLOCK_ROWS = 256  # rows read together, the chunks of our files
LEAST_BLOCKS = 64  # small sets have smaller blocks, so that permuting them mixes the classes


def block_rows(jets: int, jets_per_event: int) -> int:
    """Rows of a block, a multiple of the jets of an event."""
    rows = max(1, min(BLOCK_ROWS, jets // LEAST_BLOCKS))
    return rows + -rows % jets_per_event


def short_lengths(max_constituents: int, neighbours: int = 10) -> tuple[int, int]:
    """The shortest and the longest number of slots, below all slots, at which PET is exact.

    A neighbourhood must fit into it and into the padding left out: neighbours + 1 <= L <=
    P - neighbours - 1 (the released model counts padded slots as particles).
    """
    return neighbours + 1, max_constituents - neighbours - 1


def evaluation_lengths(max_constituents: int) -> tuple[int, ...]:
    """Every length at which PET is exact, and all slots: a batch has no more than its jets need.

    Ranks need not agree on lengths here, and the same graph serves all short ones; with XLA each
    would have its own, and the lengths are those of the training.
    """
    if uses_xla():
        return padded_lengths(max_constituents)
    shortest, longest = short_lengths(max_constituents)
    return (*range(shortest, longest + 1), max_constituents)


def padded_lengths(max_constituents: int, neighbours: int = 10) -> tuple[int, ...]:
    """Numbers of slots of batches in training: a few short lengths, and all slots."""
    shortest, longest = short_lengths(max_constituents, neighbours)
    lengths = [max_constituents]
    for at_150 in reversed(LENGTHS_AT_150):
        length = min(round(at_150 * max_constituents / 150), longest)
        if length >= shortest and lengths[-1] - length >= neighbours // 2:
            lengths.append(length)
    return tuple(reversed(lengths))


class JetOrder:
    """A sequence of blocks of jets, without the jets that have no constituents.

    starts, stops, jets (blocks,): rows of a block and the number of its jets with constituents;
    multiplicity (rows,): filled slots of every row of the files.
    """

    def __init__(
        self, starts: np.ndarray, stops: np.ndarray, jets: np.ndarray, multiplicity: np.ndarray
    ):
        self.multiplicity = multiplicity
        self._starts, self._stops, self._jets = starts, stops, jets
        self._ends = np.cumsum(jets)

    @classmethod
    def of_files(cls, edges: np.ndarray, multiplicity: np.ndarray) -> "JetOrder":
        """The order on disk; edges (blocks + 1,): first rows of the blocks, and the end."""
        jets = np.add.reduceat(multiplicity > 0, edges[:-1], dtype=np.int64)
        return cls(edges[:-1], edges[1:], jets, multiplicity)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def shuffled(self, seed: int, epoch: int) -> "JetOrder":
        """The same blocks in the order of this epoch."""
        rng = np.random.default_rng((seed, epoch, OrderStream.BLOCKS))
        order = rng.permutation(len(self._jets))
        blocks = (self._starts[order], self._stops[order], self._jets[order])
        return JetOrder(*blocks, self.multiplicity)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """File rows (stop - start,) of the jets `start` to `stop` of the sequence."""
        if stop <= start:
            return np.empty(0, np.int64)
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop, side="left"))
        blocks = zip(self._starts[first : last + 1], self._stops[first : last + 1], strict=True)
        rows = np.concatenate([np.arange(begin, end) for begin, end in blocks])
        rows = rows[self.multiplicity[rows] > 0]
        skipped = start - int(self._ends[first] - self._jets[first])
        return rows[skipped : skipped + stop - start]


def windows(steps: int, steps_per_window: int) -> np.ndarray:
    """First steps (windows + 1,) of windows of nearly equal size, and the end."""
    count = max(1, -(-steps // steps_per_window))
    return steps * np.arange(count + 1) // count


def length_groups(lengths: Sequence[int]) -> np.ndarray:
    """For each multiplicity 0..P the index of the shortest length that holds it."""
    return np.searchsorted(lengths, np.arange(lengths[-1] + 1)).astype(np.uint16)


def batch_groups(jets_per_group: np.ndarray, batch_size: int) -> np.ndarray:
    """Length group (batches,) of each batch of jets ordered by group: the group of its last jet."""
    ends = np.cumsum(jets_per_group)
    last = np.arange(batch_size, ends[-1] + 1, batch_size)
    return np.searchsorted(ends, last)


class EpochPlan:
    """The batches of one pass over the jets, for all ranks; `epoch` is the number of the pass.

    Rank r takes the jets [r N // R, r N // R + steps B) of the shuffled sequence; the jets left out
    (fewer than B per rank and fewer than R more) differ randomly between passes.
    """

    def __init__(
        self,
        order: JetOrder,
        lengths: Sequence[int],
        batch_size: int,
        size: int,
        steps_per_window: int,
        seed: int,
        epoch: int,
    ):
        self._order = order.shuffled(seed, epoch)
        self._lengths = np.asarray(lengths)
        self._group_of = length_groups(lengths)
        self._batch_size, self._size = batch_size, size
        self._seed, self._epoch = seed, epoch
        self._windows = windows(len(order) // size // batch_size, steps_per_window)

    @property
    def num_windows(self) -> int:
        return len(self._windows) - 1

    def steps(self, window: int) -> range:
        """Step numbers of this window."""
        return range(self._windows[window], self._windows[window + 1])

    def rows(self, window: int, rank: int) -> np.ndarray:
        """File rows of one rank's window, in reading order."""
        share = rank * len(self._order) // self._size
        begin, end = self._windows[window : window + 2] * self._batch_size
        return self._order.rows(share + begin, share + end)

    def batches(self, window: int, rank: int) -> list[tuple[np.ndarray, int]]:
        """Per step: indices (B,) into `rows(window, rank)` and the slots, equal on all ranks."""
        groups = [
            self._group_of[self._order.multiplicity[self.rows(window, each_rank)]]
            for each_rank in range(self._size)
        ]
        counts = [np.bincount(group, minlength=len(self._lengths)) for group in groups]
        longest = np.max([batch_groups(count, self._batch_size) for count in counts], axis=0)
        slots = self._lengths[longest]

        seed = (self._seed, self._epoch, OrderStream.JETS, window, rank)
        shuffled = np.random.default_rng(seed).permutation(len(groups[rank]))
        by_length = shuffled[np.argsort(groups[rank][shuffled], kind="stable")]
        batches = by_length.reshape(-1, self._batch_size)

        # the same order on all ranks, whose batches of a step must have equal lengths
        seed_of_steps = (self._seed, self._epoch, OrderStream.BATCHES, window)
        steps = np.random.default_rng(seed_of_steps).permutation(len(batches))
        return [(batches[step], int(slots[step])) for step in steps]
