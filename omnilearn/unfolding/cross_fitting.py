"""Cross-fitted likelihood ratios: no event is weighted by a classifier that learnt from it.

arXiv:2502.14652, Section VII: the ratio is exp(logit). It is clipped on both sides and normalised
by one number per fold; an event without a jet at the level has the ratio 1.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError
from omnilearn.statistics.results import write_results
from omnilearn.training import distributed
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.likelihood_ratio import closure, ratio_of, ratio_quality
from omnilearn.unfolding.omnifold import Step

Rows = np.ndarray  # (N,) bool: which of all events


@dataclass
class CrossFit(ABC):
    """The `fit` of OmniFold: for each step as many classifiers as there are folds of the events.

    Each learns from the other folds and weighs its own. The ratio is the mean over `ensemble` such
    sets, with seeds counted up from `seed`. Folders: RUN/<step>/seed<k>/fold<i>.
    """

    events: Events
    run: Path
    seed: int
    ensemble: int = 1
    clip: float = 100.0

    @abstractmethod
    def train(
        self,
        step: Step,
        samples: tuple[np.ndarray, np.ndarray],
        rows: tuple[Rows, Rows],
        folder: Path,
        seed: int,
    ) -> dict[str, int]:
        """Fit a classifier to the samples, weights (N,) of all events in reference and target.

        rows: the events to learn from, and those that stop it. Returns "epochs" and "best_epoch".
        """

    @abstractmethod
    def log_ratio(self, level: str, rows: Rows) -> np.ndarray:
        """Logit (N,) of target against reference, by the classifier that was trained last.

        Of the events `rows`; 0 of all others and of those without a jet at this level.
        """

    def __call__(self, step: Step) -> np.ndarray:
        """Ratio (S,) of the step, normalised to a mean of one over the reference."""
        events, samples = self.events, self.samples(step)
        simulated = events.simulated
        # simulated events get a weight; the val split tells how good the classifiers are
        wanted = simulated | (events.within("val") & (samples[1] != 0))
        ratios, reports = [], {}
        for seed in range(self.seed, self.seed + self.ensemble):
            logit, ratio, epochs = np.zeros(len(simulated)), np.ones(len(simulated)), []
            for fold in range(events.folds):
                training, validation, weighed = events.roles(fold)
                folder = self.run / step.name / f"seed{seed}" / f"fold{fold}"
                epochs.append(self.train(step, samples, (training, validation), folder, seed))
                weighed = weighed & wanted
                logit[weighed] = self.log_ratio(step.level, weighed)[weighed]
                ratio[weighed] = self.normalised(logit[weighed], samples[0][weighed], step.name)
            ratios.append(ratio[simulated])
            reports[f"seed{seed}"] = self.quality(step, samples, logit) | {
                name: float(np.mean([one[name] for one in epochs])) for name in epochs[0]
            }
        if distributed.rank() == 0:
            write_results(self.run / step.name / "report.json", reports)
        distributed.barrier()
        return np.mean(ratios, axis=0)

    def normalised(self, logit: np.ndarray, reference: np.ndarray, name: str) -> np.ndarray:
        """Ratios of a fold (n,), whose mean over the reference weights (n,) is one."""
        ratio = ratio_of(logit, self.clip)
        before, after = reference.sum(), np.sum(reference * ratio)
        if not (before > 0 and after > 0):
            raise UserError(
                f"{name}: the weights of a fold of {len(logit)} events add up to {before:g}, "
                f"reweighted to {after:g}; expected both above zero: take fewer --folds, or more "
                "events"
            )
        return ratio * before / after

    def samples(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        """Weights of all events (N,) in reference and target."""
        target = (None, step.target) if step.against_data else (step.target, None)
        return self.events.spread_out(step.reference, None), self.events.spread_out(*target)

    def quality(
        self, step: Step, samples: tuple[np.ndarray, np.ndarray], logit: np.ndarray
    ) -> dict:
        """What the ratio is worth, on the val split: each event by a classifier it did not stop."""
        there = self.events.passes[step.level] & self.events.within("val")
        there &= (samples[0] != 0) | (samples[1] != 0)
        weights = tuple(weight[there] for weight in samples)
        return {
            "closure_chi2": closure(logit[there], weights, self.clip),
            **ratio_quality(logit[there], weights[0], self.clip),
        }


def previous(run: Path, name: str) -> Path:
    """Folder of the same step of the iteration before, whether it is there or not."""
    iteration, _, step = name.partition("_")
    number = iteration.removeprefix("iteration")
    return run / f"iteration{int(number) - 1}_{step}" if number.isdigit() else run / "none"
