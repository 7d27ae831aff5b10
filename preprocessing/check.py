"""What is in a file of jets, and whether it is what the suite trains on.

python -m preprocessing check DATA/top/train/top_train_000.h5
python -m preprocessing check FILE --plot inputs             inputs.png and inputs.pdf
python -m preprocessing check train_ttbar.h5 --dataset top   a file of the released code
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from omnilearn.content import DIGEST, is_as_written
from omnilearn.data.catalogue import dataset
from omnilearn.data.layout import StoredLayout, remedy, stored_layout
from omnilearn.data.spec import FEATURES, KINEMATIC_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.hdf5 import open_for_reading
from omnilearn.hdf5_sums import attributes
from omnilearn.kinematics import count_clipped
from omnilearn.log import log
from omnilearn.plotting.distributions import Panel, input_distributions
from omnilearn.progress import progress
from preprocessing.jet_chunk import require_gev
from preprocessing.moments import Moments
from preprocessing.sources import reading

MEND = (
    "make it again with what wrote it (python -m preprocessing DATASET, or write_dataset), or "
    "download it again where the released code did"
)
STRETCH = 1024  # rows held at a time
BINS = 50
WHOLE_NUMBERS = ("multiplicity", *FEATURES[len(KINEMATIC_FEATURES) :])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("file", type=Path, help="HDF5 file of the suite or of the released code")
    parser.add_argument(
        "--dataset", default="", help="what it should be, for files that do not say it themselves"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FIGURE", help="draw every input here, as PNG and PDF"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print what the file holds; raises UserError when it is not what the suite trains on."""
    path = arguments.file
    if not path.is_file():
        raise UserError(f"{path} not found; expected an HDF5 file of jets")
    wrong, figures = [], []
    with reading(path, MEND), open_for_reading(path) as file:
        if DIGEST in attributes(file) and not is_as_written(path):
            wrong.append("it does not hold what was written any more: damaged, or changed since")
        log.info(described(file, path))
        spec = spec_of(file, path, arguments.dataset)
        for level in spec.levels or ("",):
            found = Level(file, path, spec, level)
            log.info(found.report())
            wrong += found.complaints()
            if arguments.plot:
                figures.append((found.title, stem(arguments.plot, level), found.panels()))
    for title, target, panels in figures:
        input_distributions(panels, spec, target, title)
        log.info(f"figure: {target}.png and .pdf")
    if wrong:
        raise UserError(f"{path}: {'; '.join(wrong)}; {remedy(spec)}")
    log.info(f"fits {spec.name}")


def described(file: h5py.File, path: Path) -> str:
    """Keys and provenance, as they are stored."""
    lines, said = [str(path)], attributes(file)
    for name in (
        "dataset",
        "split",
        "origin",
        "seed",
        "suite_version",
        "sources",
        "dropped_empty",
        "rejected",
        "selection",
        "units",
    ):
        if name in said:
            value = said[name]
            text = value if isinstance(value, str) else ", ".join(map(str, np.atleast_1d(value)))
            lines.append(f"  {name + ':':15}{text or 'none'}")
    for name, item in file.items():
        kind = f"{item.shape} {item.dtype}" if isinstance(item, h5py.Dataset) else "group"
        lines.append(f"  {name + ':':15}{kind}")
    return "\n".join(lines)


def spec_of(file: h5py.File, path: Path, asked: str) -> DatasetSpec:
    """The dataset a file says it is of, else the one asked for; one of your own lies above it."""
    stored = str(attributes(file).get("dataset", ""))
    if stored and asked and stored != asked:
        raise UserError(f"{path} says it is of {stored}, but --dataset is {asked}")
    name = stored or asked
    if not name:
        raise UserError(
            f"{path} does not say which dataset it is of; say it with --dataset, e.g. --dataset top"
        )
    above = [folder.parent for folder in path.resolve().parents if folder.name == name]
    return dataset(name, above[0] if above else Path())


