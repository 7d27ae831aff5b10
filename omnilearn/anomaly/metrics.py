"""Metrics of a search for a resonance: of one cell, and of a scan over injected signal."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from omnilearn.anomaly.bump_hunt import CUTS, Hunt, hunt, hunt_of_folds
from omnilearn.anomaly.significance import Improvement, maximum_improvement
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.statistics.results import Result
from omnilearn.tagging.metrics import auc

WORKING_POINTS = (0.1, 0.01, 0.001)  # background efficiencies
SCANNED = ("max_sic", *(f"significance_{cut:g}" for cut in CUTS))
INTERVAL = (0.16, 0.84)  # quantiles over trainings, as published


def cell_metrics(
    predicted: dict[str, np.ndarray], about: dict, spec: DatasetSpec, seed: int
) -> dict[str, Any]:
    """Metrics of one training, from logits, labels, masses and roles of its test events.

    significance_<cut>: that of the bump hunt. Where test events are signal, also max_sic: largest
    eS / sqrt(eB) with more than 1e-4 and 10 events of background; sic_<eB>: that at eB;
    initial_significance: S / sqrt(B) of the data. Without, as in unlabelled data, nothing else.
    """
    score = predicted["logits"][:, 1] - predicted["logits"][:, 0]
    test, in_hunt = (predicted[name].astype(bool) for name in ("test", "hunted"))
    is_signal = predicted["label"] == spec.signal
    significances, spectra = hunt(predicted["mass"][in_hunt], score[in_hunt], spec)
    if not is_signal[test].any():
        return {**significances, "spectra": spectra}
    low, high = spec.signal_region
    region = in_hunt & (predicted["mass"] >= low) & (predicted["mass"] < high)
    events = about["events"]
    initial = events["data_signal"] / np.sqrt(max(1, events["data_background"]))
    return {
        **truth_metrics(score[test], is_signal[test].astype(int), seed),
        **significances,
        "initial_significance": 0.0 if about["kind"] == "supervised" else initial,
        "hunted_signal": int(np.count_nonzero(region & is_signal)),
        "hunted_background": int(np.count_nonzero(region & ~is_signal)),
        "spectra": spectra,
    }


def truth_metrics(score: np.ndarray, label: np.ndarray, seed: int) -> dict[str, Any]:
    """Metrics that need true labels (N,), 1 for signal, of the test events."""
    improvement = Improvement.of(score, label)
    return {
        "max_sic": maximum_improvement(score, label, seed),
        "background_efficiency_floor": improvement.floor,
        **{
            f"sic_{point:g}": improvement.at_background_efficiency(point)
            for point in WORKING_POINTS
        },
        "auc": auc(score, label),
        "curve": improvement.curve(),
    }


def scan(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Cells of one model as a scan: median and 68 % interval of SCANNED, by kind and signal.

    The uncertainty of a median is half the interval between the quantiles INTERVAL, which are in
    the scan too. Folds of one seed have one bump hunt, in all of their events; its spectra for the
    first seed are in the scan. Raises UserError where a fold is missing.
    """
    points: dict[str, dict] = {}
    for kind, signal in sorted({(cell["kind"], cell["signal"]) for cell in cells}):
        same = [cell for cell in cells if (cell["kind"], cell["signal"]) == (kind, signal)]
        points.setdefault(kind, {})[f"signal{signal}"] = scan_point(same)
    return {**{key: cells[0][key] for key in ("dataset", "data", "backbone")}, "scan": points}


def scan_point(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The point of trainings with the same injected signal."""
    point: dict[str, Any] = {"signal": cells[0]["signal"], "trainings": len(cells)}
    initial = [cell["initial_significance"] for cell in cells if "initial_significance" in cell]
    if initial:
        point["initial_significance"] = float(np.mean(initial))
    of_folds = hunts_of_folds(cells)
    if of_folds:
        point["spectra"] = of_folds[0][1]
    whole = [cell for cell in cells if not cell.get("folds")]
    hunts = [*whole, *(significances for significances, _ in of_folds)]
    for name in SCANNED:
        searches = cells if name == "max_sic" else hunts
        measured = [search[name] for search in searches if name in search]
        finite = [result for result in measured if np.isfinite(result.value)]
        if not finite:
            continue
        values = np.array([result.value for result in finite])
        low, middle, high = np.quantile(values, (INTERVAL[0], 0.5, INTERVAL[1]))
        error = float(high - low) / 2 if len(values) > 1 else finite[0].error
        bound = "lower" if any(result.bound for result in finite) else None
        point[name] = Result(float(middle), error, finite[0].n, bound)
        point[f"{name}_interval"] = [float(low), float(high)]
        point[f"{name}_values"] = values.tolist()
    return point


def hunts_of_folds(cells: Sequence[dict[str, Any]]) -> list[Hunt]:
    """The bump hunt of every seed whose cells are folds; raises UserError where one is missing."""
    by_seed: dict[int, dict[int, dict]] = {}
    for cell in cells:
        if cell.get("folds"):
            by_seed.setdefault(cell["seed"], {})[cell["fold"]] = cell
    hunts = []
    for seed, by_fold in by_seed.items():
        first = next(iter(by_fold.values()))
        folds = first["folds"]
        if missing := sorted(set(range(folds)) - by_fold.keys()):
            raise UserError(
                f"seed {seed} of {first['kind']}, {first['signal']} signal events, has no "
                f"fold {missing[0]} of {folds}; the command of the search trains it"
            )
        spectra = [cell["spectra"] for cell in by_fold.values()]
        hunts.append(hunt_of_folds(spectra, first["region"]))
    return hunts
