"""Tables 1 to 4 of arXiv:2502.14652 and Table I of arXiv:2404.16091v2, with this suite's taggers.

Called by `python -m benchmarks tables`.
"""

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.markdown import BLANK, MODEL, SOURCE, Table
from benchmarks.published import PUBLISHED, Number, PublishedTable
from benchmarks.published_generation import GenerationTable
from benchmarks.runs import NO_RUN, Run, in_order, pet_rows, text_of
from omnilearn.data.catalogue import CATALOGUE

HEADINGS = {"accuracy": ("Acc", 3), "auc": ("AUC", 4)}  # metric -> heading, printed decimals
WITHOUT_A_TABLE = ("accuracy", "auc")  # columns of a dataset without a published table
ATLAS_SIZES = {"4M": 4_000_000, "40M": 0}  # published row -> --train-jets; 0: all jets


def tagging_tables(runs: Sequence[Run]) -> list[Table]:
    """One table per dataset with published rows, then those of the other tagged datasets."""
    tagged = [run for run in runs if run.is_tagging]
    names = dict.fromkeys([*PUBLISHED, *(run.dataset for run in tagged)])
    return [
        Table(cited(title_of(name), PUBLISHED.get(name)), tagging_rows(name, tagged))
        for name in names
    ]


def title_of(dataset: str) -> str:
    return CATALOGUE[dataset].title if dataset in CATALOGUE else dataset


def cited(title: str, table: PublishedTable | GenerationTable | None) -> str:
    """A title with the number of the published table, if there is one."""
    return title if table is None else f"{title} ({table.source})"


def columns(dataset: str) -> tuple[str, ...]:
    """Metrics in the order of the published table."""
    return PUBLISHED[dataset].metrics if dataset in PUBLISHED else WITHOUT_A_TABLE


def heading(metric: str) -> tuple[str, int]:
    """Column heading of a metric and the decimals that papers print."""
    return HEADINGS.get(metric) or (f"1/eB({metric.removeprefix('rejection_')})", 0)


def expected_rows(dataset: str) -> dict[str, Callable[[Run], bool]]:
    """The rows of the paper that this suite trains: name -> condition on the runs of the row."""
    if dataset not in PUBLISHED:
        return {}
    rows = pet_rows("PET classifier")
    if dataset != "atlas":
        return rows
    return {
        f"{name} ({size})": partial(fits_atlas, fits, jets)
        for size, jets in ATLAS_SIZES.items()
        for name, fits in rows.items()
    }


def fits_atlas(fits: Callable[[Run], bool], train_jets: int, run: Run) -> bool:
    """Whether a run fits its row, with the full preset on that number of public jets."""
    is_full = run.data == "public" and run.config.get("preset") == "full"
    return fits(run) and is_full and run.train_jets == train_jets


def tagging_rows(dataset: str, runs: Sequence[Run]) -> list[list[str]]:
    """Heading, published rows as printed, then rows of runs of that dataset: cells of text."""
    metrics = columns(dataset)
    rows = [[MODEL, "Data", "Test jets", *(heading(metric)[0] for metric in metrics), SOURCE]]
    if table := PUBLISHED.get(dataset):
        for model in table.rows:
            cells = [
                as_printed(value, heading(metric)[1])
                for metric, value in zip(metrics, table.numbers(model), strict=True)
            ]
            rows.append([model, "public", str(table.jets), *cells, table.source])
    of_dataset = [run for run in runs if run.dataset == dataset]
    for name, run in in_order(of_dataset, expected_rows(dataset)):
        cells = _run_cells(run, metrics) if run else [BLANK] * (2 + len(metrics))
        rows.append([name, *cells, run.source if run else NO_RUN])
    return rows


def as_printed(published: Number | None, decimals: int) -> str:
    """A published number with its uncertainty, or a dash."""
    if published is None:
        return BLANK
    value, error = published
    fixed = f"{value:.{decimals}f}"
    text = fixed if float(fixed) == value else f"{value:g}"  # some have one digit more
    return text if error is None else f"{text} ± {error:g}"


def _run_cells(run: Run, metrics: Sequence[str]) -> list[str]:
    """Kind of data, test jets, metrics; unweighted ones if there are any, as in the papers."""
    keys = [f"{key}_unweighted" if f"{key}_unweighted" in run.metrics else key for key in metrics]
    results = [run.result(key) for key in keys]
    sizes = {result.n for result in results if result is not None}
    jets = " / ".join(map(str, sorted(sizes))) or BLANK
    return [run.data, jets, *map(text_of, results)]
