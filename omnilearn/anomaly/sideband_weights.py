"""Weights of a reference, from a classifier of data against the reference in the sidebands.

A reference that is simulated (SALAD, A. Andreassen, B. Nachman, D. Shih, arXiv:2001.05001) or
generated (CATHODE) is not quite the background of data. The sidebands have hardly any signal:
there a classifier over both jets learns the ratio of the densities, which then weights the
reference in the signal region. The classifier is not given the dijet mass, which is nearly a
function of the kinematics of both jets.

Evaluation shows how well the reference describes the sidebands before and after the weights.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.anomaly.cwola import DijetObjective, trained_classifier
from omnilearn.anomaly.dijet_classifier import DijetClassifier
from omnilearn.anomaly.dijet_closure import closure, stored_observables
from omnilearn.anomaly.dijets import SAMPLED, Dijets
from omnilearn.anomaly.event_roles import TEST, VALIDATION, events_of_files, last_of, natural_events
from omnilearn.config import Config, Evaluation, Start
from omnilearn.data.layout import find_files
from omnilearn.data.selection import subset
from omnilearn.data.spec import SPLITS, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.fit import fit, make_pet
from omnilearn.log import log
from omnilearn.runs import prepare_run
from omnilearn.settings import option, without_effect
from omnilearn.statistics.likelihood_ratio import ratio_of, ratio_quality
from omnilearn.statistics.results import Result
from omnilearn.tagging import task as tagging
from omnilearn.tagging.metrics import auc, pair_score
from omnilearn.training import distributed
from omnilearn.training.random_streams import Stream

CLIP = 30.0  # weights are between 1 / CLIP and CLIP before they are normalised
LEGEND = {"reference": "reference", "weighted": "weighted reference"}
FOLDERS = ("reference", "sidebands")  # folders of generated events in the run of the density


def reference_parts(events: Dijets, most: int) -> dict[str, np.ndarray]:
    """Training, validation and test (N,) bool of the events of further files in the sidebands.

    The first `most` of them; a tenth each is for validation and test. Raises UserError where there
    is none.
    """
    selected = (events.split == SAMPLED) & events.in_sidebands & ~events.signal
    if not selected.any():
        raise UserError(f"{events.spec.name}: no event of the reference lies in the sidebands")
    reference = selected & (np.cumsum(selected) <= most)
    test = last_of(reference)
    validation = last_of(reference & ~test)
    return {"training": reference & ~validation & ~test, "validation": validation, "test": test}


def train(
    events: Dijets, recorded: np.ndarray, most: int, config: Config, start: Start, about: dict
) -> None:
    """Train the classifier of the sidebands in the run directory of the configuration.

    recorded: events (N,) bool as `event_roles.recorded_events`; most: events of data and of the
    reference at most.
    """
    reference = reference_parts(events, most)
    data = subset(recorded & events.in_sidebands, most, config.seed)
    is_validation = events.split == VALIDATION
    pairs = (
        (data & ~is_validation, reference["training"]),
        (data & is_validation, reference["validation"]),
    )
    counts = [np.count_nonzero(sample) for sample in pairs[0]]
    log.info(f"sidebands: {counts[0]} training events of the data, {counts[1]} of the reference")
    training, validation = (events.pipeline(*pair, config.batch, config.seed) for pair in pairs)
    model = DijetClassifier(make_pet(events.spec, config, start))
    about = {
        **about,
        "task": "sidebands",
        "dataset": events.spec.name,
        "backbone": start.path,
        "sideband_events": most,
    }
    fit(
        DijetObjective(model), config, (training, validation), prepare_run(config, "", about), about
    )


def predicted_logits(
    run: Path, events: Dijets, pair: tuple[np.ndarray, np.ndarray], batch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n,) of data over reference, and the rows (n,) of these events, for a trained run."""
    model, logits_of = trained_classifier(run)
    predicted = tagging.predict(model, events.pipeline(*pair, batch), logits_of)
    return pair_score(predicted["logits"], 1, 0), predicted["index"]


