"""Closure test: generated events of two jets against true ones of the same dijet masses."""

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict

from omnilearn.anomaly.dijets import Dijets
from omnilearn.data.spec import FEATURES, JET_FEATURES
from omnilearn.generation.distances import wasserstein
from omnilearn.statistics.histograms import histogram
from omnilearn.statistics.results import Result
from omnilearn.tagging.metrics import auc
from omnilearn.training import distributed

KINEMATICS = tuple(f"{name}_{jet}" for jet in (1, 2) for name in JET_FEATURES)
CONSTITUENTS = ("eta_rel", "phi_rel", "log_pt")
LEAST_EVENTS = 40  # of a closure test
FOLDS = 4


def dijet_observables(
    data: np.ndarray, jet: np.ndarray, multiplicity: np.ndarray
) -> dict[str, np.ndarray]:
    """KINEMATICS, each (n,), and CONSTITUENTS of all events, each (constituents,).

    data (n, 2, P, F), jet (n, 2, 4), multiplicity (n, 2).
    """
    kinematics = dict(zip(KINEMATICS, jet.reshape(-1, 8).T.astype(np.float64), strict=True))
    mask = np.arange(data.shape[2]) < multiplicity[..., None]
    return kinematics | {name: data[..., FEATURES.index(name)][mask] for name in CONSTITUENTS}


def stored_observables(events: Dijets, rows: np.ndarray) -> dict[str, np.ndarray]:
    """`dijet_observables` of these events (n,), which the ranks share; the same on all ranks."""
    share = np.array_split(rows, distributed.size())[distributed.rank()]
    arrays = events.files.gather(share)
    return of_all_ranks(
        dijet_observables(arrays["data"], arrays["jet"], events.files.filled[share])
    )


def of_all_ranks(sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values of every rank, in the order of the ranks."""
    return {name: distributed.allgather(values) for name, values in sample.items()}


def closure(
    truth: dict[str, np.ndarray],
    generated: dict[str, np.ndarray],
    seed: int,
    legend: str = "generated",
) -> tuple[dict[str, Result], dict[str, dict]]:
    """W1 of every observable and auc_kinematics, and histograms of both samples.

    auc_kinematics: cross-validated AUC of boosted trees on KINEMATICS between the samples; 0.5
    where the trees cannot separate them. legend: name of the second sample in the histograms. Of
    fewer than LEAST_EVENTS events the AUC is undefined, with the reason, and there is nothing else.
    """
    count = min(len(sample[KINEMATICS[0]]) for sample in (truth, generated))
    if count < LEAST_EVENTS:
        reason = f"{count} events are left, fewer than {LEAST_EVENTS}"
        return {"auc_kinematics": Result(np.nan, None, count, reason=reason)}, {}
    metrics = {f"w1_{name}": wasserstein(truth[name], generated[name], seed) for name in truth}
    columns, generated_columns = (
        np.column_stack([sample[name] for name in KINEMATICS]) for sample in (truth, generated)
    )
    metrics["auc_kinematics"] = separation(columns, generated_columns, seed)
    spectra: dict[str, Any] = {
        name: histogram(
            {"truth": truth[name], legend: generated[name]}, name.startswith("multiplicity")
        )
        for name in truth
    }
    return metrics, spectra


def separation(truth: np.ndarray, generated: np.ndarray, seed: int) -> Result:
    """AUC of boosted trees between two samples (n, columns) and (m, columns), cross-validated."""
    columns = np.concatenate([truth, generated])
    label = np.repeat([1, 0], [len(truth), len(generated)])
    order = np.random.default_rng(seed).permutation(len(label))
    trees = HistGradientBoostingClassifier(max_iter=60, random_state=seed)
    scores = cross_val_predict(
        trees, columns[order], label[order], cv=FOLDS, method="predict_proba"
    )[:, 1]
    return auc(scores, label[order])
