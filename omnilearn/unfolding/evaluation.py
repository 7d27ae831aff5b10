"""Evaluation of an unfolding: spectra against the truth, and a two-sample test on constituents.

The truth is the particle level of data that were not unfolded, which only simulated data have. For
real data the detector level alone is compared, with data that no classifier was trained on.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn.config import Config, Evaluation
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.settings import option, without_effect
from omnilearn.statistics.results import read_results
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.ibu import Binned, chosen_iterations
from omnilearn.unfolding.omnifold import DETECTOR, PARTICLE
from omnilearn.unfolding.spectrum_distances import (
    BINNING,
    Spectrum,
    chi2_per_bin,
    noise_floor,
    of_equal_total,
    triangular_discriminator,
)
from omnilearn.unfolding.step_files import StepFiles
from omnilearn.unfolding.two_sample_test import two_sample_test
from omnilearn.unfolding.unfolded_weights import read_weights

LEVEL_NAMES = {DETECTOR: "detector", PARTICLE: "particle"}
IBU_TOYS = 100  # the first of them are those of the unfolding's replicas
LEAST_REPLICAS = 10  # fewer do not give a variance


@dataclass(frozen=True)
class UnfoldingEvaluation(Evaluation):
    """Flags of evaluate.py for an unfolding."""

    ibu_iterations: int | None = option(
        None,
        "iterations of iterative Bayesian unfolding, the binned comparison; without this flag "
        "detector level chooses those of each observable",
        int,
        least=1,
    )


EVALUATION = UnfoldingEvaluation


def not_evaluated(run: Path, settings: UnfoldingEvaluation) -> dict[str, str]:
    """As `tagging.task.not_evaluated`."""
    return without_effect(
        "an unfolding, which is measured on all events, from its weights.h5",
        ["split", "from_predictions", "batch"],
    )


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: UnfoldingEvaluation
) -> dict:
    """Results of an unfolding.

    Per level and observable: triangular discriminator and chi2 of the simulation, of the unfolded
    simulation and of iterative Bayesian unfolding, against held-out data; AUC of a two-sample test.
    A value that signed weights leave undefined is null, with the reason. Raises UserError for a
    number of IBU iterations without particle level, and for weights of other events.
    """
    arrays, attributes = read_weights(run / "weights.h5")
    data = settings.data or config.data
    events = Events(spec, data, config.train_jets, about["folds"], config.seed)
    steps = StepFiles(run, len(events.simulated), events.digest)
    arrays["reweighted"] = steps["iteration1_step1"]
    results: dict[str, Any] = {"dataset": spec.name, "model": run.name, "data": events.origin}
    levels = [DETECTOR]
    if about["step"] == "unfold" and events.has_truth:
        levels.append(PARTICLE)
    results["spectra"] = {}
    ibu: dict[str, Spectrum] = {}
    if PARTICLE in levels:
        results["ibu_iterations"], ibu = ibu_spectra(events, settings.ibu_iterations, config.seed)
    elif settings.ibu_iterations:
        raise UserError(
            f"--ibu-iterations has no effect on {run}, which has no truth at particle level; leave "
            "it out"
        )
    for level in levels:
        distances, spectra = compare_level(events, level, arrays, ibu)
        results |= distances
        results["spectra"][LEVEL_NAMES[level]] = spectra
    results |= two_sample_test(run, events, config, levels[-1], arrays["weight"])
    results["effective_size"] = float(attributes["effective_size"])
    iterations = int(attributes.get("iterations", about["iterations"]))
    results["by_iteration"] = by_iteration(steps, events, iterations) if PARTICLE in levels else {}
    report = run / "iteration1_step1" / "report.json"
    results["first_step"] = read_results(report)[f"seed{config.seed}"]
    return results


def reference(events: Events, level: str) -> np.ndarray:
    """Weights (N,) of the held-out data that a result is compared with."""
    selected = events.truth if level == PARTICLE else events.held_out
    return events.weight * events.passes[level] * selected


def compare_level(
    events: Events, level: str, arrays: dict[str, np.ndarray], ibu: dict[str, Spectrum]
) -> tuple[dict, dict]:
    """Distances of every observable at one level, and the histograms behind them.

    ibu: the result of iterative Bayesian unfolding at particle level, by observable.
    """
    distances: dict[str, Any] = {}
    histograms: dict[str, dict] = {}
    simulated, data = events.simulated, reference(events, level)
    prior = (events.weight * events.passes[level])[simulated]
    for name, edges in BINNING.items():
        values = events.observable(level, name)
        truth = Spectrum.of(values, data, edges)
        unfolded = Spectrum.of(values[simulated], prior * arrays["weight"], edges)
        replicas = arrays.get("replicas", ())
        if len(replicas) >= LEAST_REPLICAS:
            # replicas vary data, simulation and trainings; without them the variance is that of
            # the simulated events alone
            sums = [
                np.histogram(values[simulated], edges, weights=prior * weight)[0]
                for weight in replicas
            ]
            shapes = of_equal_total(sums, unfolded.total)
            unfolded = replace(unfolded, variances=np.var(shapes, axis=0, ddof=1))
        spectra = {"simulation": Spectrum.of(values[simulated], prior, edges), "unfolded": unfolded}
        if level == DETECTOR:  # after the first step
            weights = prior * arrays["reweighted"]
            spectra["reweighted"] = Spectrum.of(values[simulated], weights, edges)
        else:
            spectra["ibu"] = ibu[name]
        histograms[name] = {"edges": edges.tolist(), "truth": truth.plotted()}
        for kind, spectrum in spectra.items():
            key = f"{LEVEL_NAMES[level]}_{name}_{kind}"
            distances[f"triangular_{key}"] = triangular_discriminator(spectrum, truth)
            distances[f"chi2_{key}"] = chi2_per_bin(spectrum, truth)
            distances[f"floor_{key}"] = noise_floor(spectrum, truth)
            histograms[name][kind] = spectrum.plotted()
    return distances, histograms


def ibu_spectra(
    events: Events, iterations: int | None, seed: int
) -> tuple[dict[str, int], dict[str, Spectrum]]:
    """Iterations and result of iterative Bayesian unfolding of every observable, with the toys of
    the replicas.

    iterations: their number; None: for each observable, that which detector level chooses.
    """
    simulated, data = events.simulated, ~events.simulated & ~events.truth
    passes_reco, passes_gen = events.passes[DETECTOR], events.passes[PARTICLE]
    weights = events.weight[simulated], events.weight[~simulated]
    counts, spectra = {}, {}
    for name, edges in BINNING.items():
        reco, gen = (events.observable(level, name) for level in (DETECTOR, PARTICLE))
        bins = Binned.of(
            (reco[simulated], passes_reco[simulated]),
            (gen[simulated], passes_gen[simulated]),
            (reco[~simulated], (passes_reco & data)[~simulated]),
            edges,
        )
        counts[name] = iterations or chosen_iterations(bins.refolded_chi2(*weights, seed))
        toys = (events.resampled(seed, toy) for toy in range(IBU_TOYS))
        spectra[name] = bins.unfolded(*weights, counts[name], toys)
    return counts, spectra


def by_iteration(steps: StepFiles, events: Events, iterations: int) -> dict[str, list]:
    """Triangular discriminator at particle level after 0, 1, 2 ... iterations, per observable."""
    simulated, data = events.simulated, reference(events, PARTICLE)
    prior = (events.weight * events.passes[PARTICLE])[simulated]
    weights = [np.ones(len(prior))]
    weights += [steps[f"iteration{index}_step2"] for index in range(1, iterations + 1)]
    distances = {}
    for name, edges in BINNING.items():
        values = events.observable(PARTICLE, name)
        truth = Spectrum.of(values, data, edges)
        distances[name] = [
            triangular_discriminator(Spectrum.of(values[simulated], prior * weight, edges), truth)
            for weight in weights
        ]
    return distances
