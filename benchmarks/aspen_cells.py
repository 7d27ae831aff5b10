"""The cells of the study of Aspen Open Jets (arXiv:2412.10504): a class, a strategy, a size.

A cell is a run of finetune.py on jets of one class of JetClass; `study.json` keeps the numbers of a
whole study.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.runs import Run
from omnilearn.data.catalogue import JETCLASS
from omnilearn.generation.jet_observables import OBSERVABLES
from omnilearn.statistics.results import Result, read_results

CLASSES = ("QCD", "Tbqq")
# strategy -> label in tables and figures
STRATEGIES = {
    "tokens_finetuned": "tokens, fine-tuned",
    "tokens_scratch": "tokens, from scratch",
    "pet_finetuned": "PET, fine-tuned",
    "pet_scratch": "PET, from scratch",
}
MODELS = {"pet": "pet", "omnijet": "tokens"}  # network -> as in the name of a strategy
METRICS = {"kl": "KL divergence", "w1": "W1"}
STUDY = "study.json"


@dataclass(frozen=True)
class Cell:
    """One class, strategy and size."""

    class_name: str
    strategy: str
    jets: int

    @property
    def name(self) -> str:
        return f"{self.class_name}_{self.strategy}_{self.jets}"


@dataclass
class Study:
    """Cells with their results (`generated` by class, parameters, jets per second), and whence."""

    origin: str
    cells: dict[Cell, dict] = field(default_factory=dict)


def metrics() -> list[str]:
    """What generated jets of a cell are compared by."""
    return [f"{kind}_{name}" for kind in METRICS for name in OBSERVABLES]


def is_done(cell: Cell, out: Path) -> bool:
    return (out / "runs" / cell.name / "results.json").is_file()


def cell_results(run: Path, class_name: str) -> dict:
    """results.json of a cell; uncertainties are the spread over its trainings and, added in
    quadrature, the mean bootstrap uncertainty that jets give one of them."""
    results = read_results(run / "results.json")
    seeds = [read_results(path) for path in sorted(run.glob("seed*/results.json"))]
    if len(seeds) > 1:
        numbers = results["generated"][class_name]
        for name, one in numbers.items():
            errors = [seed["generated"][class_name][name].error or 0.0 for seed in seeds]
            error = float(np.hypot(one.error or 0.0, np.mean(errors)))
            numbers[name] = Result(one.value, error, one.n)
    return results


def cell_of(run: Run) -> Cell | None:
    """The cell that a run is: a generator of one class of JetClass jets, from so many of them,
    whose observables were compared."""
    class_name = run.config.get("classes", "").strip()
    compared = run.metrics.get("generated", {}).get(class_name, {}) if run.is_generation else {}
    is_compared = all(name in compared for name in metrics())
    if run.dataset != JETCLASS.name or not is_compared or not run.train_jets:
        return None
    if class_name not in CLASSES or run.network not in MODELS:
        return None
    start = "finetuned" if run.is_finetuned else "scratch"
    return Cell(class_name, f"{MODELS[run.network]}_{start}", run.train_jets)


def studies(runs: Sequence[Run], folders: Sequence[Path]) -> list[Study]:
    """All studies below the folders: those of cells that lie beside each other, and the cells that
    are kept in a study.json alone. Two runs of one cell are of two studies."""
    found: dict[Path, list[Study]] = {}
    for run in runs:
        if cell := cell_of(run):
            together = found.setdefault(run.path.parent.parent, [])
            study = next((one for one in together if cell not in one.cells), None)
            if study is None:
                study = Study(str(Path(run.origin).parent))
                together.append(study)
            study.cells[cell] = cell_results(run.path.parent, cell.class_name)
    together = [study for group in found.values() for study in group]
    for folder in folders:
        for path in sorted(folder.rglob(STUDY)):
            beside = [
                one
                for place, group in found.items()
                if path.parent in place.parents
                for one in group
            ]
            cells = {
                cell: one
                for cell, one in _kept(path)
                if not any(cell in study.cells for study in beside)
            }
            if cells:
                together.append(Study((path.relative_to(folder)).as_posix(), cells))
    return together


def _kept(path: Path) -> Iterator[tuple[Cell, dict]]:
    """The cells of a study.json, as the results.json of each would have them."""
    study = read_results(path)
    for one in study.get("cells", ()):
        cell = Cell(one["class"], one["strategy"], one["training_jets"])
        yield cell, {**one, "data": study["data"], "generated": {cell.class_name: one["metrics"]}}
