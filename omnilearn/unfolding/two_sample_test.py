"""Two-sample test: the AUC of a classifier over all constituents of unfolding against truth.

It is trained on the train split and measured on the test split, whose data, if they have a truth,
were not unfolded.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from omnilearn.config import Config
from omnilearn.content import hashed
from omnilearn.log import log
from omnilearn.recipes import TWO_SAMPLES
from omnilearn.statistics.results import Result
from omnilearn.statistics.uncertainty import bootstrap_error
from omnilearn.tagging.metrics import auc
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import Step
from omnilearn.unfolding.reweighting import NetworkFit, deepsets


def two_sample_test(
    run: Path, events: Events, config: Config, level: str, weight: np.ndarray
) -> dict[str, Result]:
    """AUC of a DeepSets classifier at one level, before (`two_sample_simulation`) and after.

    weight (S,): factors of the event weights of the simulation. An AUC of one half means that the
    classifier does not separate the samples.
    """
    settings = replace(Config(**TWO_SAMPLES), seed=config.seed, data=config.data)
    simulated, passing = events.simulated, events.passes[level]
    fit = NetworkFit(
        events,
        run,
        settings.seed,
        first=settings,
        later=settings,
        make=partial(deepsets, events.spec),
        about={"task": "two_sample_test"},
    )
    rows = (events.within("train"), events.within("val"))
    results = {}
    for kind, weights in (("simulation", np.ones_like(weight)), ("unfolded", weight)):
        step = Step(
            f"two_sample_{kind}",
            level,
            (events.weight * passing)[simulated] * weights,
            (events.weight * passing)[~simulated],
            against_data=True,
        )
        samples = fit.samples(step)
        # a finished training is that of other weights after more iterations
        folder = run / step.name / f"seed{settings.seed}" / hashed(weights)
        fit.train(step, samples, rows, folder, settings.seed)
        total = samples[0] + samples[1]
        selected = events.within("test") & (total != 0)
        logit = fit.log_ratio(level, selected)[selected]
        results[step.name] = signed_auc(logit, ~simulated[selected], total[selected])
    log.info(f"two-sample test: {results['two_sample_unfolded']}")
    return results


def signed_auc(score: np.ndarray, is_signal: np.ndarray, weight: np.ndarray) -> Result:
    """AUC of events (n,), some of which may have negative weights.

    Without such weights it is `tagging.metrics.auc`. With them, sums of weights take the place of
    counts, and the uncertainty is the spread over bootstrap replicas.
    """
    samples = (~is_signal, is_signal)
    if (weight >= 0).all() and all(weight[sample].any() for sample in samples):
        return auc(score, is_signal.astype(int), weight)
    sums = [weight[sample].sum() for sample in samples]
    if not min(sums) > 0:
        reason = (
            f"the weights of the two samples add up to {sums[0]:g} and {sums[1]:g}, not to "
            "more than zero each"
        )
        return Result(np.nan, None, len(score), reason=reason)
    order = np.argsort(score, kind="stable")
    score, is_signal, weight = score[order], is_signal[order], weight[order]
    first = np.searchsorted(score, score, side="left")
    last = np.searchsorted(score, score, side="right")

    def areas(weights: np.ndarray) -> np.ndarray:  # (R, n) -> (R,)
        background = np.cumsum(weights * ~is_signal, axis=1)
        background = np.concatenate([np.zeros((len(weights), 1)), background], axis=1)
        below = 0.5 * (background[:, first] + background[:, last])  # ties count half
        signal = weights * is_signal
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sum(signal * below, axis=1) / (signal.sum(axis=1) * background[:, -1])

    value, error = float(areas(weight[None])[0]), bootstrap_error(areas, weight, 0)
    if not np.isfinite(error):
        reason = "the weights of a sample cancel in some bootstrap replica"
        return Result(value, None, len(score), reason=reason)
    return Result(value, error, len(score))