def reference_weights(run: Path, events: Dijets, most: int, batch: int) -> np.ndarray:
    """Weights (N,) of the reference in the signal region, its first `most` events: mean one.

    All other events have the weight 1. Raises UserError where the run has no trained classifier,
    and where the reference has no event there.
    """
    if not (run / "best.h5").is_file():
        raise UserError(f"{run} holds no trained classifier; train it with --stage weight")
    selected = events_of_files(events, most)
    if not selected.any():
        low, high = events.spec.signal_region
        raise UserError(
            f"{events.spec.name}: no event of the reference between {low:g} and {high:g} GeV of "
            "dijet mass; more events of it or a wider signal region are needed"
        )
    logit, rows = predicted_logits(run, events, (np.zeros_like(selected), selected), batch)
    ratio = ratio_of(logit, CLIP)
    weights = np.ones(len(selected))
    weights[rows] = ratio / ratio.mean()
    return weights


@dataclass(frozen=True)
class SidebandEvaluation(Evaluation):
    """Settings of evaluate.py for a classifier of the sidebands."""

    events: int = option(5000, "events per sample whose observables are compared", least=1)


EVALUATION = SidebandEvaluation


def not_evaluated(run: Path, settings: SidebandEvaluation) -> dict[str, str]:
    """As `tagging.task.not_evaluated`."""
    sidebands = "a classifier of the sidebands, which has test events of its own"
    return without_effect(sidebands, ["split", "from_predictions"])


def files_of(run: Path, spec: DatasetSpec, about: dict) -> list[Path]:
    """Files of the reference that a run was trained with."""
    if about["simulation"]:
        return simulated_files(Path(about["simulation"]), spec)
    density = run.parent / "density"
    return sorted(path for name in FOLDERS for path in (density / name).glob("part*.hdf5"))


def simulated_files(folder: Path, spec: DatasetSpec) -> list[Path]:
    """All files of a data set in a folder of preprocessed data."""
    return [path for split in SPLITS for path in find_files(folder, spec, split)]


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: SidebandEvaluation
) -> dict:
    """Data against the reference in the sidebands, events that no training has used.

    auc_sidebands: of the classifier; `ratio_quality` of the weights; then the closure test of the
    reference as it is and, by rejection of events, as weighted. On ranks other than 0: {}.
    """
    events = Dijets(spec, settings.data or config.data, files_of(run, spec, about))
    data = natural_events(events, [TEST], 0.0, config.seed, Stream.SIDEBAND_SIGNAL)
    reference = reference_parts(events, about["sideband_events"])["test"]
    pair = data & events.in_sidebands, reference
    logit, rows = predicted_logits(run, events, pair, settings.batch)
    is_data = pair[0][rows]
    ratio = ratio_of(logit, CLIP)
    rng = np.random.default_rng((config.seed, Stream.UNWEIGHTING))
    accepted = rng.random(len(ratio)) < ratio / ratio[~is_data].max()
    samples = {
        "truth": rows[is_data],
        "reference": rows[~is_data],
        "weighted": rows[~is_data & accepted],
    }
    observables = {
        name: stored_observables(events, sample[: settings.events])
        for name, sample in samples.items()
    }
    if distributed.rank():
        return {}
    metrics, spectra = closures(observables, config.seed)
    unit = np.ones(np.count_nonzero(~is_data))
    return {
        "dataset": spec.name,
        "model": run.name,
        "data": events.files.origin,
        "backbone": about["backbone"] or "",
        "auc_sidebands": auc(logit, is_data.astype(int)),
        **ratio_quality(logit[~is_data], unit, CLIP),
        **metrics,
        "spectra": spectra,
    }


def closures(
    observables: dict[str, dict[str, np.ndarray]], seed: int
) -> tuple[dict[str, dict[str, Result]], dict[str, dict]]:
    """Closure tests of the samples of LEGEND against "truth", and the histograms that they have.

    observables: `dijet_observables` by sample.
    """
    results, spectra = {}, {}
    for name, legend in LEGEND.items():
        results[name], histograms = closure(observables["truth"], observables[name], seed, legend)
        if histograms:
            spectra[name] = histograms
    return results, spectra
