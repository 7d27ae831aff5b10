"""Who plays what in a search for a resonance: data, reference, test, and the events of the hunt.

arXiv:2502.14652, Section VIII: background of the signal region and injected signal are the data;
independent background, simulated or made by a generator, is the reference. A tenth of both is for
validation. No event of the test was trained on, signal or background.
"""

from dataclasses import dataclass

import numpy as np

from omnilearn.anomaly.dijets import SAMPLED, SPLITS, Dijets
from omnilearn.errors import UserError
from omnilearn.training.random_streams import Stream

TEST = SPLITS.index("test")
VALIDATION = SPLITS.index("val")
VALIDATION_SHARE = 0.1  # of generated events
KINDS = ("idealised", "cathode", "supervised")


@dataclass(frozen=True)
class SearchConfig:
    """What a search is made of: events of the signal region, in training and validation together.

    kind: idealised, where the reference is background of the same simulation; cathode, where it is
    generated; supervised, where all signal stands against all background, by their true labels.
    """

    kind: str
    signal: int = 0
    data_background: int = 100_000
    reference_background: int = 350_000


@dataclass(frozen=True)
class EventRoles:
    """Roles of the events, each (N,) bool; an event has one of data, reference and test.

    hunted: events of the test split in a natural spectrum, sidebands and signal region, with as
    much signal per background as in the data. injected (N,): signal of the data.
    """

    data: np.ndarray
    reference: np.ndarray
    test: np.ndarray
    hunted: np.ndarray
    validation: np.ndarray

    def part(self, validation: bool) -> tuple[np.ndarray, np.ndarray]:
        """Data and reference of training, or of validation."""
        chosen = self.validation if validation else ~self.validation
        return self.data & chosen, self.reference & chosen


def divide(events: Dijets, wanted: SearchConfig, seed: int) -> EventRoles:
    """Draw the roles; which background and which signal is drawn depends on the seed.

    Where there is less background than wanted, data and reference shrink alike. Raises UserError
    when there is not as much signal, or none of what is needed.
    """
    inside, known = events.in_signal_region, events.split != SAMPLED
    pool = inside & known & (events.split != TEST)
    background, signal = pool & ~events.signal, pool & events.signal
    insist_on(events, wanted, background, signal)
    injected = (
        signal
        if wanted.kind == "supervised"
        else sampled(signal, events.split, wanted.signal, seed, Stream.SIGNAL_ROLES)[0]
    )
    numbers = [wanted.data_background, wanted.reference_background]
    if wanted.kind == "cathode":
        numbers[1] = 0
    shrink = min(1.0, np.count_nonzero(background) / sum(numbers))
    counts = [int(number * shrink) for number in numbers]
    parts = sampled(background, events.split, counts, seed, Stream.BACKGROUND_ROLES)
    if wanted.kind == "supervised":
        data, reference = injected, parts[0] | parts[1]
    elif wanted.kind == "cathode":
        made = np.cumsum(~known) <= wanted.reference_background
        data, reference = parts[0] | injected, ~known & made
    else:
        data, reference = parts[0] | injected, parts[1]
    test = known & inside & ((events.split == TEST) | background) & ~data & ~reference
    share = wanted.signal / max(1, np.count_nonzero(parts[0]))
    validation = (events.split == VALIDATION) | last_of(reference & ~known)
    return EventRoles(data, reference, test, hunted(events, share, seed), validation)


def insist_on(
    events: Dijets, wanted: SearchConfig, background: np.ndarray, signal: np.ndarray
) -> None:
    """Raise UserError when the events cannot be what is wanted."""
    name, (low, high) = events.spec.name, events.spec.signal_region
    where = f"between {low:g} and {high:g} GeV of dijet mass in train and val"
    if np.count_nonzero(background) < 2:
        raise UserError(
            f"{name}: {np.count_nonzero(background)} background events {where}; "
            "a search needs more events"
        )
    there = np.count_nonzero(signal)
    if wanted.signal > there:
        raise UserError(
            f"--signal is {wanted.signal}, {name} has {there} signal events {where}; "
            f"the most that works is {there}"
        )
    if wanted.kind == "supervised" and not there:
        raise UserError(f"{name}: no signal event {where}; --supervised learns from them")


def sampled(
    pool: np.ndarray, split: np.ndarray, counts: int | list[int], seed: int, stream: int
) -> list[np.ndarray]:
    """Disjoint random subsets (N,) of these sizes of a pool (N,), from each split by its share."""
    counts = [counts] if isinstance(counts, int) else counts
    found = [np.zeros(len(pool), bool) for _ in counts]
    total = np.count_nonzero(pool)
    before = 0
    for number in np.unique(split[pool]):
        rows = np.flatnonzero(pool & (split == number))
        rows = np.random.default_rng((seed, stream, int(number))).permutation(rows)
        start = 0
        for subset, count in zip(found, counts, strict=True):
            # whole numbers that add up over the splits
            stop = start + (before + len(rows)) * count // total - before * count // total
            subset[rows[start:stop]] = True
            start = stop
        before += len(rows)
    return found


def hunted(events: Dijets, share: float, seed: int) -> np.ndarray:
    """Events (N,) of the test split in both regions, signal `share` times the background in them.

    `share` is counted in the signal region. Of files without sidebands none takes part. Where the
    test split has not as much signal, all of it is taken.
    """
    inside = events.in_signal_region
    there = events.natural & (events.split == TEST) & (inside | events.in_sidebands)
    background, signal = there & ~events.signal, there & events.signal
    wanted = share * np.count_nonzero(background & inside)
    fraction = min(1.0, wanted / max(1, np.count_nonzero(signal & inside)))
    count = round(fraction * np.count_nonzero(signal))
    return background | sampled(signal, events.split, count, seed, Stream.BUMP_HUNT)[0]


def last_of(rows: np.ndarray) -> np.ndarray:
    """The last VALIDATION_SHARE of these rows (N,)."""
    places = np.flatnonzero(rows)
    last = np.zeros(len(rows), bool)
    last[places[len(places) - int(VALIDATION_SHARE * len(places)) :]] = True
    return last
