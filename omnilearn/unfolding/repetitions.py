"""One unfolding with all its steps on the disk, and its repetitions for the uncertainties.

A bootstrap replica draws the events of data and simulation anew, each as often as a Poisson number
says, and trains with seeds of its own: the spread of replicas is the whole statistical uncertainty.
A repeated training changes the seeds alone, for the share that trainings have in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.log import log
from omnilearn.statistics.results import Result, write_results
from omnilearn.statistics.uncertainty import effective_size
from omnilearn.training import distributed
from omnilearn.unfolding.cross_fitting import CrossFit
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import DETECTOR, PARTICLE, Sample, pulled, unfold
from omnilearn.unfolding.spectrum_distances import BINNING, Spectrum, chi2_per_bin
from omnilearn.unfolding.step_files import StepFiles

Counts = tuple[np.ndarray, np.ndarray]  # of simulated events (S,) and of data (D,)


def sample_of(events: Events, counts: Counts | None = None) -> Sample:
    """What unfolding is told of the events, each counted so many times; the truth is not."""
    simulated = events.simulated
    reco, gen = events.passes[DETECTOR], events.passes[PARTICLE]
    drawn, seen = counts or (1.0, 1.0)
    return Sample(
        weight=events.weight[simulated] * drawn,
        passes_reco=reco[simulated],
        passes_gen=gen[simulated],
        data_weight=(events.weight * reco * ~events.truth)[~simulated] * seen,
    )


@dataclass
class Unfolding:
    """The unfolding of a run: `step` is "unfold", or "reweight" for the first step alone."""

    events: Events
    fit: CrossFit
    step: str
    iterations: int
    misses: str

    def __call__(self, run: Path, counts: Counts | None = None) -> tuple[np.ndarray, Sample]:
        """Weights of the simulated events (S,), every step left in `run`, and what was unfolded.

        Of `reweight` they are the pull weights of the first step, which are the ratios.
        """
        sample = sample_of(self.events, counts)
        kept = StepFiles(run, len(self.events.simulated))
        self.fit.run = run
        before = np.ones(len(sample.weight))
        if self.step == "reweight":
            name = "iteration1_step1"
            if name not in kept:
                kept[name] = pulled(sample, before, self.fit, name, "prior")
            return kept[name], sample
        report = []
        for push in unfold(sample, self.fit, self.iterations, kept, self.misses):
            report.append(iteration_report(self.events, sample, push, before))
            before = push
            if distributed.rank() == 0:
                write_results(run / "iterations.json", {"iterations": report})
                chi2 = ", ".join(f"{key} {one.text}" for key, one in report[-1]["chi2"].items())
                log.info(
                    f"iteration {len(report)}: weights changed by {report[-1]['change'].text}, "
                    f"chi2 per bin with held-out data at detector level {chi2}"
                )
        distributed.barrier()
        return before, sample

    def again(self, run: Path, name: str, number: int, counts_of: Callable) -> np.ndarray:
        """Weights (number, S), on rank 0, of repetitions in RUN/<name><k>, each by one rank alone.

        counts_of: repetition -> Counts, or None where all events count once. The weights are those
        that the event weights and the normalisation of the run itself are multiplied by: how often
        an event was drawn, and the normalisation of the repetition, are part of them.
        """
        events, fit = self.events, self.fit
        nominal, seed = sample_of(events).normalisation, fit.seed
        for repetition in range(distributed.rank(), number, distributed.size()):
            with distributed.single_process():
                fit.seed = seed + fit.ensemble * (repetition + 1)
                self(run / f"{name}{repetition}", counts_of(repetition))
        fit.seed = seed
        distributed.barrier()
        if distributed.rank() != 0:
            return np.zeros((0, int(events.simulated.sum())), np.float32)
        found = np.zeros((number, int(events.simulated.sum())), np.float32)
        for repetition in range(number):
            counts = counts_of(repetition)
            scale = sample_of(events, counts).normalisation / nominal
            drawn = 1.0 if counts is None else counts[0]
            found[repetition] = drawn * scale * self.result(run / f"{name}{repetition}")
        return found

    def result(self, run: Path) -> np.ndarray:
        """Weights (S,) of an unfolding that has been done there."""
        last = f"iteration{self.iterations}_step2"
        name = last if self.step == "unfold" else "iteration1_step1"
        return StepFiles(run, len(self.events.simulated))[name]


def iteration_report(events: Events, sample: Sample, push: np.ndarray, before: np.ndarray) -> dict:
    """When to stop: rms change of the weights, and chi2 of every observable at detector level.

    Detector level is what is known of data; they are those that no classifier has learnt from.
    Iterating further is of no use once neither falls.
    """
    weight = sample.weight * sample.passes_gen
    chi2, held_out = {}, events.weight * events.passes[DETECTOR] * events.unseen
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
    """rms difference of weights (S,) over their mean, for events of the weights `weight` (S,)."""
    entries = int(np.count_nonzero(weight))
    mean = np.sum(push * weight) / np.sum(weight)
    if not mean > 0:
        return Result(np.nan, None, entries, reason=f"the mean of the weights is {mean:g}")
    squares = np.average((push - before) ** 2, weights=np.abs(weight))
    return Result(float(np.sqrt(squares) / mean), None, entries)
