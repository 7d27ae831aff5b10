"""The cells of the study of Aspen Open Jets (arXiv:2412.10504): a class, a strategy, a size.

A cell is a run of finetune.py on jets of one class of JetClass; `study.json` holds the numbers of
all cells of a study.
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
MODELS = {"pet": "pet", "omnijet": "tokens"}  # network -> model in the name of a strategy
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
    """Cells with their results (`generated` by class, parameters, jets per second) and the path
    that they were read from."""

    origin: str
    cells: dict[Cell, dict] = field(default_factory=dict)


def metrics() -> list[str]:
    """The metrics by which generated jets are compared: distance and observable."""
    return [f"{kind}_{name}" for kind in METRICS for name in OBSERVABLES]


def is_done(cell: Cell, out: Path) -> bool:
    return (out / "runs" / cell.name / "results.json").is_file()


def cell_results(run: Path, class_name: str) -> dict:
    """results.json of a cell; an uncertainty is the spread over its trainings and the mean
    bootstrap uncertainty of one training, added in quadrature."""
    results = read_results(run / "results.json")
    seeds = [read_results(path) for path in sorted(run.glob("seed*/results.json"))]
    if len(seeds) > 1:
        metrics_of_class = results["generated"][class_name]
        for name, result in metrics_of_class.items():
            errors = [seed["generated"][class_name][name].error or 0.0 for seed in seeds]
            error = float(np.hypot(result.error or 0.0, np.mean(errors)))
            metrics_of_class[name] = Result(result.value, error, result.n)
    return results


def cell_of(run: Run) -> Cell | None:
    """The cell of a run, if it is a generator of jets of one class of JetClass, trained on a given
    number of them, whose observables were compared."""
    class_name = run.config.get("classes", "").strip()
    if run.dataset != JETCLASS.name or not run.is_generation or not run.train_jets:
        return None
    if class_name not in CLASSES or run.network not in MODELS:
        return None
    compared = run.metrics.get("generated", {}).get(class_name, {})
    if any(name not in compared for name in metrics()):
        return None
    start = "finetuned" if run.is_finetuned else "scratch"
    return Cell(class_name, f"{MODELS[run.network]}_{start}", run.train_jets)


def studies(runs: Sequence[Run], folders: Sequence[Path]) -> list[Study]:
    """All studies below the folders: runs of cells in one folder, and the cells that are stored in
    a study.json only. Two runs of the same cell belong to two studies."""
    by_folder: dict[Path, list[Study]] = {}
    for run in runs:
        if cell := cell_of(run):
            folder_studies = by_folder.setdefault(run.path.parent.parent, [])
            study = next((study for study in folder_studies if cell not in study.cells), None)
            if study is None:
                study = Study(str(Path(run.origin).parent))
                folder_studies.append(study)
            study.cells[cell] = cell_results(run.path.parent, cell.class_name)
    all_studies = [study for group in by_folder.values() for study in group]
    for folder in folders:
        for path in sorted(folder.rglob(STUDY)):
            run_cells = {
                cell
                for run_folder, group in by_folder.items()
                if path.parent in run_folder.parents
                for study in group
                for cell in study.cells
            }
            cells = {
                cell: results for cell, results in cells_of_file(path) if cell not in run_cells
            }
            if cells:
                all_studies.append(Study((path.relative_to(folder)).as_posix(), cells))
    return all_studies


def cells_of_file(path: Path) -> Iterator[tuple[Cell, dict]]:
    """The cells of a study.json with their results, in the form of results.json."""
    study = read_results(path)
    for row in study.get("cells", ()):
        cell = Cell(row["class"], row["strategy"], row["training_jets"])
        yield cell, {**row, "data": study["data"], "generated": {cell.class_name: row["metrics"]}}
