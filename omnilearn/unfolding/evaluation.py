"""What an unfolding is worth: spectra against the truth, and a classifier over all constituents.

The truth is the particle level of the data, which only simulated data have; of others the detector
level alone is compared.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnilearn.config import Config
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.recipes import TWO_SAMPLES
from omnilearn.statistics.results import read_results
from omnilearn.tagging.metrics import auc
from omnilearn.training import distributed
from omnilearn.unfolding import ibu
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import DETECTOR, PARTICLE, Step
from omnilearn.unfolding.reweighting import NetworkFit, deepsets
from omnilearn.unfolding.spectrum_distances import (
    BINNING,
    Spectrum,
    chi2_per_bin,
    noise_floor,
    triangular_discriminator,
)
from omnilearn.unfolding.step_files import StepFiles
from omnilearn.unfolding.unfolded_weights import read_weights

LEVEL_NAMES = {DETECTOR: "detector", PARTICLE: "particle"}


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, arguments: argparse.Namespace
) -> dict:
    """Results of an unfolding on all its events; raises UserError for flags of other tasks.

    Per level and observable: triangular discriminator and chi2 of the simulation, of the unfolded
    one and of iterative Bayesian unfolding, against the data; AUC of a two-sample test.
    """
    if arguments.from_predictions or arguments.split:
        raise UserError(
            f"{run} is an unfolding: it is measured on all events, from its weights.h5; leave out "
            "--split and --from-predictions"
        )
    arrays, made = read_weights(run / "weights.h5")
    events = Events(spec, arguments.data or config.data, config.train_jets, config.seed)
    if len(arrays["weight"]) != events.simulated.sum():
        raise UserError(
            f"{run / 'weights.h5'} is of {len(arrays['weight'])} simulated events, the data hold "
            f"{events.simulated.sum()}; unfold again, or give the same --data"
        )
    weight = arrays["weight"]
    results = {"dataset": spec.name, "model": run.name, "data": events.origin}
    levels = [DETECTOR]
    if about["step"] == "unfold" and events.passes[PARTICLE][~events.simulated].any():
        levels.append(PARTICLE)
    results["spectra"] = {}
    kept = StepFiles(run, len(events.simulated))
    arrays["reweighted"] = kept["iteration1_step1"]
    for level in levels:
        found, drawn = compared(events, level, arrays, about["iterations"])
        results |= found
        results["spectra"][LEVEL_NAMES[level]] = drawn
    level = levels[-1]
    results |= two_sample_test(run, events, config, level, weight)
    results["effective_size"] = float(made["effective_size"])
    results["by_iteration"] = by_iteration(kept, events, about) if PARTICLE in levels else {}
    step = run / "iteration1_step1" / "report.json"
    results["first_step"] = read_results(step)[f"seed{config.seed}"]
    return results


def compared(
    events: Events, level: str, arrays: dict[str, np.ndarray], iterations: int
) -> tuple[dict, dict]:
    """Distances of every observable at one level, and the histograms behind them."""
    found, drawn = {}, {}
    passing, simulated = events.passes[level], events.simulated
    prior = (events.weight * passing)[simulated]
    truth_weight = (events.weight * passing)[~simulated]
    for name, edges in BINNING.items():
        values = events.observable(level, name)
        truth = Spectrum.of(values[~simulated], truth_weight, edges)
        spectra = {
            "simulation": Spectrum.of(values[simulated], prior, edges),
            "unfolded": with_replicas(
                Spectrum.of(values[simulated], prior * arrays["weight"], edges),
                values[simulated], prior, arrays, edges,
            ),
        }  # fmt: skip
        if level == DETECTOR:  # after the first step
            weights = prior * arrays["reweighted"]
            spectra["reweighted"] = Spectrum.of(values[simulated], weights, edges)
        else:
            spectra["ibu"] = binned(events, name, values, edges, iterations)
        drawn[name] = {"edges": edges.tolist(), "truth": truth.drawn()}
        for kind, spectrum in spectra.items():
            key = f"{LEVEL_NAMES[level]}_{name}_{kind}"
            found[f"triangular_{key}"] = triangular_discriminator(spectrum, truth)
            found[f"chi2_{key}"] = chi2_per_bin(spectrum, truth)
            found[f"floor_{key}"] = noise_floor(spectrum, truth)
            drawn[name][kind] = spectrum.drawn()
    return found, drawn


def with_replicas(
    spectrum: Spectrum,
    values: np.ndarray,
    prior: np.ndarray,
    arrays: dict[str, np.ndarray],
    edges: np.ndarray,
) -> Spectrum:
    """The spectrum with the variance over replicas of the data added to that of the simulation."""
    if "replicas" not in arrays or len(arrays["replicas"]) < 2:
        return spectrum
    sums = [np.histogram(values, edges, weights=prior * one)[0] for one in arrays["replicas"]]
    return replace(spectrum, variances=spectrum.variances + np.var(sums, axis=0, ddof=1))


def binned(
    events: Events, name: str, gen: np.ndarray, edges: np.ndarray, iterations: int
) -> Spectrum:
    """The observable unfolded bin by bin from the same events in as many iterations."""
    reco, simulated = events.observable(DETECTOR, name), events.simulated
    passes = tuple(events.passes[level][simulated] for level in (DETECTOR, PARTICLE))
    weight = events.weight
    response = ibu.Response.of(reco[simulated], gen[simulated], weight[simulated], passes, edges)
    data_weight = (weight * events.passes[DETECTOR])[~simulated]
    data = Spectrum.of(reco[~simulated], data_weight, edges)
    return ibu.unfolded_spectrum(data, response, iterations)


def by_iteration(kept: StepFiles, events: Events, about: dict) -> dict[str, list]:
    """Triangular discriminator at particle level after 0, 1, 2 ... iterations, per observable."""
    passing, simulated = events.passes[PARTICLE], events.simulated
    prior = (events.weight * passing)[simulated]
    weights = [np.ones(len(prior))]
    weights += [kept[f"iteration{number}_step2"] for number in range(1, about["iterations"] + 1)]
    found = {}
    for name, edges in BINNING.items():
        values = events.observable(PARTICLE, name)
        truth = Spectrum.of(values[~simulated], (events.weight * passing)[~simulated], edges)
        found[name] = [
            triangular_discriminator(Spectrum.of(values[simulated], prior * one, edges), truth)
            for one in weights
        ]
    return found


def two_sample_test(
    run: Path, events: Events, config: Config, level: str, weight: np.ndarray
) -> dict:
    """AUC of a classifier over all constituents, on events of the test split it never saw.

    One half means that it cannot tell; `two_sample_simulation` is the AUC before the weights.
    """
    settings = replace(Config(**TWO_SAMPLES), seed=config.seed, data=config.data)
    test = events.rows["test"]
    simulated, passing = events.simulated, events.passes[level]
    fit = NetworkFit(
        events, lambda seed: deepsets(events, replace(settings, seed=seed)), run,
        settings, settings, {"task": "two_sample_test"},
    )  # fmt: skip
    found = {}
    for kind, weights in (("simulation", np.ones_like(weight)), ("unfolded", weight)):
        step = Step(
            f"two_sample_{kind}", level,
            (events.weight * passing)[simulated] * weights,
            (events.weight * passing)[~simulated], against_data=True,
        )  # fmt: skip
        samples = fit.samples(step)
        fit.train(step, samples, settings.seed)
        total = samples[0] + samples[1]
        there = (total != 0)[test]
        logit = fit.log_ratio(level, total != 0, ("test",))[test]
        label = (~simulated)[test][there].astype(int)
        found[f"two_sample_{kind}"] = auc(logit[there], label, total[test][there])
    if distributed.rank() == 0:
        print(f"two-sample test: {found['two_sample_unfolded']}", flush=True)
    return found
