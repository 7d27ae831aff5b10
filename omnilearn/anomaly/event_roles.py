"""Roles of the events in a search for a resonance: data, reference, test and bump hunt.

arXiv:2502.14652, Section VIII: background of the signal region and injected signal are the data;
independent background, simulated or generated, is the reference. A tenth of both is for validation.
No event of the test is trained on, neither signal nor background.
"""

from dataclasses import dataclass

import numpy as np

from omnilearn.anomaly.dijets import SAMPLED, SPLITS, Dijets
from omnilearn.errors import UserError
from omnilearn.training.random_streams import Stream

TEST = SPLITS.index("test")
VALIDATION = SPLITS.index("val")
VALIDATION_SHARE = 0.1  # of generated events


@dataclass(frozen=True)
class SearchConfig:
    """Kind of a search, and its events in the signal region, training and validation together.

    kind: idealised, where the reference is background of the same simulation; cathode, where it is
    generated; supervised, where all signal is classified against all background.
    """

    kind: str
    signal: int = 0
    data_background: int = 100_000
    reference_background: int = 350_000


@dataclass(frozen=True)
class EventRoles:
    """Roles of the events, each (N,) bool; an event has one of data, reference and test.

    bump_hunt: events of the test split in a natural spectrum, sidebands and signal region, with as
    much signal per background as in the data.
    """

    data: np.ndarray
    reference: np.ndarray
    test: np.ndarray
    bump_hunt: np.ndarray
    validation: np.ndarray

    def samples(self, is_validation: bool) -> tuple[np.ndarray, np.ndarray]:
        """Data and reference (N,) bool of training or of validation."""
        selected = self.validation if is_validation else ~self.validation
        return self.data & selected, self.reference & selected


def assign_roles(events: Dijets, search: SearchConfig, seed: int) -> EventRoles:
    """Assign the roles; the seed selects background and signal at random.

    If there is less background than the search has, data and reference shrink by the same factor.
    Raises UserError where there is too little signal, or no background.
    """
    inside, stored = events.in_signal_region, events.split != SAMPLED
    pool = inside & stored & (events.split != TEST)
    background, signal = pool & ~events.signal, pool & events.signal
    require_events(events, search, background, signal)
    injected = (
        signal
        if search.kind == "supervised"
        else sampled(signal, events.split, [search.signal], seed, Stream.SIGNAL_ROLES)[0]
    )
    reference_background = 0 if search.kind == "cathode" else search.reference_background
    sizes = (search.data_background, reference_background)
    shrink = min(1.0, np.count_nonzero(background) / sum(sizes))
    counts = [int(size * shrink) for size in sizes]
    parts = sampled(background, events.split, counts, seed, Stream.BACKGROUND_ROLES)
    if search.kind == "supervised":
        data, reference = injected, parts[0] | parts[1]
    elif search.kind == "cathode":
        data = parts[0] | injected
        reference = ~stored & (np.cumsum(~stored) <= search.reference_background)
    else:
        data, reference = parts[0] | injected, parts[1]
    test = stored & inside & ((events.split == TEST) | background) & ~data & ~reference
    share = search.signal / max(1, np.count_nonzero(parts[0]))
    validation = (events.split == VALIDATION) | last_of(reference & ~stored)
    return EventRoles(data, reference, test, bump_hunt_events(events, share, seed), validation)


def require_events(
    events: Dijets, search: SearchConfig, background: np.ndarray, signal: np.ndarray
) -> None:
    """Raise UserError when there are too few events for the search."""
    name, (low, high) = events.spec.name, events.spec.signal_region
    where = f"between {low:g} and {high:g} GeV of dijet mass in train and val"
    if np.count_nonzero(background) < 2:
        raise UserError(
            f"{name}: {np.count_nonzero(background)} background events {where}; "
            "a search needs more events"
        )
    available = np.count_nonzero(signal)
    if search.signal > available:
        raise UserError(
            f"--signal is {search.signal}, {name} has {available} signal events {where}; "
            f"expected at most {available}"
        )
    if search.kind == "supervised" and not available:
        raise UserError(f"{name}: no signal event {where}; --supervised needs some")


def sampled(
    pool: np.ndarray, split: np.ndarray, counts: list[int], seed: int, stream: int
) -> list[np.ndarray]:
    """Disjoint random subsets (N,) bool of a pool (N,) bool, of these sizes.

    Each split contributes in proportion to its share of the pool.
    """
    subsets = [np.zeros(len(pool), bool) for _ in counts]
    total = np.count_nonzero(pool)
    before = 0
    for index in np.unique(split[pool]):
        rows = np.flatnonzero(pool & (split == index))
        rows = np.random.default_rng((seed, stream, int(index))).permutation(rows)
        start = 0
        for subset, count in zip(subsets, counts, strict=True):
            # integers that add up to `count` over the splits
            stop = start + (before + len(rows)) * count // total - before * count // total
            subset[rows[start:stop]] = True
            start = stop
        before += len(rows)
    return subsets


def bump_hunt_events(events: Dijets, share: float, seed: int) -> np.ndarray:
    """Events (N,) bool of the test split in sidebands and signal region.

    In the signal region, signal is `share` times the background, or all signal of the test split if
    that is less. Files without sidebands are left out.
    """
    inside = events.in_signal_region
    pool = events.natural & (events.split == TEST) & (inside | events.in_sidebands)
    background, signal = pool & ~events.signal, pool & events.signal
    expected = share * np.count_nonzero(background & inside)
    fraction = min(1.0, expected / max(1, np.count_nonzero(signal & inside)))
    count = round(fraction * np.count_nonzero(signal))
    return background | sampled(signal, events.split, [count], seed, Stream.BUMP_HUNT)[0]


def last_of(rows: np.ndarray) -> np.ndarray:
    """The last VALIDATION_SHARE of these rows (N,) bool."""
    count = np.count_nonzero(rows)
    return rows & (np.cumsum(rows) > count - int(VALIDATION_SHARE * count))
