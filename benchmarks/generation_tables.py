"""Tables 5 and 6 of arXiv:2502.14652 with this suite's generating runs: one row per class, model.

Called by `python -m benchmarks tables`. A run's results.json holds set -> class -> metric, sets
being "generated" and, with true jet kinematics, "ideal".
"""

from collections.abc import Sequence

from benchmarks.published_generation import BLANK, PUBLISHED_GENERATION
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.errors import UserError
from omnilearn.generation.distances import EMD_BATCHES, EMD_JETS
from omnilearn.statistics.results import Result

HEADINGS = {
    "w1m": ("W1M (10^-3)", 1e3), "w1p": ("W1P (10^-3)", 1e3), "w1efp": ("W1EFP (10^-5)", 1e5),
    "fpnd": ("FPND", 1.0), "coverage": ("Cov", 1.0), "mmd": ("MMD", 1.0),
    "fpd": ("FPD (10^-3)", 1e3), "kpd": ("KPD (10^-3)", 1e3),
}  # fmt: skip
OBSERVABLES = ("jet_pt", "jet_mass", "tau21", "tau32", "multiplicity")
SETS = {"generated": "", "ideal": " (Ideal)"}


def is_generation(metrics: dict) -> bool:
    return any(isinstance(metrics.get(name), dict) for name in SETS)


def generation_rows(dataset: str, runs: Sequence) -> list[list[str]]:
    """Heading, then class by class the published rows and those of `runs` of that dataset."""
    table = PUBLISHED_GENERATION.get(dataset)
    metrics = (*(table.metrics if table else ("w1m", "w1p", "w1efp", "coverage", "mmd")),
               "fpd", "kpd")  # fmt: skip
    names = CATALOGUE[dataset].class_names if dataset in CATALOGUE else classes_of(runs)
    rows = [["Class", "Model", "Data", "Jets", *(HEADINGS[name][0] for name in metrics), "Source"]]
    for class_name in names:
        for model in table.rows[class_name] if table else ():
            cells = [cell.replace("±", " ± ") for cell in table.rows[class_name][model].split()]
            cells += [BLANK] * (len(metrics) - len(cells))
            rows.append([class_name, model, "public", "50000", *cells,
                         f"{table.citation}, {table.number}"])  # fmt: skip
        rows += own_rows(dataset, class_name, metrics, runs)
    return rows


def own_rows(dataset: str, class_name: str, metrics: Sequence[str], runs: Sequence) -> list:
    """Rows of this suite for one class: of every set of every run that has it."""
    rows = []
    for run in runs:
        for name, suffix in SETS.items():
            found = run.metrics.get(name, {}).get(class_name) if run.dataset == dataset else None
            if not found:
                continue
            cells = [scaled(found.get(metric), HEADINGS[metric][1], run)
                     + fewer_jets(metric, found.get(metric)) for metric in metrics]  # fmt: skip
            jets = str(found["w1m"].n)
            source = f"this suite, {run.path.parent.name}"
            rows.append([class_name, run.model + suffix, run.data, jets, *cells, source])
    return rows


def fewer_jets(metric: str, result: Result | None) -> str:
    """What says that coverage or MMD is of batches of fewer jets than the published one."""
    if metric not in ("coverage", "mmd") or result is None or result.n >= EMD_JETS * EMD_BATCHES:
        return ""
    return f" ({result.n // EMD_BATCHES} jets)"


def observable_rows(dataset: str, runs: Sequence) -> list[list[str]]:
    """KL divergence and W1 of jet observables, as arXiv:2412.10504 compares generated jets."""
    headings = [f"{kind} {name}" for name in OBSERVABLES for kind in ("KL", "W1")]
    keys = [f"{kind}_{name}" for name in OBSERVABLES for kind in ("kl", "w1")]
    rows = [["Class", "Model", "Data", "Jets", *headings, "Source"]]
    for class_name in classes_of([run for run in runs if run.dataset == dataset]):
        for run in runs:
            for name, suffix in SETS.items():
                found = run.metrics.get(name, {}).get(class_name, {})
                if run.dataset == dataset and all(key in found for key in keys):
                    rows.append([class_name, run.model + suffix, run.data, str(found[keys[0]].n),
                                 *(scaled(found[key], 1.0, run) for key in keys),
                                 f"this suite, {run.path.parent.name}"])  # fmt: skip
    return rows


def classes_of(runs: Sequence) -> list[str]:
    """Classes that any run has, in their order."""
    return list(dict.fromkeys(
        name for run in runs for kind in SETS for name in run.metrics.get(kind, {})
    ))  # fmt: skip


def scaled(result: Result | None, factor: float, run) -> str:
    """A result in the units of the column, or a dash."""
    if result is None:
        return BLANK
    if not isinstance(result, Result):
        raise UserError(
            f"{run.path}: a metric is no result with value, error and n; write the file again "
            f"with: python evaluate.py {run.path.parent}"
        )
    error = None if result.error is None else result.error * factor
    return Result(result.value * factor, error, result.n, result.bound, result.reason).text
