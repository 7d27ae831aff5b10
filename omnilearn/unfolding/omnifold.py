"""OmniFold: the iteration, for any classifier.

A. Andreassen et al., arXiv:1911.09107. Step 1, detector level: the pull weights take the simulation
to the data. Step 2, particle level: the push weights are that reweighting as a function of the
particle level. Events that only one level accepts follow arXiv:2105.04448: a miss has the average
pull weight of its particle level, a fake the average push weight of its detector level.

The ratio of step 1 multiplies the push weights of the previous iteration. The ratio of step 2 is
relative to the simulation as generated, in every iteration, so that it is the push weight itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from omnilearn.errors import UserError

DETECTOR, PARTICLE = "reco", "gen"


@dataclass(frozen=True)
class Step:
    """Two weighted samples to classify at one level.

    reference (S,): weights of the simulated events, zero for those not in the sample. target:
    weights of the data (D,) if `against_data`, else other weights of the simulation (S,).
    multiplies: the reference has push weights that the ratio multiplies, so that it is one when the
    unfolding has converged; else the ratio is the weight itself.
    """

    name: str  # iteration1_step1 and so on
    level: str
    reference: np.ndarray
    target: np.ndarray
    against_data: bool
    multiplies: bool = False


# Step -> density of the target over that of the reference (S,), up to a factor, for all simulated
# events with a jet at this level, those of weight zero too
Fit = Callable[[Step], np.ndarray]


@dataclass(frozen=True)
class Sample:
    """Simulated events (S,) with their weights and the levels that accept them; data (D,)."""

    weight: np.ndarray
    passes_reco: np.ndarray
    passes_gen: np.ndarray
    data_weight: np.ndarray  # (D,), zero for events that detector level does not accept

    def __post_init__(self):
        for name, weight in (
            ("simulation at detector level", self.weight * self.passes_reco),
            ("simulation at particle level", self.weight * self.passes_gen),
            ("data at detector level", self.data_weight),
        ):
            if not weight.sum() > 0:
                raise UserError(
                    f"the weights of the {name} add up to {weight.sum():g}; "
                    "expected events there, with a positive sum"
                )

    @property
    def normalisation(self) -> float:
        """Sum of data weights over that of the simulation, both at detector level."""
        return float(self.data_weight.sum() / np.sum(self.weight * self.passes_reco))


def pulled(sample: Sample, push: np.ndarray, fit: Fit, name: str, misses: str) -> np.ndarray:
    """Step 1: pull weights (S,) from push weights (S,).

    Weighted by them, the simulation keeps its sum at detector level. `misses` is "average"
    (arXiv:2105.04448, step 1b) or "prior", with which misses keep their push weight.
    """
    weight = sample.weight * sample.passes_reco
    step = Step(name, DETECTOR, weight * push, sample.data_weight, True, multiplies=True)
    ratio = np.where(sample.passes_reco, fit(step), 0.0)
    scale = np.sum(weight) / np.sum(weight * push * ratio)
    pull = np.where(sample.passes_reco, push * ratio * scale, push)
    missed = sample.passes_gen & ~sample.passes_reco
    if misses == "average" and missed.any():
        both = sample.weight * (sample.passes_gen & sample.passes_reco)
        step = Step(f"{name}_misses", PARTICLE, both * push, both * pull, False, multiplies=True)
        pull[missed] = (push * averaged(fit, step))[missed]
    return pull


def pushed(sample: Sample, pull: np.ndarray, fit: Fit, name: str, misses: str) -> np.ndarray:
    """Step 2: push weights (S,) from pull weights (S,), relative to the simulation as generated.

    Fakes have the average push weight of their detector level, or 1 with `misses` "prior".
    """
    weight = sample.weight * sample.passes_gen
    step = Step(name, PARTICLE, weight, weight * pull, against_data=False)
    push = np.where(sample.passes_gen, averaged(fit, step), 1.0)
    fake = sample.passes_reco & ~sample.passes_gen
    if misses == "average" and fake.any():
        both = sample.weight * (sample.passes_gen & sample.passes_reco)
        step = Step(f"{name}_fakes", DETECTOR, both, both * push, against_data=False)
        push[fake] = averaged(fit, step)[fake]
    return push


def averaged(fit: Fit, step: Step) -> np.ndarray:
    """Mean target weight per reference weight, (S,), as a function of the step's level."""
    ratio, selected = fit(step), step.reference != 0
    total = np.sum((step.reference * ratio)[selected])
    return ratio * np.sum(step.target) / total


class StoredSteps(Protocol):
    """Weights (S,) after each finished step, by its name: a dictionary, or files."""

    def __contains__(self, name) -> bool: ...
    def __getitem__(self, name: str, /) -> np.ndarray: ...
    def __setitem__(self, name: str, weights: np.ndarray, /) -> None: ...


def unfold(
    sample: Sample,
    fit: Fit,
    iterations: int,
    stored: StoredSteps | None = None,
    misses: str = "average",
) -> Iterator[np.ndarray]:
    """Push weights (S,) after every iteration, each yielded as soon as it is finished.

    Steps in `stored` are not repeated; the others are added to it.
    """
    stored = {} if stored is None else stored
    push = np.ones(len(sample.weight))
    for iteration in range(1, iterations + 1):
        first, second = (f"iteration{iteration}_step{step}" for step in (1, 2))
        if second not in stored:
            if first not in stored:
                stored[first] = pulled(sample, push, fit, first, misses)
            stored[second] = pushed(sample, stored[first], fit, second, misses)
        push = stored[second]
        yield push
