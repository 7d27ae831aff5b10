"""Generated events of two jets against true ones of the same dijet masses: does the model close?"""

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict

from omnilearn.data.spec import FEATURES, JET_FEATURES
from omnilearn.generation.distances import wasserstein
from omnilearn.statistics.histograms import counted
from omnilearn.statistics.results import Result
from omnilearn.tagging.metrics import auc

WHOLE = tuple(f"{name}_{jet}" for jet in (1, 2) for name in JET_FEATURES)  # of the jets of an event
CONSTITUENTS = ("eta_rel", "phi_rel", "log_pt")
FOLDS = 4


def dijet_observables(
    data: np.ndarray, jet: np.ndarray, multiplicity: np.ndarray
) -> dict[str, np.ndarray]:
    """WHOLE (n,) of events, and CONSTITUENTS of all of theirs.

    data (n, 2, P, F), jet (n, 2, 4), multiplicity (n, 2).
    """
    found = {
        f"{name}_{number + 1}": jet[:, number, place].astype(np.float64)
        for number in range(2)
        for place, name in enumerate(JET_FEATURES)
    }
    real = np.arange(data.shape[2]) < multiplicity[..., None]
    return found | {name: data[..., FEATURES.index(name)][real] for name in CONSTITUENTS}


def closure(
    truth: dict[str, np.ndarray], generated: dict[str, np.ndarray], seed: int
) -> tuple[dict[str, Result], dict[str, dict]]:
    """W1 of every observable and auc_kinematics, and histograms of both samples.

    auc_kinematics: how well boosted trees on WHOLE tell the samples apart, on events that they have
    not seen; 0.5 where they cannot.
    """
    metrics = {f"w1_{name}": wasserstein(truth[name], generated[name], seed) for name in truth}
    columns = [np.column_stack([one[name] for name in WHOLE]) for one in (truth, generated)]
    metrics["auc_kinematics"] = separation(columns[0], columns[1], seed)
    spectra: dict[str, Any] = {
        name: counted(
            {"truth": truth[name], "generated": generated[name]}, name.startswith("multiplicity")
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
