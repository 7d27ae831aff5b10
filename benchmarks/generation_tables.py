"""Tables 5 and 6 of arXiv:2502.14652 with the generators of this suite: a row per class and model.

Called by `python -m benchmarks tables`. The results.json of a run holds set -> class -> metric; a
set is "generated" or, with true jet kinematics, "ideal".
"""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.markdown import BLANK, MODEL, SOURCE, Table
from benchmarks.published_generation import PUBLISHED_GENERATION
from benchmarks.runs import NO_RUN, SETS, Run, by_size, in_order, pet_rows, text_of
from benchmarks.tagging_tables import cited, title_of
from omnilearn.data.catalogue import CATALOGUE
from omnilearn.generation.distances import EMD_BATCHES, EMD_JETS
from omnilearn.statistics.results import Result

HEADINGS = {
    "w1m": ("W1M (10^-3)", 1e3),
    "w1p": ("W1P (10^-3)", 1e3),
    "w1efp": ("W1EFP (10^-5)", 1e5),
    "fpnd": ("FPND", 1.0),
    "coverage": ("Cov", 1.0),
    "mmd": ("MMD", 1.0),
    "fpd": ("FPD (10^-3)", 1e3),
    "kpd": ("KPD (10^-3)", 1e3),
}
WITHOUT_A_TABLE = ("w1m", "w1p", "w1efp", "coverage", "mmd")
EXTRA = ("fpd", "kpd")  # not in the papers
OBSERVABLES = ("jet_pt", "jet_mass", "tau21", "tau32", "multiplicity")
PUBLISHED_JETS = "50000"
TEXTS = 3  # columns of text: class, model, kind of data


def generation_tables(runs: Sequence[Run]) -> list[Table]:
    """Per dataset a table of the published metrics, and one of observables if a run has them."""
    runs = [run for run in runs if run.is_generation]
    tables = []
    for dataset in dict.fromkeys([*PUBLISHED_GENERATION, *(run.dataset for run in runs)]):
        table = PUBLISHED_GENERATION.get(dataset)
        title = f"{title_of(dataset)}, generated"
        of_dataset = [run for run in runs if run.dataset == dataset]
        for name, rows in (
            (cited(title, table), generation_rows(dataset, of_dataset)),
            (f"{title}: observables", observable_rows(of_dataset)),
        ):
            if len(rows) > 1:
                tables.append(Table(name, rows, TEXTS))
    return tables


def generation_rows(dataset: str, runs: Sequence[Run]) -> list[list[str]]:
    """Heading, then for every class the published rows and those of `runs` of that dataset."""
    table = PUBLISHED_GENERATION.get(dataset)
    metrics = (*(table.metrics if table else WITHOUT_A_TABLE), *EXTRA)
    names = CATALOGUE[dataset].class_names if dataset in CATALOGUE else classes_of(runs)
    rows = [["Class", MODEL, "Data", "Jets", *(HEADINGS[name][0] for name in metrics), SOURCE]]
    for class_name in names:
        if table:
            for model, row in table.rows[class_name].items():
                cells = [cell.replace("±", " ± ") for cell in row.split()]
                cells += [BLANK] * (len(metrics) - len(cells))
                rows.append([class_name, model, "public", PUBLISHED_JETS, *cells, table.source])
        rows += run_rows(dataset, class_name, metrics, runs)
    return rows


def run_rows(
    dataset: str, class_name: str, metrics: Sequence[str], runs: Sequence[Run]
) -> list[list[str]]:
    """Rows of this suite for one class: every set of every run that has the class, and a row of
    dashes for a model of the paper without a run."""
    rows = []
    expected = pet_rows("PET generator") if dataset in PUBLISHED_GENERATION else {}
    for kind, mark in SETS.items():
        matching_runs = [
            run
            for run in runs
            if any(run.result(name, class_metrics(run, kind, class_name)) for name in metrics)
        ]
        for model, run in in_order(matching_runs, expected):
            if run is None:
                blank = [BLANK] * (2 + len(metrics))
                rows.append([class_name, marked(model, mark), *blank, NO_RUN])
                continue
            measured = class_metrics(run, kind, class_name)
            results = [run.result(name, measured) for name in metrics]
            jets = next(str(result.n) for result in results if result)
            cells = [
                cell(result, HEADINGS[name][1]) + fewer_jets(name, result)
                for name, result in zip(metrics, results, strict=True)
            ]
            rows.append([class_name, marked(model, mark), run.data, jets, *cells, run.source])
    return rows


def fewer_jets(metric: str, result: Result | None) -> str:
    """A remark if coverage or MMD is of batches of fewer jets than the published one."""
    if metric not in ("coverage", "mmd") or result is None or result.n >= EMD_JETS * EMD_BATCHES:
        return ""
    return f" ({result.n // EMD_BATCHES} jets)"


def marked(model: str, mark: str) -> str:
    """PET generator (small), ideal -> PET generator (Ideal, small)."""
    if not mark:
        return model
    name, _, details = model.partition(" (")
    return f"{name} ({mark}, {details}" if details else f"{name} ({mark})"


def class_metrics(run: Run, kind: str, class_name: str) -> dict:
    """Metrics of one class of a set of jets; empty if the run does not have it."""
    return run.metrics.get(kind, {}).get(class_name, {})


def observable_rows(runs: Sequence[Run]) -> list[list[str]]:
    """KL divergence and W1 of jet observables, as in arXiv:2412.10504, Section III.2."""
    headings = [f"{kind} {name}" for name in OBSERVABLES for kind in ("KL", "W1")]
    keys = [f"{kind}_{name}" for name in OBSERVABLES for kind in ("kl", "w1")]
    rows = [["Class", MODEL, "Data", "Jets", *headings, SOURCE]]
    for class_name in classes_of(runs):
        for kind, mark in SETS.items():
            for run in sorted(runs, key=by_size):
                metrics = class_metrics(run, kind, class_name)
                if all(key in metrics for key in keys):
                    cells = [text_of(run.result(key, metrics)) for key in keys]
                    model, jets = marked(run.model, mark), str(metrics[keys[0]].n)
                    rows.append([class_name, model, run.data, jets, *cells, run.source])
    return rows


def classes_of(runs: Sequence[Run]) -> list[str]:
    """Classes that any run has, in their order."""
    names = (name for run in runs for kind in SETS for name in run.metrics.get(kind, {}))
    return list(dict.fromkeys(names))


def cell(result: Result | None, factor: float) -> str:
    """A result in the units of the column, or a dash."""
    return BLANK if result is None else scaled(result, factor).text


def scaled(result: Result, factor: float) -> Result:
    """A result in units that are 1 / factor as large."""
    error = None if result.error is None else result.error * factor
    return replace(result, value=result.value * factor, error=error)
