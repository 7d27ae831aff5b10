"""Roles of the events in a search for a resonance: data, reference, test and bump hunt.

arXiv:2502.14652, Section VIII: background of the signal region and injected signal are the data;
independent background, simulated or generated, is the reference. A tenth of both is for validation.
No event of the test is trained on, neither signal nor background.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omnilearn.anomaly.dijets import SAMPLED, Dijets
from omnilearn.data.spec import SPLITS
from omnilearn.errors import UserError
from omnilearn.training.random_streams import Stream

TEST = SPLITS.index("test")
VALIDATION = SPLITS.index("val")
VALIDATION_SHARE = 0.1  # of generated events
# kinds whose reference comes from files of its own, and the stages of each
STAGES = {
    "cathode": ("all", "density", "sample", "classify"),
    "cathode_weighted": ("all", "density", "sample", "weight", "classify"),
    "salad": ("all", "weight", "classify"),
}
FROM_FILES = tuple(STAGES)
GENERATED = tuple(kind for kind, stages in STAGES.items() if "density" in stages)
WEIGHTED = tuple(kind for kind, stages in STAGES.items() if "weight" in stages)


@dataclass(frozen=True)
class SearchConfig:
    """Kind of a search, and its events in the signal region, training and validation together.

    kind: idealised, where the reference is background of the same simulation; cathode, where it is
    generated; salad, where it is background of another simulation; supervised, where all signal is
    classified against all background. fold: of `folds` parts of all events, the one that is tested;
    None for the test split.
    """

    kind: str
    signal: int = 0
    data_background: int = 100_000
    reference_background: int = 350_000
    folds: int | None = None
    fold: int | None = None

    def cell(self, seed: int) -> Path:
        """The run of this search and seed, in the folder of all cells."""
        kind = self.kind if self.kind == "supervised" else f"{self.kind}_signal{self.signal}"
        part = "" if self.fold is None else f"_fold{self.fold}"
        return Path(kind) / f"seed{seed}{part}"

    def in_folds(self, folds: int) -> list["SearchConfig"]:
        """The search of each of so many folds; the search itself for a single one."""
        if folds == 1:
            return [self]
        return [replace(self, folds=folds, fold=fold) for fold in range(folds)]


@dataclass(frozen=True)
class EventRoles:
    """Roles of the events, each (N,) bool; an event has one of data, reference and test.

    bump_hunt: events of the test split, or of the fold, in a natural spectrum, sidebands and signal
    region, with as much signal per background as in the data.
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
    if search.folds is not None and search.fold is not None:
        events = events.with_test_fold(search.folds, search.fold)
    inside, stored = events.in_signal_region, events.split != SAMPLED
    pool = inside & stored & (events.split != TEST)
    background, signal = pool & ~events.signal, pool & events.signal
    require_events(events, search, background, signal)
    injected = (
        signal
        if search.kind == "supervised"
        else sampled(signal, events.split, [search.signal], seed, Stream.SIGNAL_ROLES)[0]
    )
    counts = background_counts(search, np.count_nonzero(background))
    parts = sampled(background, events.split, counts, seed, Stream.BACKGROUND_ROLES)
    if search.kind == "supervised":
        data, reference = injected, parts[0] | parts[1]
    elif search.kind in FROM_FILES:
        data = parts[0] | injected
        reference = events_of_files(events, search.reference_background)
    else:
        data, reference = parts[0] | injected, parts[1]
    test = stored & inside & ((events.split == TEST) | background) & ~data & ~reference
    share = search.signal / max(1, np.count_nonzero(parts[0]))
    validation = (events.split == VALIDATION) | last_of(reference & ~stored)
    hunted = natural_events(events, [TEST], share, seed, Stream.BUMP_HUNT)
    return EventRoles(data, reference, test, hunted, validation)


def require_samples(events: Dijets, roles: EventRoles) -> None:
    """Raise UserError where data or reference have no event for training or for validation."""
    low, high = events.spec.signal_region
    for is_validation, use in ((False, "training"), (True, "validation")):
        for sample, name in zip(roles.samples(is_validation), ("data", "reference"), strict=True):
            if not sample.any():
                raise UserError(
                    f"{events.spec.name}: no event of the {name} for {use} between {low:g} and "
                    f"{high:g} GeV of dijet mass; more events or a wider signal region are needed"
                )


def background_counts(search: SearchConfig, available: int) -> list[int]:
    """Background events of data and of a reference among the same events, of so many."""
    from_files = search.kind in FROM_FILES
    sizes = (search.data_background, 0 if from_files else search.reference_background)
    shrink = min(1.0, available / sum(sizes))
    return [int(size * shrink) for size in sizes]


def events_of_files(events: Dijets, most: int) -> np.ndarray:
    """The first events (N,) bool of further files that lie in the signal region, no signal."""
    selected = (events.split == SAMPLED) & events.in_signal_region & ~events.signal
    return selected & (np.cumsum(selected) <= most)


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
        raise UserError(f"{name}: no signal event {where}; a supervised search needs some")


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


def natural_events(
    events: Dijets, splits: Sequence[int], share: float, seed: int, stream: int
) -> np.ndarray:
    """Events (N,) bool of these splits in sidebands and signal region, in their natural spectrum.

    In the signal region, signal is `share` times the background, or all signal of these splits if
    that is less; in the sidebands the same part of the signal is taken. Files without sidebands are
    left out.
    """
    inside = events.in_signal_region
    pool = events.natural & np.isin(events.split, splits) & (inside | events.in_sidebands)
    background, signal = pool & ~events.signal, pool & events.signal
    expected = share * np.count_nonzero(background & inside)
    fraction = min(1.0, expected / max(1, np.count_nonzero(signal & inside)))
    count = round(fraction * np.count_nonzero(signal))
    return background | sampled(signal, events.split, [count], seed, stream)[0]


def recorded_events(events: Dijets, search: SearchConfig, seed: int) -> np.ndarray:
    """Events (N,) bool of train and val as an experiment has them, signal in the sidebands too.

    There is as much signal per background as in the data of the search.
    """
    pool = events.in_signal_region & (events.split < TEST) & ~events.signal
    share = search.signal / max(1, background_counts(search, np.count_nonzero(pool))[0])
    return natural_events(events, range(TEST), share, seed, Stream.SIDEBAND_SIGNAL)


def last_of(rows: np.ndarray) -> np.ndarray:
    """The last VALIDATION_SHARE of these rows (N,) bool."""
    count = np.count_nonzero(rows)
    return rows & (np.cumsum(rows) > count - int(VALIDATION_SHARE * count))
