"""Summarise a file of jets and check that the suite can train on it.

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
from omnilearn.file_kinds import HDF5, problem_of
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
BUFFER_ROWS = 1024  # read at a time
BINS = 50
WHOLE_NUMBERS = ("multiplicity", *FEATURES[len(KINEMATIC_FEATURES) :])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("file", type=Path, help="HDF5 file of the suite or of the released code")
    parser.add_argument(
        "--dataset", default="", help="its dataset, for files that do not store the name"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FIGURE", help="histograms of every input, as PNG and PDF"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print a summary of the file; raises UserError if the suite cannot train on it."""
    path = arguments.file
    if problem := problem_of(path):
        raise UserError(f"{path} {problem}; expected an HDF5 file of jets")
    problems, figures = [], []
    with reading(path, MEND, HDF5), open_for_reading(path) as file:
        if DIGEST in attributes(file) and not is_as_written(path):
            problems.append("it does not hold what was written any more: damaged, or changed since")
        log.info(description(file, path))
        spec = spec_of(file, path, arguments.dataset)
        for name in spec.levels or ("",):
            level = Level(file, path, spec, name)
            log.info(level.report())
            problems += level.problems()
            if arguments.plot:
                figures.append((level.title, stem(arguments.plot, name), level.panels()))
    for title, target, panels in figures:
        input_distributions(panels, spec, target, title)
        log.info(f"figure: {target}.png and .pdf")
    if problems:
        raise UserError(f"{path}: {'; '.join(problems)}; {remedy(spec)}")
    log.info(f"fits {spec.name}")


def description(file: h5py.File, path: Path) -> str:
    """Provenance and datasets of a file, one per line."""
    lines, stored = [str(path)], attributes(file)
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
        if name in stored:
            value = stored[name]
            text = value if isinstance(value, str) else ", ".join(map(str, np.atleast_1d(value)))
            lines.append(f"  {name + ':':15}{text or 'none'}")
    for name, item in file.items():
        kind = f"{item.shape} {item.dtype}" if isinstance(item, h5py.Dataset) else "group"
        lines.append(f"  {name + ':':15}{kind}")
    return "\n".join(lines)


def spec_of(file: h5py.File, path: Path, flag: str) -> DatasetSpec:
    """The dataset that the file names, else that of the flag; your own is declared in a folder
    above the file."""
    stored = str(attributes(file).get("dataset", ""))
    if stored and flag and stored != flag:
        raise UserError(f"{path} is of the dataset {stored}, but --dataset is {flag}")
    name = stored or flag
    if not name:
        raise UserError(f"{path} does not name its dataset; add --dataset, e.g. --dataset top")
    above = [folder.parent for folder in path.resolve().parents if folder.name == name]
    return dataset(name, above[0] if above else Path())


