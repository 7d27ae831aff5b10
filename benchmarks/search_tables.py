"""One table of all searches for a resonance in the LHC Olympics events.

Called by `python -m benchmarks tables`. arXiv:2502.14652, Section VIII, draws its results (Figure
7) and tabulates none.
"""

from collections.abc import Sequence
from typing import Any

from benchmarks.markdown import BLANK, MODEL, OURS, SOURCE, Table
from benchmarks.runs import NO_RUN, Run, in_order, pet_rows, text_of
from omnilearn.anomaly.event_roles import FROM_FILES
from omnilearn.anomaly.figures import SCAN_CUT
from omnilearn.anomaly.metrics import scan
from omnilearn.data.catalogue import LHCO
from omnilearn.statistics.results import Result

KINDS = ("idealised", *FROM_FILES, "supervised")
PUBLISHED = ("idealised", "cathode")
SCANNED = (("max_sic", "max SIC"), (f"significance_{SCAN_CUT}", "Z after the cut"))
HEAD = [
    MODEL,
    "Data",
    "Search",
    "Signal events",
    "S/sqrt(B)",
    *(title for _, title in SCANNED),
    "Test events",
    SOURCE,
]
NOTE = """\
Median over trainings (each with its own draw of background and signal), ± half of the interval
that holds 68 % of them; of a single training ± its statistical uncertainty. Max SIC: largest
eS / sqrt(eB) with more than 1e-4 and 10 events of background. Z: local significance of the bump
hunt at 1 % efficiency of the sidebands. The paper draws max SIC against injected signal (Figure 7)
and says that OmniLearn is sensitive from 600 events on, earlier work from 1500 on."""


def search_tables(runs: Sequence[Run]) -> list[Table]:
    """A row per kind of search, model and number of signal events; of dashes without a run."""
    searches = [run for run in runs if run.is_search]
    rows = [HEAD]
    for kind in KINDS:
        matching_runs = [run for run in searches if kind in points_of(run)]
        expected = pet_rows("PET classifier") if kind in PUBLISHED else {}
        for name, run in in_order(matching_runs, expected):
            if run is None:
                rows.append([name, BLANK, kind, *[BLANK] * (len(HEAD) - 4), NO_RUN])
            else:
                rows += [cells(run, name, kind, point) for point in points_of(run)[kind].values()]
    return [Table(f"{LHCO.title}: search for a resonance", rows, texts=3, note=NOTE)]


def points_of(run: Run) -> dict[str, dict[str, dict[str, Any]]]:
    """kind -> cell -> point, of a scan or of a single training."""
    return run.metrics["scan"] if "scan" in run.metrics else scan([run.metrics])["scan"]


def cells(run: Run, name: str, kind: str, point: dict[str, Any]) -> list[str]:
    """One row: the model at one number of signal events."""
    trainings = point["trainings"]
    source = f"{OURS}, {run.origin}" + (f", {trainings} trainings" if trainings > 1 else "")
    values = scanned(kind, point)
    events = next((str(value.n) for value in values if value), BLANK)
    return [name, run.data, kind, *signal_texts(kind, point), *map(text_of, values), events, source]


def signal_texts(kind: str, point: dict[str, Any]) -> list[str]:
    """Signal events and S / sqrt(B) of the data, where they are known."""
    if kind == "supervised":
        return ["all", BLANK]
    if "initial_significance" not in point:
        return [BLANK, BLANK]
    return [str(point["signal"]), f"{point['initial_significance']:.2f}"]


def scanned(kind: str, point: dict[str, Any]) -> list[Result | None]:
    """The metrics of SCANNED, None where a point has none; a supervised search has no bump hunt."""
    return [
        point.get(name) if kind != "supervised" or name == "max_sic" else None
        for name, _ in SCANNED
    ]