class Level:
    """The jets of a file at one level, summed up in one pass; see `StoredLayout` for the shapes."""

    def __init__(self, file: h5py.File, path: Path, spec: DatasetSpec, level: str):
        self.file, self.path, self.spec, self.level = file, path, spec, level
        self.stored: StoredLayout = stored_layout(file, path, spec, level)
        self.constituents = Moments(FEATURES[: spec.num_features])
        self.jets = [Moments(spec.jet_features) for _ in spec.labels]  # by class
        self.weight = Moments(("weight",))
        self.observables = Moments(spec.observables)
        self.weights = np.zeros(spec.num_classes)  # summed, by class
        self.clipped = self.without = self.outside = 0
        self.outside_row = -1
        self.units = ""
        with progress(self.stored.rows, f"checking {level}".strip(), "rows") as bar:
            for row, part in self.stretches():
                self.add(row, **part)
                bar.update(len(part["label"]) // spec.jets_per_event)

    def stretches(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """(first row, arrays) of all jets: data (n, P, F), filled (n, P), jet (n, J), label (n,),
        weight (n,), observables (rows, O); label is -1 outside the classes."""
        spec, stored, each = self.spec, self.stored, self.spec.jets_per_event
        for first in range(0, stored.rows, STRETCH):
            part = slice(first, first + STRETCH)
            data = self.file[spec.key("data", self.level)][part]
            data = data.reshape(-1, *data.shape[-2:])
            jet = self.file[spec.key("jet", self.level)][part].reshape(len(data), -1)
            if stored.multiplicity:
                number = self.file[spec.key("multiplicity", self.level)][part].reshape(-1, 1)
                filled = np.arange(stored.slots) < number
            else:
                filled = (data != 0).any(axis=-1)
            label = class_numbers(self.file["pid"][part], spec.num_classes, stored.one_hot)
            weight = self.file[stored.weight][part] if stored.weight else np.ones(len(label))
            observables = np.zeros((0, len(spec.observables)))
            if spec.observables and (key := spec.key("observables", self.level)) in self.file:
                observables = self.file[key][part]
            yield (
                first,
                {
                    "observables": observables,
                    "data": data,
                    "filled": filled,
                    "jet": jet,
                    "label": np.repeat(label, each),
                    "weight": np.repeat(weight, each),
                },
            )

    def add(self, row: int, observables, data, filled, jet, label, weight) -> None:
        """Take in one stretch."""
        self.observables.add(observables)
        real = data[filled]
        self.constituents.add(real)
        self.clipped += count_clipped(real)
        there = filled.any(axis=1)
        self.without += np.count_nonzero(~there)
        if (label < 0).any():
            if self.outside == 0:
                self.outside_row = row + int(np.argmax(label < 0)) // self.spec.jets_per_event
            self.outside += np.count_nonzero(label < 0)
        for number, moments in enumerate(self.jets):
            moments.add(jet[there & (label == number)])
        known = (label >= 0) & np.isfinite(weight)
        self.weights += np.bincount(label[known], weight[known], self.spec.num_classes)
        self.weight.add(weight[:, None])
        jet_pt = jet[there, self.spec.jet_features.index("jet_pt")]
        if row == 0 and len(jet_pt):  # the suite's files are shuffled: the first rows are like all
            try:
                require_gev(jet_pt, self.spec, self.path)
            except UserError as error:
                self.units = str(error).removeprefix(f"{self.path}: ")

    @property
    def title(self) -> str:
        return f"{self.spec.title}, {self.level}" if self.level else self.spec.title

    @property
    def not_finite(self) -> int:
        """NaN and infinities among constituents, jets, observables and weights."""
        every = (self.constituents, self.weight, self.observables, *self.jets)
        return sum(int(moments.not_finite.sum()) for moments in every)

    def complaints(self) -> list[str]:
        """What keeps the suite from training on these jets."""
        where = f" at level {self.level}" if self.level else ""
        wrong = []
        if self.not_finite:
            wrong.append(f"{self.not_finite} values that are no finite numbers{where}")
        if self.outside:
            wrong.append(
                f"'pid' names no class of {', '.join(self.spec.class_names)} in "
                f"{self.outside} jets, the first in row {self.outside_row}"
            )
        if self.units:
            wrong.append(self.units)
        return wrong

    def report(self) -> str:
        """Classes, jets and constituents in tables."""
        spec = self.spec
        rows: list[tuple[str, ...]]
        rows = [("class", "jets", "share", "sum of weights", "mean mass", "mean multiplicity")]
        counts = [int(moments.count.max(initial=0)) for moments in self.jets]
        for name, number, weights, moments in zip(
            spec.class_names, counts, self.weights, self.jets, strict=True
        ):
            means = (moments.of(key)[1] for key in ("jet_mass", "multiplicity"))
            share = number / max(1, sum(counts))
            rows.append((name, str(number), f"{share:.1%}", f"{weights:.6g}", *map(shown, means)))
        all_jets = merged(self.jets)
        columns = ("", "smallest", "mean", "std", "largest")
        lines = [f"{self.title}: {sum(counts)} jets in {self.stored.rows} rows", *table(rows)]
        for moments in (all_jets, self.observables, self.weight, self.constituents):
            found = [(name, *map(shown, moments.of(name))) for name in moments.names]
            lines += table([columns, *found])[0 if moments is all_jets else 1 :]
        lines += [
            f"  slots {self.stored.slots} of {spec.max_constituents}, "
            f"{'filled in front' if self.stored.multiplicity else 'filled where not zero'}; "
            f"{int(self.constituents.count.max())} constituents",
            f"  jets without constituents: {self.without}",
            f"  log(1 - rel) on its floor: {self.clipped} values",
            f"  NaN or infinite: {self.not_finite} values",
        ]
        return "\n".join(lines)

    def panels(self) -> list[Panel]:
        """Histograms of every input by class, weighted, in a second pass."""
        kinds = {"jet": merged(self.jets), "data": self.constituents}
        drawn = {
            (kind, place): Panel(
                name,
                edges := bins(name, *moments.of(name)[::3]),
                np.zeros((self.spec.num_classes, len(edges) - 1)),
            )
            for kind, moments in kinds.items()
            for place, name in enumerate(moments.names)
        }
        for _, part in self.stretches():
            filled, there = part["filled"], part["filled"].any(axis=1)
            for number in range(self.spec.num_classes):
                mine = there & (part["label"] == number)
                values = {"jet": part["jet"][mine], "data": part["data"][mine][filled[mine]]}
                weight = {"jet": part["weight"][mine]}
                weight["data"] = np.repeat(weight["jet"], filled[mine].sum(axis=1))
                for (kind, place), panel in drawn.items():
                    column = values[kind][:, place]
                    fine = np.isfinite(column) & np.isfinite(weight[kind])
                    counts, _ = np.histogram(column[fine], panel.edges, weights=weight[kind][fine])
                    panel.counts[number] += counts
        return list(drawn.values())


def stem(target: Path, level: str) -> Path:
    """The figure without its ending, each level with one of its own."""
    whole = target.with_suffix("") if target.suffix in (".png", ".pdf") else target
    return whole.with_name(f"{whole.name}_{level}") if level else whole


def class_numbers(pid: np.ndarray, classes: int, one_hot: bool) -> np.ndarray:
    """Class numbers (rows,) of a `pid` (rows,), (rows, 1) or one-hot (rows, classes), else -1."""
    if one_hot:
        good = ((pid == 0) | (pid == 1)).all(axis=1) & (pid.sum(axis=1) == 1)
        return np.where(good, pid.argmax(axis=1), -1)
    pid = pid.reshape(-1)
    good = np.isin(pid, np.arange(classes))
    return np.where(good, pid, -1).astype(np.int64)


def merged(moments: list[Moments]) -> Moments:
    """The moments of all classes together."""
    total = Moments(moments[0].names)
    for one in moments:
        total.join(one)
    return total


def bins(name: str, low: float, high: float) -> np.ndarray:
    """Edges of at most BINS bins over a range, around whole numbers where there are only these."""
    if not np.isfinite(low + high):
        low, high = 0.0, 0.0
    if name in WHOLE_NUMBERS or high <= low:
        width = max(1, -(-int(high - low + 1) // BINS))
        return np.arange(low - 0.5, high + width, width)
    return np.linspace(low, high, BINS + 1)


def shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.5g}"


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of right-justified columns, the first one to the left."""
    widths = [max(12, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    widths[0] = max(20, widths[0])
    return [
        "  "
        + row[0].ljust(widths[0])
        + "".join(text.rjust(width + 2) for text, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
