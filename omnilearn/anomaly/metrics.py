"""A search for a resonance in numbers: one cell, and a scan over injected signal."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from omnilearn.anomaly.bump_hunt import CUTS, hunt
from omnilearn.anomaly.significance import Improvement, maximum_improvement
from omnilearn.data.spec import DatasetSpec
from omnilearn.statistics.results import Result
from omnilearn.tagging.metrics import auc

WORKING_POINTS = (0.1, 0.01, 0.001)  # background efficiencies
SCANNED = ("max_sic", *(f"significance_{cut:g}" for cut in CUTS))
INTERVAL = (0.16, 0.84)  # quantiles over trainings, as published


def cell_metrics(
    predicted: dict[str, np.ndarray], about: dict, spec: DatasetSpec, seed: int
) -> dict[str, Any]:
    """All numbers of one training, from logits, labels, masses and roles of its test events.

    max_sic: largest eS / sqrt(eB) with more than 1e-4 and 10 events of background; sic_<eB>;
    initial_significance: S / sqrt(B) of the data; significance_<cut>: of the bump hunt.
    """
    score = predicted["logits"][:, 1] - predicted["logits"][:, 0]
    test, hunted = (predicted[name].astype(bool) for name in ("test", "hunted"))
    sample = score[test], predicted["label"][test]
    improvement = Improvement.of(*sample)
    significances, spectra = hunt(predicted["mass"][hunted], score[hunted], spec)
    low, high = spec.signal_region
    region = hunted & (predicted["mass"] >= low) & (predicted["mass"] < high)
    is_signal = predicted["label"] == spec.signal
    events = about["events"]
    initial = events["data_signal"] / np.sqrt(max(1, events["data_background"]))
    return {
        "max_sic": maximum_improvement(*sample, seed),
        "background_efficiency_floor": improvement.floor,
        **{
            f"sic_{point:g}": improvement.at_background_efficiency(point)
            for point in WORKING_POINTS
        },
        "auc": auc(*sample),
        **significances,
        "initial_significance": 0.0 if about["kind"] == "supervised" else initial,
        "hunted_signal": int(np.count_nonzero(region & is_signal)),
        "hunted_background": int(np.count_nonzero(region & ~is_signal)),
        "curve": improvement.curve(),
        "spectra": spectra,
    }


def scan(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Cells of one model as a scan: median and 68 % of what is SCANNED, by kind and signal.

    The uncertainty of a median is half the interval between the quantiles of INTERVAL, which are
    given too. Supervised trainings stand apart.
    """
    first = cells[0]
    found = {"dataset": first["dataset"], "data": first["data"], "backbone": first["backbone"]}
    kinds = sorted({cell["kind"] for cell in cells})
    points: dict[str, dict] = {kind: {} for kind in kinds}
    for kind, signal in sorted({(cell["kind"], cell["signal"]) for cell in cells}):
        same = [cell for cell in cells if (cell["kind"], cell["signal"]) == (kind, signal)]
        points[kind][f"signal{signal}"] = point(same)
    return {**found, "scan": points}


def point(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Trainings with the same injected signal, as one point."""
    found: dict[str, Any] = {
        "signal": cells[0]["signal"],
        "trainings": len(cells),
        "initial_significance": float(np.mean([c["initial_significance"] for c in cells])),
    }
    for name in SCANNED:
        values = np.array([cell[name].value for cell in cells])
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        low, middle, high = np.quantile(values, (INTERVAL[0], 0.5, INTERVAL[1]))
        error = float(high - low) / 2 if len(values) > 1 else cells[0][name].error
        bound = "lower" if any(cell[name].bound for cell in cells) else None
        found[name] = Result(float(middle), error, cells[0][name].n, bound)
        found[f"{name}_interval"] = [float(low), float(high)]
        found[f"{name}_values"] = values.tolist()
    return found
