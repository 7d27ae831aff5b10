"""Cross-fitted likelihood ratios: no event is weighted by a classifier trained on it.

arXiv:2502.14652, Section VII: the ratio is exp(logit). It is clipped on both sides and normalised
by one factor per fold; an event without a jet at the level has the ratio 1.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError
from omnilearn.statistics.likelihood_ratio import ratio_of, ratio_quality
from omnilearn.statistics.results import Result, write_results
from omnilearn.training import distributed
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import Step
from omnilearn.unfolding.spectrum_distances import Spectrum, chi2_per_bin

Rows = np.ndarray  # (N,) bool: mask over all events
CLOSURE_BINS = 10


@dataclass
class CrossFit(ABC):
    """The `fit` of OmniFold: for each step as many classifiers as there are folds of the events.

    Each is trained on the other folds and gives the ratios of its own. The ratio is the mean over
    `ensemble` such sets, with seeds counted up from `seed`. Folders: RUN/<step>/seed<k>/fold<i>.
    ranks: of the unfolding that this process repeats alone; a training then has as many jets per
    step as on these ranks together.
    """

    events: Events
    run: Path
    seed: int
    ensemble: int = 1
    clip: float = 100.0
    ranks: int = 1

    def ranks_of(self, run: Path) -> int:
        """Ranks whose batches made one step in the unfolding in `run`; 1 without batches."""
        return 1

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

        rows: the training events, and those whose loss stops it. Returns "epochs" and "best_epoch".
        """

    @abstractmethod
    def log_ratio(self, level: str, rows: Rows) -> np.ndarray:
        """Logit (N,) of target against reference, by the classifier trained last.

        It is 0 for events not in `rows` and for those without a jet at this level.
        """

    def __call__(self, step: Step) -> np.ndarray:
        """Ratio (S,) of the step, normalised to a mean of one over the reference."""
        events, samples = self.events, self.samples(step)
        simulated = events.simulated
        # simulated events get a weight; the val split measures the classifiers
        selected = simulated | (events.within("val") & (samples[1] != 0))
        ratios, reports = [], {}
        for seed in range(self.seed, self.seed + self.ensemble):
            logit, ratio, epochs = np.zeros(len(simulated)), np.ones(len(simulated)), []
            for fold in range(events.folds):
                training, validation, predicted = events.roles(fold)
                folder = self.run / step.name / f"seed{seed}" / f"fold{fold}"
                epochs.append(self.train(step, samples, (training, validation), folder, seed))
                predicted = predicted & selected
                logit[predicted] = self.log_ratio(step.level, predicted)[predicted]
                ratio[predicted] = self.normalised(
                    logit[predicted], samples[0][predicted], step.name
                )
            ratios.append(ratio[simulated])
            reports[f"seed{seed}"] = self.quality(step, samples, logit) | {
                name: float(np.mean([counts[name] for counts in epochs])) for name in epochs[0]
            }
        if distributed.rank() == 0:
            write_results(self.run / step.name / "report.json", reports)
        distributed.barrier()
        return np.mean(ratios, axis=0)

    def normalised(self, logit: np.ndarray, reference: np.ndarray, name: str) -> np.ndarray:
        """Ratios of a fold (n,), with a mean of one over the reference weights (n,)."""
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
        return self.events.scatter(step.reference, None), self.events.scatter(*target)

    def quality(
        self, step: Step, samples: tuple[np.ndarray, np.ndarray], logit: np.ndarray
    ) -> dict:
        """Quality of the ratio on the val split; the logit (N,) is that of the cross-fitting."""
        selected = self.events.passes[step.level] & self.events.within("val")
        selected &= (samples[0] != 0) | (samples[1] != 0)
        weights = tuple(weight[selected] for weight in samples)
        return {
            "closure_chi2": closure(logit[selected], weights, self.clip),
            **ratio_quality(logit[selected], weights[0], self.clip),
        }


def closure(logit: np.ndarray, samples: tuple[np.ndarray, np.ndarray], clip: float) -> Result:
    """chi2 per degree of freedom of target and reweighted reference in bins of the logit (N,).

    `samples`: weights (N,) of the events in reference and target. Events in both are
    treated as independent, which makes the chi2 of step 2 smaller than one.
    """
    reference, target = samples
    if not len(logit):
        return Result(np.nan, None, 0, reason="no event of the val split has a jet at this level")
    inner = np.quantile(logit, np.linspace(0, 1, CLOSURE_BINS + 1)[1:-1])
    limits = np.concatenate([[-np.inf], np.unique(inner), [np.inf]])
    bins = np.searchsorted(limits, logit, side="right") - 1
    edges = np.arange(len(limits)) - 0.5
    reweighted, expected = (
        Spectrum.of(bins[weights != 0], weights[weights != 0], edges)
        for weights in (reference * ratio_of(logit, clip), target)
    )
    return chi2_per_bin(reweighted, expected)


def previous(run: Path, name: str) -> Path:
    """Folder of the same step in the previous iteration, whether it exists or not."""
    iteration, _, step = name.partition("_")
    index = iteration.removeprefix("iteration")
    return run / f"iteration{int(index) - 1}_{step}" if index.isdigit() else run / "none"
