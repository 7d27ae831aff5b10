"""Tables of a study of Aspen Open Jets: metrics against training jets, gain by a backbone, cost.

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


def study_tables(study: Study, strategies: Sequence[str] = ()) -> list[Table]:
    """All tables of a study, cells in the order of size, class and strategy; each of `strategies`
    without a cell of a class has a row of dashes."""
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
        *(class_table(cells, laws, name, kind, strategies) for name in CLASSES for kind in METRICS),
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


def cell_metrics(cells: Cells, cell: Cell) -> dict[str, Result]:
    return cells[cell]["generated"][cell.class_name]


def curve(
    cells: Cells, class_name: str, strategy: str, metric: str
) -> tuple[list[int], list[Result]]:
    """Training jets of the cells of a class and strategy, rising, and the metric of each."""
    points = {
        cell.jets: cell_metrics(cells, cell)[metric]
        for cell in cells
        if (cell.class_name, cell.strategy) == (class_name, strategy)
    }
    jets = sorted(points)
    return jets, [points[size] for size in jets]


def class_table(
    cells: Cells, laws: Laws, class_name: str, kind: str, strategies: Sequence[str]
) -> Table:
    """One metric of one class: a row per size and strategy, then the exponents."""
    rows = [["training jets", "strategy", *OBSERVABLES, "test jets"]]
    class_cells = [cell for cell in cells if cell.class_name == class_name]
    for cell in class_cells:
        results = [cell_metrics(cells, cell)[f"{kind}_{name}"] for name in OBSERVABLES]
        texts = [result.text for result in results]
        rows.append([str(cell.jets), STRATEGIES[cell.strategy], *texts, str(results[0].n)])
    for strategy in strategies:
        if not any(cell.strategy == strategy for cell in class_cells):
            rows.append([BLANK, STRATEGIES[strategy], *[BLANK] * (len(OBSERVABLES) + 1)])
    for strategy, label in STRATEGIES.items():
        exponents = [laws[class_name, strategy, f"{kind}_{name}"].exponent for name in OBSERVABLES]
        if any(np.isfinite(exponent.value) for exponent in exponents):
            rows.append(["gamma", label, *(exponent.text for exponent in exponents), BLANK])
    return Table(f"{class_name}: {METRICS[kind]}", rows)


def gain_table(cells: Cells) -> Table:
    """How many of the ten metrics of a size and class are better fine-tuned than from scratch."""
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
        finetuned, from_scratch = cell_metrics(cells, cell), cell_metrics(cells, scratch)
        pairs = [(finetuned[name], from_scratch[name]) for name in metrics()]
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
    """Tokens and diffusion at every size that both have: parameters, speed, KL divergence."""
    divergences = (f"KL {name}" for name in OBSERVABLES)
    rows = [["training jets", "strategy", "class", "parameters", "jets/s", *divergences]]
    for cell, results in cells.items():
        models = {
            neighbour.strategy.split("_")[0]
            for neighbour in cells
            if (neighbour.jets, neighbour.class_name) == (cell.jets, cell.class_name)
        }
        if len(models) < 2:
            continue
        values = [cell_metrics(cells, cell)[f"kl_{name}"].text for name in OBSERVABLES]
        parameters = f"{results['parameters']:.0f}" if "parameters" in results else BLANK
        rate = f"{results['jets_per_second']:.1f}" if "jets_per_second" in results else BLANK
        title = STRATEGIES[cell.strategy]
        rows.append([str(cell.jets), title, cell.class_name, parameters, rate, *values])
    return Table("Tokens and diffusion", rows)


def aspen_tables(studies: Sequence[Study]) -> list[Table]:
    """The tables of every study, with its path in the title; without a study, rows of dashes."""
    tables = []
    for study in studies or [Study("")]:
        source = "no run"
        if study.cells:
            data = sorted({results["data"] for results in study.cells.values()})
            source = f"{' and '.join(data)} jets; {OURS}, {study.origin}"
        for table in study_tables(study, [*STRATEGIES]):
            if len(table.rows) > 1:
                title = f"Aspen Open Jets to JetClass, {table.title} ({source})"
                tables.append(replace(table, title=title))
    return tables
