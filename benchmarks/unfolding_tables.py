"""Table 7 of arXiv:2502.14652 and Table II of arXiv:2404.16091v2 with this suite's unfoldings.

Called by `python -m benchmarks tables` and, for the runs of one study, `python -m benchmarks
unfolding`. An entry is a name of a row and its run.
"""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.markdown import BLANK, MODEL, SOURCE, Table
from benchmarks.published import OBSERVABLES, REWEIGHTING, UNFOLDING, UNFOLDING_NOTE, PublishedTable
from benchmarks.runs import NO_RUN, Run, in_order, text_of
from benchmarks.tagging_tables import as_printed, cited
from omnilearn.unfolding.figures import OBSERVABLE_LABELS

TRIANGULAR, CHI2 = "triangular", "chi2"
CLASSIFIERS = {"deepsets": "OmniFold DeepSets", "trees": "OmniFold trees"}  # else PET
# rows that several runs share: spectrum in results.json -> name of the row
DETECTOR = {"simulation": "Simulation, not reweighted"}
PARTICLE = {"simulation": "Simulation, not reweighted", "ibu": "IBU"}
TWO_SAMPLE = {"simulation": "two_sample_simulation", "unfolded": "two_sample_unfolded"}
FLOOR = "Noise floor"
NOTE = """\
Triangular discriminator x 1000 against data that no classifier learnt from (detector level) or the
particle level of data that were not unfolded (runs older than cross-fitting: all data, and their
own particle level); uncertainties of our rows from 100 variations of the histogram. Noise floor:
expected of two samples of this size from the same distribution. Trees: boosted trees on the six
observables. Two-sample AUC: a DeepSets classifier over all constituents, 0.5 where it cannot tell.\
"""
CHI2_NOTE = """\
The distance in units of the statistical uncertainty, of the result and of the truth; no paper
quotes it."""

Entries = Sequence[tuple[str, Run | None]]


def unfolding_tables(runs: Sequence[Run]) -> list[Table]:
    """Both published tables with our runs, and the distance in units of the uncertainty."""
    return tables_of(
        entries(runs, "detector", "reweighted", ""),
        entries(runs, "particle", "unfolded", "OmniFold "),
    )


def entries(runs: Sequence[Run], level: str, kind: str, prefix: str) -> Entries:
    """The runs that have such a spectrum, and the rows of the paper without a run."""
    matching_runs = [run for run in runs if run.is_unfolding and has(run, level, kind, TRIANGULAR)]
    return [
        (method_name(run, prefix) if run else name, run)
        for name, run in in_order(matching_runs, expected_rows(prefix))
    ]


def tables_of(detector: Entries, particle: Entries) -> list[Table]:
    """The three tables of these entries."""
    unfolded = [*published(UNFOLDING), *rows(particle, "particle", PARTICLE, "unfolded")]
    return [
        Table(
            cited("OmniFold, reweighted at detector level by the first step", REWEIGHTING),
            [
                heading(),
                *published(REWEIGHTING),
                *rows(detector, "detector", DETECTOR, "reweighted"),
            ],
            note=NOTE,
        ),
        Table(
            cited("OmniFold, unfolded to particle level", UNFOLDING),
            [heading(), *unfolded],
            note=UNFOLDING_NOTE,
        ),
        Table(
            "OmniFold, unfolded to particle level: chi2 per bin",
            [heading(), *rows(particle, "particle", PARTICLE, "unfolded", CHI2)],
            note=CHI2_NOTE,
        ),
    ]


def heading() -> list[str]:
    names = [OBSERVABLE_LABELS[name].removesuffix(" [GeV]") for name in OBSERVABLES]
    return [MODEL, "Data", "Events", *names, "Two-sample AUC", SOURCE]


def expected_rows(prefix: str) -> dict[str, Callable[[Run], bool]]:
    """The rows of the papers that this suite trains: name -> condition on the runs of the row."""

    def fits(classifier: str, is_finetuned: bool) -> Callable[[Run], bool]:
        return lambda run: (classifier_of(run), run.is_finetuned) == (classifier, is_finetuned)

    names = {f"{prefix}PET classifier": fits("pet", False), f"{prefix}OmniLearn": fits("pet", True)}
    return {CLASSIFIERS["deepsets"]: fits("deepsets", False), **names} if prefix else names


