"""Selection of jets of a split: by class, or a seeded random sample.

A sample has equally many jets of every class (or keeps the shares of the classes, where these are
part of a result), and of a class equally many from every file, as far as the files hold them.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnilearn.data.mixing import BLOCK_ROWS, LEAST_BLOCKS, block_rows
from omnilearn.data.reader import JetFiles
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.training.random_streams import OrderStream


class ChosenJets:
    """Selected rows of files, with the interface of `JetFiles`.

    Rows of this sequence count the selected jets; rows (num_jets,): their rows in the split,
    rising.
    """

    def __init__(self, files: JetFiles, rows: np.ndarray):
        self.files, self.rows, self.num_jets = files, rows, len(rows)
        self.spec, self.origin = files.spec, files.origin
        self.multiplicity = files.count(rows)
        step = block_rows(len(rows), files.spec.jets_per_event)
        self.edges = np.append(np.arange(0, len(rows), step), len(rows))

    def __enter__(self) -> "ChosenJets":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """As `JetFiles.close`."""
        self.files.close()

    @property
    def weight_unit(self) -> float:
        """As of `JetFiles`."""
        return self.files.weight_unit

    @weight_unit.setter
    def weight_unit(self, unit: float) -> None:
        self.files.weight_unit = unit

    @property
    def longer(self) -> int:
        """As of `JetFiles`, of the selected jets."""
        return self.files.longer

    def rows_per_file(self) -> Iterator[tuple[Path, np.ndarray]]:
        """The files, each with its selected rows."""
        return self.files.rows_per_file(self.rows)

    def gather(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """As `JetFiles.gather`, of these rows of the selection."""
        return self.files.gather(self.rows[rows])

    def mean_weight(self) -> float:
        """As `JetFiles.mean_weight`, of the selected jets."""
        return self.files.mean_weight(self.rows)

    def labels(self) -> np.ndarray:
        """Class numbers (num_jets,)."""
        return self.files.labels(self.rows)

    def labels_and_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers and weights (num_jets,)."""
        return self.labels(), self.files.weights(self.rows)

    def observable(self, name: str) -> np.ndarray:
        """As `JetFiles.observable`, of the selected jets."""
        return self.files.observable(name, self.rows)


def class_numbers(spec: DatasetSpec, names: str) -> list[int]:
    """Numbers of the classes in a comma-separated text, or of all where it is empty.

    Raises UserError for an unknown class, and for one that is named twice.
    """
    selected = [name.strip() for name in names.split(",")] if names else spec.class_names
    for name in selected:
        if name not in spec.class_names or len(set(selected)) < len(selected):
            raise UserError(
                f"--classes is {names!r}; {spec.name} has the classes "
                f"{', '.join(spec.class_names)}, and each is named once"
            )
    return [spec.class_names.index(name) for name in selected]


def of_classes(spec: DatasetSpec, names: str) -> tuple[DatasetSpec, list[int]]:
    """The dataset with the classes of `class_numbers` alone, and their numbers, rising.

    Of two classes among more, the second is the signal.
    """
    numbers = sorted(class_numbers(spec, names))
    if len(numbers) < spec.num_classes:
        spec = replace(spec, labels=tuple(spec.labels[number] for number in numbers), signal=1)
    return spec, numbers


