"""What an unfolding is worth: spectra against the truth, and a classifier over all constituents.

The truth is the particle level of data that were not unfolded, which only simulated data have; of
others the detector level alone is compared, with data that no classifier has learnt from.
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
from omnilearn.unfolding.ibu import Binned
from omnilearn.unfolding.omnifold import DETECTOR, PARTICLE
from omnilearn.unfolding.spectrum_distances import (
    BINNING,
    Spectrum,
    chi2_per_bin,
    noise_floor,
    triangular_discriminator,
)
from omnilearn.unfolding.step_files import StepFiles
from omnilearn.unfolding.two_sample_test import two_sample_test
from omnilearn.unfolding.unfolded_weights import read_weights

LEVEL_NAMES = {DETECTOR: "detector", PARTICLE: "particle"}
IBU_TOYS = 100  # the first of them are the replicas of the unfolding
LEAST_REPLICAS = 10  # fewer say too little of a variance


@dataclass(frozen=True)
class UnfoldingEvaluation(Evaluation):
    """What evaluate.py is asked of an unfolding."""

    ibu_iterations: int = option(
        3, "iterations of the binned unfolding beside it: it is best stopped early", least=1
    )


EVALUATION = UnfoldingEvaluation
NOT_EVALUATED = without_effect(
    "an unfolding, which is measured on all events, from its weights.h5",
    ["split", "from_predictions", "batch"],
)


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: UnfoldingEvaluation
) -> dict:
    """Results of an unfolding.

    Per level and observable: triangular discriminator and chi2 of the simulation, of the unfolded
    one and of iterative Bayesian unfolding, against data that were held out; AUC of a two-sample
    test. A number that signed weights leave without a meaning is null and says why.
    """
    arrays, made = read_weights(run / "weights.h5")
    data = settings.data or config.data
    events = Events(spec, data, config.train_jets, about["folds"], config.seed)
    if len(arrays["weight"]) != events.simulated.sum():
        raise UserError(
            f"{run / 'weights.h5'} is of {len(arrays['weight'])} simulated events, the data hold "
            f"{events.simulated.sum()}; unfold again, or give the same --data"
        )
    results: dict[str, Any] = {"dataset": spec.name, "model": run.name, "data": events.origin}
    levels = [DETECTOR]
    if about["step"] == "unfold" and events.has_truth:
        levels.append(PARTICLE)
    results |= {"ibu_iterations": settings.ibu_iterations, "spectra": {}}
    kept = StepFiles(run, len(events.simulated))
    arrays["reweighted"] = kept["iteration1_step1"]
    for level in levels:
        found, drawn = compared(events, level, arrays, settings.ibu_iterations, config.seed)
        results |= found
        results["spectra"][LEVEL_NAMES[level]] = drawn
    results |= two_sample_test(run, events, config, levels[-1], arrays["weight"])
    results["effective_size"] = float(made["effective_size"])
    results["by_iteration"] = by_iteration(kept, events, about) if PARTICLE in levels else {}
    step = run / "iteration1_step1" / "report.json"
    results["first_step"] = read_results(step)[f"seed{config.seed}"]
    return results


def reference(events: Events, level: str) -> np.ndarray:
    """Weights (N,) of the data that a result is compared with: none that it was made from."""
    taken = events.truth if level == PARTICLE else events.unseen
    return events.weight * events.passes[level] * taken


def compared(
    events: Events, level: str, arrays: dict[str, np.ndarray], ibu_iterations: int, seed: int
) -> tuple[dict, dict]:
    """Distances of every observable at one level, and the histograms behind them."""
    found: dict[str, Any] = {}
    drawn: dict[str, dict] = {}
    simulated, against = events.simulated, reference(events, level)
    prior = (events.weight * events.passes[level])[simulated]
    for name, edges in BINNING.items():
        values = events.observable(level, name)
        truth = Spectrum.of(values, against, edges)
        spectra = {
            "simulation": Spectrum.of(values[simulated], prior, edges),
            "unfolded": with_replicas(
                Spectrum.of(values[simulated], prior * arrays["weight"], edges),
                values[simulated],
                prior,
                arrays,
                edges,
            ),
        }
        if level == DETECTOR:  # after the first step
            weights = prior * arrays["reweighted"]
            spectra["reweighted"] = Spectrum.of(values[simulated], weights, edges)
        else:
            spectra["ibu"] = binned(events, name, values, edges, ibu_iterations, seed)
        drawn[name] = {"edges": edges.tolist(), "truth": truth.plotted()}
        for kind, spectrum in spectra.items():
            key = f"{LEVEL_NAMES[level]}_{name}_{kind}"
            found[f"triangular_{key}"] = triangular_discriminator(spectrum, truth)
            found[f"chi2_{key}"] = chi2_per_bin(spectrum, truth)
            found[f"floor_{key}"] = noise_floor(spectrum, truth)
            drawn[name][kind] = spectrum.plotted()
    return found, drawn


def with_replicas(
    spectrum: Spectrum,
    values: np.ndarray,
    prior: np.ndarray,
    arrays: dict[str, np.ndarray],
    edges: np.ndarray,
) -> Spectrum:
    """The spectrum with the variance over replicas, where there are enough of them.

    They contain data, simulation and trainings; without them the variance is that of the simulated
    events alone.
    """
    if len(arrays.get("replicas", ())) < LEAST_REPLICAS:
        return spectrum
    sums = [np.histogram(values, edges, weights=prior * one)[0] for one in arrays["replicas"]]
    return replace(spectrum, variances=np.var(sums, axis=0, ddof=1))


def binned(
    events: Events, name: str, gen: np.ndarray, edges: np.ndarray, iterations: int, seed: int
) -> Spectrum:
    """The observable unfolded bin by bin, from the events and with the toys of the unfolding."""
    reco, simulated = events.observable(DETECTOR, name), events.simulated
    data = ~simulated & ~events.truth
    at_reco, at_gen = events.passes[DETECTOR], events.passes[PARTICLE]
    bins = Binned.of(
        (reco[simulated], at_reco[simulated]),
        (gen[simulated], at_gen[simulated]),
        (reco[~simulated], (at_reco & data)[~simulated]),
        edges,
    )
    toys = (events.resampled(seed, number) for number in range(IBU_TOYS))
    return bins.unfolded(events.weight[simulated], events.weight[~simulated], iterations, toys)


def by_iteration(kept: StepFiles, events: Events, about: dict) -> dict[str, list]:
    """Triangular discriminator at particle level after 0, 1, 2 ... iterations, per observable."""
    simulated, against = events.simulated, reference(events, PARTICLE)
    prior = (events.weight * events.passes[PARTICLE])[simulated]
    weights = [np.ones(len(prior))]
    weights += [kept[f"iteration{number}_step2"] for number in range(1, about["iterations"] + 1)]
    found = {}
    for name, edges in BINNING.items():
        values = events.observable(PARTICLE, name)
        truth = Spectrum.of(values, against, edges)
        found[name] = [
            triangular_discriminator(Spectrum.of(values[simulated], prior * one, edges), truth)
            for one in weights
        ]
    return found