def classifier_of(run: Run) -> str:
    return run.about.get("classifier", "")


def method_name(run: Run, prefix: str) -> str:
    """The name of an unfolding: its classifier, then iterations and other settings."""
    if not run.about:
        return run.metrics["model"]
    name, _, model_details = run.model.partition(" (")
    name = CLASSIFIERS.get(classifier_of(run), prefix + name)
    details = [model_details.removesuffix(")")] if model_details else []
    if prefix and "iterations" in run.about:
        details.insert(0, f"{run.about['iterations']} iterations")
    return name + (f" ({', '.join(details)})" if details else "")


def published(table: PublishedTable) -> list[list[str]]:
    rows = []
    for model in table.rows:
        values = [as_printed(value, 0) for value in table.numbers(model)]
        rows.append([model, "public", str(table.jets), *values, BLANK, table.source])
    return rows


def rows(
    methods: Entries, level: str, shared: dict[str, str], result: str, distance: str = TRIANGULAR
) -> list[list[str]]:
    """Rows of the `shared` spectra, once if several runs have the same, then the spectrum `result`
    of every entry."""
    unique: dict[tuple[str, ...], list[str]] = {}
    for kind, name in shared.items():
        for _, run in methods:
            if run is None or not has(run, level, kind, distance):
                continue
            title = ibu_name(run) if kind == "ibu" else name
            for row in (
                [title, *cells(run, level, kind, distance), run.source],
                *floors(run, level, kind, distance),
            ):
                unique.setdefault(tuple(row[:-1]), row)
    result_rows = [
        [name, *cells(run, level, result, distance), run.source if run else NO_RUN]
        for name, run in methods
    ]
    return [*unique.values(), *result_rows]


def ibu_name(run: Run) -> str:
    """Binned unfolding with the number of its iterations, if known; results without
    `ibu_iterations` have as many as OmniFold."""
    known = run.metrics.get("ibu_iterations") or run.about.get("iterations")
    return f"IBU ({iterations_text(known)})" if known else "IBU"


def iterations_text(known: int | Mapping[str, int]) -> str:
    """One number of iterations, or the range of those of the observables."""
    counts = list(known.values()) if isinstance(known, Mapping) else [known]
    least, most = min(counts), max(counts)
    number = f"{least}" if least == most else f"{least} to {most}"
    return f"{number} iteration{'' if most == 1 else 's'}"


def has(run: Run, level: str, kind: str, distance: str) -> bool:
    return f"{distance}_{level}_{OBSERVABLES[0]}_{kind}" in run.metrics


def cells(run: Run | None, level: str, kind: str, distance: str) -> list[str]:
    """Kind of data, events, the distance of every observable, the two-sample AUC."""
    if run is None:
        return [BLANK] * (3 + len(OBSERVABLES))
    results = [run.result(f"{distance}_{level}_{name}_{kind}") for name in OBSERVABLES]
    events = max((result.n for result in results if result), default=0)
    auc = run.result(TWO_SAMPLE.get(kind, "")) if level == "particle" else None
    return [run.data, str(events or BLANK), *map(text_of, results), text_of(auc)]


def floor_text(floor: float | None) -> str:
    return "undefined" if floor is None else f"{floor:.2f}"


def floors(run: Run, level: str, kind: str, distance: str) -> list[list[str]]:
    """The row with the distance of two samples of the same distribution, after the simulation."""
    if kind != "simulation":
        return []
    keys = [f"floor_{level}_{name}_{kind}" for name in OBSERVABLES]
    if not all(key in run.metrics for key in keys):
        return []
    texts = ["1" if distance == CHI2 else floor_text(run.metrics[key]) for key in keys]
    events = cells(run, level, kind, distance)[1]
    auc = "0.5" if level == "particle" else BLANK
    return [[FLOOR, run.data, events, *texts, auc, run.source]]