class Level:
    """Summary of the jets of a file at one level; see `StoredLayout` for the shapes."""

    def __init__(self, file: h5py.File, path: Path, spec: DatasetSpec, level: str):
        self.file, self.path, self.spec, self.level = file, path, spec, level
        self.stored: StoredLayout = stored_layout(file, path, spec, level)
        self.constituents = Moments(FEATURES[: spec.num_features])
        self.jets = [Moments(spec.jet_features) for _ in spec.labels]  # by class
        self.weight = Moments(("weight",))
        self.observables = Moments(spec.observables)
        self.weights = np.zeros(spec.num_classes)  # summed, by class
        self.clipped = self.empty_jets = self.unlabelled = 0
        self.unlabelled_row = -1
        self.unit_problem = ""
        with progress(self.stored.rows, f"checking {level}".strip(), "rows") as bar:
            for first_row, buffer in self.buffers():
                self.add(first_row, **buffer)
                bar.update(len(buffer["label"]) // spec.jets_per_event)

    def buffers(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """(first row, arrays) of all jets: data (n, P, F), filled (n, P), jet (n, J), label (n,),
        weight (n,), observables (rows, O); label is -1 outside the classes."""
        spec, stored, each = self.spec, self.stored, self.spec.jets_per_event
        for first_row in range(0, stored.rows, BUFFER_ROWS):
            rows = slice(first_row, first_row + BUFFER_ROWS)
            data = self.file[spec.key("data", self.level)][rows]
            data = data.reshape(-1, *data.shape[-2:])
            jet = self.file[spec.key("jet", self.level)][rows].reshape(len(data), -1)
            if stored.multiplicity:
                multiplicity = self.file[spec.key("multiplicity", self.level)][rows]
                filled = np.arange(stored.slots) < multiplicity.reshape(-1, 1)
            else:
                filled = (data != 0).any(axis=-1)
            label = class_numbers(self.file["pid"][rows], spec.num_classes, stored.one_hot)
            weight = self.file[stored.weight][rows] if stored.weight else np.ones(len(label))
            observables = np.zeros((0, len(spec.observables)))
            if spec.observables and (key := spec.key("observables", self.level)) in self.file:
                observables = self.file[key][rows]
            arrays = {"observables": observables, "data": data, "filled": filled, "jet": jet}
            arrays |= {"label": np.repeat(label, each), "weight": np.repeat(weight, each)}
            yield first_row, arrays

    def add(self, first_row: int, observables, data, filled, jet, label, weight) -> None:
        """Add one buffer to all sums."""
        self.observables.add(observables)
        real = data[filled]
        self.constituents.add(real)
        self.clipped += count_clipped(real)
        has_constituents = filled.any(axis=1)
        self.empty_jets += np.count_nonzero(~has_constituents)
        if (label < 0).any():
            if self.unlabelled == 0:
                place = int(np.argmax(label < 0)) // self.spec.jets_per_event
                self.unlabelled_row = first_row + place
            self.unlabelled += np.count_nonzero(label < 0)
        for index, moments in enumerate(self.jets):
            moments.add(jet[has_constituents & (label == index)])
        counted = (label >= 0) & np.isfinite(weight)
        self.weights += np.bincount(label[counted], weight[counted], self.spec.num_classes)
        self.weight.add(weight[:, None])
        jet_pt = jet[has_constituents, self.spec.jet_features.index("jet_pt")]
        # the suite's files are shuffled, so that the first rows represent all
        if first_row == 0 and len(jet_pt):
            try:
                require_gev(jet_pt, self.spec, self.path)
            except UserError as error:
                self.unit_problem = str(error).removeprefix(f"{self.path}: ")

    @property
    def title(self) -> str:
        return f"{self.spec.title}, {self.level}" if self.level else self.spec.title

    @property
    def not_finite(self) -> int:
        """NaN and infinities among constituents, jets, observables and weights."""
        tables = (self.constituents, self.weight, self.observables, *self.jets)
        return sum(int(moments.not_finite.sum()) for moments in tables)

    def problems(self) -> list[str]:
        """Reasons why the suite cannot train on these jets."""
        problems = []
        if self.not_finite:
            level = f" at level {self.level}" if self.level else ""
            problems.append(f"{self.not_finite} values that are no finite numbers{level}")
        if (smallest := self.constituents.summary("delta_r")[0]) < 0:
            problems.append(
                f"a delta_r of {smallest:g}: fillers in empty slots, or standardised features"
            )
        if self.unlabelled:
            problems.append(
                f"'pid' names no class of {', '.join(self.spec.class_names)} in "
                f"{self.unlabelled} jets, the first in row {self.unlabelled_row}"
            )
        if self.unit_problem:
            problems.append(self.unit_problem)
        return problems

    def report(self) -> str:
        """Tables of classes, jet features and constituent features."""
        spec = self.spec
        rows: list[tuple[str, ...]]
        rows = [("class", "jets", "share", "sum of weights", "mean mass", "mean multiplicity")]
        counts = [int(moments.count.max(initial=0)) for moments in self.jets]
        for name, count, weight, moments in zip(
            spec.class_names, counts, self.weights, self.jets, strict=True
        ):
            means = (moments.summary(key)[1] for key in ("jet_mass", "multiplicity"))
            share = count / max(1, sum(counts))
            rows.append((name, str(count), f"{share:.1%}", f"{weight:.6g}", *map(formatted, means)))
        all_jets = merged(self.jets)
        columns = ("", "smallest", "mean", "std", "largest")
        lines = [f"{self.title}: {sum(counts)} jets in {self.stored.rows} rows", *table(rows)]
        for moments in (all_jets, self.observables, self.weight, self.constituents):
            rows = [(name, *map(formatted, moments.summary(name))) for name in moments.names]
            lines += table([columns, *rows])[0 if moments is all_jets else 1 :]
        lines += [
            f"  slots {self.stored.slots} of {spec.max_constituents}, "
            f"{'filled in front' if self.stored.multiplicity else 'filled where not zero'}; "
            f"{int(self.constituents.count.max())} constituents",
            f"  jets without constituents: {self.empty_jets}",
            f"  log(1 - rel) on its floor: {self.clipped} values",
            f"  NaN or infinite: {self.not_finite} values",
        ]
        return "\n".join(lines)

    def panels(self) -> list[Panel]:
        """Weighted histograms of every input by class, from a second pass over the file."""
        kinds = {"jet": merged(self.jets), "data": self.constituents}
        panels = {
            (kind, column): Panel(
                name,
                edges := bins(name, *moments.summary(name)[::3]),
                np.zeros((self.spec.num_classes, len(edges) - 1)),
            )
            for kind, moments in kinds.items()
            for column, name in enumerate(moments.names)
        }
        for _, buffer in self.buffers():
            filled, label = buffer["filled"], buffer["label"]
            for index in range(self.spec.num_classes):
                jets = filled.any(axis=1) & (label == index)
                values = {"jet": buffer["jet"][jets], "data": buffer["data"][jets][filled[jets]]}
                weights = {"jet": buffer["weight"][jets]}
                weights["data"] = np.repeat(weights["jet"], filled[jets].sum(axis=1))
                for (kind, column), panel in panels.items():
                    value, weight = values[kind][:, column], weights[kind]
                    finite = np.isfinite(value) & np.isfinite(weight)
                    counts, _ = np.histogram(value[finite], panel.edges, weights=weight[finite])
                    panel.counts[index] += counts
        return list(panels.values())


def stem(target: Path, level: str) -> Path:
    """The path of a level's figure without its suffix."""
    path = target.with_suffix("") if target.suffix in (".png", ".pdf") else target
    return path.with_name(f"{path.name}_{level}") if level else path


def class_numbers(pid: np.ndarray, classes: int, one_hot: bool) -> np.ndarray:
    """Class numbers (rows,) of a `pid` (rows,), (rows, 1) or one-hot (rows, classes), else -1."""
    if one_hot:
        valid = ((pid == 0) | (pid == 1)).all(axis=1) & (pid.sum(axis=1) == 1)
        return np.where(valid, pid.argmax(axis=1), -1)
    pid = pid.reshape(-1)
    valid = np.isin(pid, np.arange(classes))
    return np.where(valid, pid, -1).astype(np.int64)


def merged(moments: list[Moments]) -> Moments:
    """The moments of all classes together."""
    total = Moments(moments[0].names)
    for of_class in moments:
        total.merge(of_class)
    return total


def bins(name: str, low: float, high: float) -> np.ndarray:
    """Edges of at most BINS bins over a range, centred on whole numbers for integer quantities."""
    if not np.isfinite(low + high):
        low, high = 0.0, 0.0
    if name in WHOLE_NUMBERS or high <= low:
        width = max(1, -(-int(high - low + 1) // BINS))
        return np.arange(low - 0.5, high + width, width)
    return np.linspace(low, high, BINS + 1)


def formatted(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.5g}"


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of right-justified columns, the first one left-justified."""
    widths = [max(12, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    widths[0] = max(20, widths[0])
    return [
        "  "
        + row[0].ljust(widths[0])
        + "".join(text.rjust(width + 2) for text, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