def selected_jets(
    paths: list[Path], spec: DatasetSpec, limit: int = 0, classes: str = "", seed: int = 0
) -> tuple[JetFiles | ChosenJets, np.ndarray | None]:
    """`limit` jets (0, or more than there are: all) of these classes (empty: all), by this seed.

    Returns them and their rows in the split, rising; rows are None where all jets are selected.
    Events of several jets are kept whole. A class without a jet is named in a warning. Raises
    UserError when there is no jet at all.
    """
    numbers = class_numbers(spec, classes)
    if len(numbers) == spec.num_classes == 1 and not limit:
        return JetFiles(paths, spec), None
    files = JetFiles(paths, spec, counted=False)
    each = spec.jets_per_event
    label = files.labels()[::each]
    in_classes = np.isin(label, numbers)
    if not in_classes.any():
        raise UserError(
            f"{paths[0].parent} holds no jets of the classes {classes}; make it again with those, "
            "or train on others with finetune.py --classes"
        )
    most, events = -(-limit // each), None
    if limit and most < np.count_nonzero(in_classes):
        sizes = [len(rows) // each for _, rows in files.rows_per_file()]
        events = balanced_sample(label, sizes, numbers, most, seed)
    elif not in_classes.all():
        events = np.flatnonzero(in_classes)
    taken = label if events is None else label[events]
    missing = np.setdiff1d(numbers, taken)
    if len(missing):
        names = ", ".join(spec.class_names[index] for index in missing)
        log.warning(
            f"{spec.name}: of the {len(taken) * each} jets taken from {paths[0].parent} none is "
            f"of class {names}"
        )
    if events is None:
        files.multiplicity = files.count()
        return files, None
    rows = (events[:, None] * each + np.arange(each)).ravel()
    return ChosenJets(files, rows), rows


def balanced_sample(
    label: np.ndarray,
    sizes: list[int],
    numbers: list[int],
    count: int,
    seed: int,
    keep_shares: bool = False,
) -> np.ndarray:
    """Rows (count,), rising, of files of these sizes: equally many of every class and file.

    label: class of every row (N,); numbers: the classes; keep_shares: a class keeps its share of
    the split. Where a class or a file has too few rows, the others give more. Raises ValueError
    when there are fewer than `count`.
    """
    ends = np.cumsum(sizes)
    labels_per_file = np.split(label, ends[:-1])
    classes = max(numbers) + 1
    counts = np.stack([np.bincount(part, minlength=classes)[numbers] for part in labels_per_file])
    rng = np.random.default_rng((seed, 0, OrderStream.SAMPLE))
    shares = proportional_shares if keep_shares else equal_shares
    per_class = shares(counts.sum(axis=0), count, rng)
    per_file = [equal_shares(*each, rng) for each in zip(counts.T, per_class, strict=True)]
    selected, least_runs = [], -(-LEAST_BLOCKS // len(sizes))
    for end, size, share in zip(ends, sizes, np.stack(per_file, axis=1), strict=True):
        if not share.any():
            continue
        order = end - size + shuffled_runs(size, int(share.sum()), least_runs, rng)
        for class_number, most in zip(numbers, share, strict=True):
            selected.append(order[label[order] == class_number][:most])
    return np.sort(np.concatenate(selected))


def subset(selected: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the selected rows (N,) bool, or all where they are fewer, as (N,) bool."""
    rng = np.random.default_rng((seed, 0, OrderStream.SAMPLE))
    order = shuffled_runs(len(selected), count, LEAST_BLOCKS, rng)
    in_subset = np.zeros(len(selected), bool)
    in_subset[order[selected[order]][:count]] = True
    return in_subset


def equal_shares(available: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers that add up to `total`, as equal as the available ones (n,) allow.

    Which of them is larger by one is random. Raises ValueError when too few are available.
    """
    if total > available.sum():
        raise ValueError(f"{total} of {available.sum()}")
    shares = np.zeros(len(available), np.int64)
    while rest := total - int(shares.sum()):
        open_ = np.flatnonzero(shares < available)
        level = rest // len(open_)
        if level:
            shares[open_] += np.minimum(level, (available - shares)[open_])
        else:
            shares[rng.permutation(open_)[:rest]] += 1
    return shares


def proportional_shares(available: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers that add up to `total`, in proportion to the available ones (n,)."""
    exact = available * (total / available.sum())
    shares = exact.astype(np.int64)
    return shares + equal_shares((exact > shares).astype(np.int64), total - shares.sum(), rng)


def shuffled_runs(size: int, count: int, least_runs: int, rng: np.random.Generator) -> np.ndarray:
    """The rows 0 to size in shuffled runs of neighbours, so that a chunk is read for many jets.

    The first `count` rows are at least `least_runs` runs; no run is longer than a chunk.
    """
    length = max(1, min(BLOCK_ROWS, count // least_runs))
    starts = np.arange(0, size, length)
    order = rng.permutation(starts)[:, None] + np.arange(length)
    return order[order < size]
