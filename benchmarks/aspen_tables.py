"""The tables of a study of Aspen Open Jets: metrics against size, gain of a backbone, cost.

arXiv:2412.10504 draws these numbers (figures 3 and 4) and tabulates none.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.aspen_cells import CLASSES, METRICS, STRATEGIES, Cell, Study, metrics
from benchmarks.markdown import BLANK, OURS, Table
from omnilearn.generation.jet_observables import OBSERVABLES
from omnilearn.statistics.results import Result
from omnilearn.tokens.power_law import PowerLaw, power_law

Cells = dict[Cell, dict]
Laws = dict[tuple[str, str, str], PowerLaw]  # (class, strategy, metric)


def study_tables(study: Study, wanted: Sequence[str] = ()) -> list[Table]:
    """All tables of a study, cells in the order of size, class and strategy; of the `wanted`
    strategies a class without a cell has a row of dashes."""
    order = sorted(
        study.cells,
        key=lambda cell: (
            cell.jets,
            CLASSES.index(cell.class_name),
            [*STRATEGIES].index(cell.strategy),
        ),
    )
    cells = {cell: study.cells[cell] for cell in order}
    laws = power_laws(cells)
    return [
        *(class_table(cells, laws, name, kind, wanted) for name in CLASSES for kind in METRICS),
        gain_table(cells),
        cost_table(cells),
    ]


def power_laws(cells: Cells) -> Laws:
    return {
        (class_name, strategy, metric): power_law(*curve(cells, class_name, strategy, metric))
        for class_name in CLASSES
        for strategy in STRATEGIES
        for metric in metrics()
    }


def numbers(cells: Cells, cell: Cell) -> dict[str, Result]:
    """Metrics of a cell, nothing where it is not there."""
    return cells[cell]["generated"][cell.class_name] if cell in cells else {}


def curve(
    cells: Cells, class_name: str, strategy: str, metric: str
) -> tuple[list[int], list[Result]]:
    """Training jets of the cells that are there, and the metric of each."""
    points = {
        cell.jets: numbers(cells, cell)[metric]
        for cell in cells
        if (cell.class_name, cell.strategy) == (class_name, strategy)
    }
    jets = sorted(points)
    return jets, [points[size] for size in jets]


def class_table(
    cells: Cells, laws: Laws, class_name: str, kind: str, wanted: Sequence[str] = ()
) -> Table:
    """One metric of one class: a row per size and strategy, and the exponents below."""
    rows = [["training jets", "strategy", *OBSERVABLES, "test jets"]]
    of_class = [cell for cell in cells if cell.class_name == class_name]
    for cell in sorted(of_class, key=lambda one: (one.jets, [*STRATEGIES].index(one.strategy))):
        values = [numbers(cells, cell)[f"{kind}_{name}"] for name in OBSERVABLES]
        rows.append(
            [
                str(cell.jets),
                STRATEGIES[cell.strategy],
                *(one.text for one in values),
                str(values[0].n),
            ]
        )
    for strategy in wanted:
        if not any(cell.strategy == strategy for cell in of_class):
            rows.append([BLANK, STRATEGIES[strategy], *[BLANK] * (len(OBSERVABLES) + 1)])
    for strategy, label in STRATEGIES.items():
        exponents = [laws[class_name, strategy, f"{kind}_{name}"].exponent for name in OBSERVABLES]
        if any(np.isfinite(one.value) for one in exponents):
            rows.append(["gamma", label, *(one.text for one in exponents), BLANK])
    return Table(f"{class_name}: {METRICS[kind]}", rows)


def gain_table(cells: Cells) -> Table:
    """Of the ten metrics of a size and class, in how many fine-tuning is ahead of scratch."""
    rows = [
        [
            "training jets",
            "class",
            "model",
            "ahead",
            "by 2 sigma",
            "behind by 2 sigma",
            "geometric mean of scratch over fine-tuned",
        ]
    ]
    for cell in cells:
        model, kind = cell.strategy.split("_")
        scratch = Cell(cell.class_name, f"{model}_scratch", cell.jets)
        if kind != "finetuned" or scratch not in cells:
            continue
        pairs = [(numbers(cells, cell)[name], numbers(cells, scratch)[name]) for name in metrics()]
        gain = np.array([b.value - a.value for a, b in pairs])
        error = np.array([np.hypot(a.error or 0.0, b.error or 0.0) for a, b in pairs])
        ratio = np.exp(np.mean([np.log(b.value / a.value) for a, b in pairs]))
        rows.append(
            [
                str(cell.jets),
                cell.class_name,
                model,
                f"{(gain > 0).sum()} of {len(gain)}",
                str((gain > 2 * error).sum()),
                str((gain < -2 * error).sum()),
                f"{ratio:.2f}",
            ]
        )
    return Table("Fine-tuned against from scratch: KL divergence and W1 of five observables", rows)


def cost_table(cells: Cells) -> Table:
    """Tokens and diffusion side by side: size, speed and quality at every size both have."""
    rows = [
        [
            "training jets",
            "strategy",
            "class",
            "parameters",
            "jets/s",
            *(f"KL {name}" for name in OBSERVABLES),
        ]
    ]
    for cell, one in cells.items():
        beside = {
            other.strategy.split("_")[0]
            for other in cells
            if (other.jets, other.class_name) == (cell.jets, cell.class_name)
        }
        if len(beside) < 2:
            continue
        values = [numbers(cells, cell)[f"kl_{name}"].text for name in OBSERVABLES]
        rows.append(
            [
                str(cell.jets),
                STRATEGIES[cell.strategy],
                cell.class_name,
                f"{one['parameters']:.0f}" if "parameters" in one else BLANK,
                f"{one['jets_per_second']:.1f}" if "jets_per_second" in one else BLANK,
                *values,
            ]
        )
    return Table("Tokens and diffusion", rows)


def aspen_tables(found: Sequence[Study]) -> list[Table]:
    """The tables of every study, told apart by where it lies; without one, dashes."""
    tables = []
    for study in found or [Study("")]:
        whence = "no run"
        if study.cells:
            data = sorted({one["data"] for one in study.cells.values()})
            whence = f"{' and '.join(data)} jets; {OURS}, {study.origin}"
        for table in study_tables(study, [*STRATEGIES]):
            if len(table.rows) > 1:
                title = f"Aspen Open Jets to JetClass, {table.title} ({whence})"
                tables.append(replace(table, title=title))
    return tables
