"""One unfolding with all its steps on the disk, and its repetitions for the uncertainties.

A bootstrap replica counts each event of data and simulation by a Poisson number and trains with
seeds of its own: the spread of replicas is the full statistical uncertainty. A repeated training
changes the seeds alone: the spread of these is the contribution of the trainings.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.log import log
from omnilearn.statistics.results import Result, write_results
from omnilearn.statistics.uncertainty import effective_size
from omnilearn.training import distributed
from omnilearn.training.random_streams import Stream, derived_seed
from omnilearn.unfolding.cross_fitting import CrossFit
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import DETECTOR, PARTICLE, Sample, pulled, unfold
from omnilearn.unfolding.spectrum_distances import BINNING, Spectrum, chi2_per_bin
from omnilearn.unfolding.step_files import StepFiles

Counts = tuple[np.ndarray, np.ndarray]  # of simulated events (S,) and of data (D,)
SEEDS = {"replica": Stream.REPLICA_SEED, "training": Stream.REPETITION_SEED}


def sample_of(events: Events, counts: Counts | None = None) -> Sample:
    """The input of the unfolding, with each event counted so many times; it excludes the truth."""
    simulated = events.simulated
    reco, gen = events.passes[DETECTOR], events.passes[PARTICLE]
    simulated_counts, data_counts = counts or (1.0, 1.0)
    return Sample(
        weight=events.weight[simulated] * simulated_counts,
        passes_reco=reco[simulated],
        passes_gen=gen[simulated],
        data_weight=(events.weight * reco * ~events.truth)[~simulated] * data_counts,
    )


@dataclass
class Unfolding:
    """The unfolding of a run: `step` is "unfold", or "reweight" for the first step alone."""

    events: Events
    fit: CrossFit
    step: str
    iterations: int
    misses: str

    def __call__(
        self, run: Path, counts: Counts | None = None, level: int = logging.INFO
    ) -> tuple[np.ndarray, Sample]:
        """Weights of the simulated events (S,) and the sample; the steps are stored in `run`.

        With `reweight` they are the pull weights of the first step, which are the ratios. Each
        iteration is logged at `level`.
        """
        sample = sample_of(self.events, counts)
        steps = self.step_files(run)
        self.fit.run = run
        before = np.ones(len(sample.weight))
        if self.step == "reweight":
            name = "iteration1_step1"
            if name not in steps:
                steps[name] = pulled(sample, before, self.fit, name, "prior")
            return steps[name], sample
        report = []
        for push in unfold(sample, self.fit, self.iterations, steps, self.misses):
            if distributed.rank() == 0:
                report.append(iteration_report(self.events, sample, push, before))
                write_results(run / "iterations.json", {"iterations": report})
                chi2 = ", ".join(f"{key} {value.text}" for key, value in report[-1]["chi2"].items())
                log.log(
                    level,
                    f"iteration {len(report)}: weights changed by {report[-1]['change'].text}, "
                    f"chi2 per bin with held-out data at detector level {chi2}",
                )
            before = push
        distributed.barrier()
        return before, sample

    def step_files(self, run: Path) -> StepFiles:
        """The weights after each step in the directory `run`."""
        return StepFiles(run, len(self.events.simulated), self.events.digest)

    def repeat(self, run: Path, name: str, repetitions: int, counts_of: Callable) -> np.ndarray:
        """Weights (repetitions, S), on rank 0; each is done by one rank alone, in RUN/<name>_<k>.

        Its trainings have the jets per step and the learning rates of the nominal unfolding on its
        ranks. name: "replica" or "training". counts_of: repetition -> Counts, or None where all
        events count once. The weights multiply the event weights and the normalisation of the
        nominal unfolding: they contain the counts of the events and the normalisation of the
        repetition.
        """
        events, fit = self.events, self.fit
        nominal, seed = sample_of(events).normalisation, fit.seed
        fit.ranks = fit.ranks_of(run) if repetitions else 1
        for repetition in range(distributed.rank(), repetitions, distributed.size()):
            with distributed.single_process():
                fit.seed = derived_seed(seed, SEEDS[name], repetition)
                log.info(f"{name} {repetition + 1} of {repetitions}")
                self(run / f"{name}_{repetition}", counts_of(repetition), logging.DEBUG)
        fit.seed, fit.ranks = seed, 1
        distributed.barrier()
        rows = repetitions if distributed.rank() == 0 else 0
        weights = np.zeros((rows, int(events.simulated.sum())), np.float32)
        for repetition in range(rows):
            counts = counts_of(repetition)
            scale = sample_of(events, counts).normalisation / nominal
            event_counts = 1.0 if counts is None else counts[0]
            weights[repetition] = event_counts * scale * self.result(run / f"{name}_{repetition}")
        return weights

    def result(self, run: Path) -> np.ndarray:
        """Weights (S,) of a finished unfolding in the directory `run`."""
        last = f"iteration{self.iterations}_step2"
        name = last if self.step == "unfold" else "iteration1_step1"
        return self.step_files(run)[name]


def iteration_report(events: Events, sample: Sample, push: np.ndarray, before: np.ndarray) -> dict:
    """rms change of the weights, and chi2 of every observable with data at detector level.

    The data are those that no classifier was trained on. More iterations do not help once neither
    falls.
    """
    weight = sample.weight * sample.passes_gen
    chi2, held_out = {}, events.weight * events.passes[DETECTOR] * events.held_out
    for name, edges in BINNING.items():
        values = events.observable(DETECTOR, name)
        weights = sample.weight * sample.passes_reco * push
        spectra = [
            Spectrum.of(values[events.simulated], weights, edges),
            Spectrum.of(values, held_out, edges),
        ]
        chi2[name] = chi2_per_bin(*spectra)
    return {
        "change": relative_change(push, before, weight),
        "effective_size": effective_size(weight * push),
        "chi2": chi2,
    }


def relative_change(push: np.ndarray, before: np.ndarray, weight: np.ndarray) -> Result:
    """rms difference of weights (S,) over their mean, both over events of weight `weight` (S,)."""
    entries = int(np.count_nonzero(weight))
    mean = np.sum(push * weight) / np.sum(weight)
    if not mean > 0:
        return Result(np.nan, None, entries, reason=f"the mean of the weights is {mean:g}")
    squares = np.average((push - before) ** 2, weights=np.abs(weight))
    return Result(float(np.sqrt(squares) / mean), None, entries)
