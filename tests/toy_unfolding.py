"""Gaussian events with a Gaussian smearing, and a logistic fit that is exact for them."""

from dataclasses import dataclass

import numpy as np

from omnilearn.unfolding.omnifold import Sample, Step

RESOLUTION = 0.5


@dataclass
class Gaussians:
    """Simulation and data, one number per event at each level, and the `fit` of a step."""

    simulation: dict[str, np.ndarray]
    data: dict[str, np.ndarray]
    steps: list[str]

    @classmethod
    def of(cls, events: int, shift: float, seed: int = 0) -> "Gaussians":
        """Unit Gaussians; the data's mean is `shift` away."""
        rng = np.random.default_rng(seed)
        samples = []
        for mean in (0.0, shift):
            gen = rng.normal(mean, 1.0, events)
            samples.append({"gen": gen, "reco": gen + rng.normal(0, RESOLUTION, events)})
        return cls(*samples, [])

    def sample(self, **replaced) -> Sample:
        events = len(self.simulation["gen"])
        arrays = {
            "weight": np.ones(events),
            "passes_reco": np.ones(events, bool),
            "passes_gen": np.ones(events, bool),
            "data_weight": np.ones(len(self.data["gen"])),
        }
        return Sample(**arrays | replaced)

    def fit(self, step: Step) -> np.ndarray:
        """Newton's method for log ratio = a + b x + c x^2."""
        self.steps.append(step.name)
        reference = self.simulation[step.level]
        target = self.data[step.level] if step.against_data else reference
        x = np.concatenate([reference, target])
        design = np.stack([np.ones_like(x), x, x**2], axis=-1)
        is_target = np.arange(len(x)) >= len(reference)
        weight = np.concatenate(
            [step.reference / step.reference.sum(), step.target / step.target.sum()]
        )
        coefficients = np.zeros(3)
        for _ in range(12):
            probability = 1 / (1 + np.exp(-design @ coefficients))
            slope = design.T @ (weight * (is_target - probability))
            curvature = (design * (weight * probability * (1 - probability))[:, None]).T @ design
            coefficients += np.linalg.solve(curvature, slope)
        return np.exp(design[: len(reference)] @ coefficients)
