"""The objective of the network of jet kinematics: the velocity of pT, eta, mass, multiplicity.

Multiplicities are whole numbers. Uniform noise of up to half a constituent makes their
distribution continuous; rounding a sampled multiplicity undoes it.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

from omnilearn.data.spec import JET_FEATURES
from omnilearn.data.streams import JetStreams
from omnilearn.diffusion import perturb
from omnilearn.generation.jet_generator import JetGenerator
from omnilearn.model.checkpoint import model_weights
from omnilearn.training import losses
from omnilearn.training.objective import Objective

MULTIPLICITY = JET_FEATURES.index("multiplicity")


@dataclass
class JetObjective(Objective):
    """The velocity loss of the network of jet kinematics."""

    model: JetGenerator
    counted: dict[int, float]  # column of a multiplicity -> the width it was divided by

    def trained(self) -> dict:
        return model_weights(self.model)

    def prepare(
        self,
        batch: dict,
        rng: np.random.Generator | JetStreams,
        training: bool,
        constituents_per_jet: float,
    ) -> dict:
        """Jets with continuous multiplicities and noise (B, J), time (B, 1), labels, weights."""
        jets = len(batch["mask"])
        jet = batch["jet"].copy()
        for column, width in self.counted.items():
            jet[:, column] += (rng.random((jets,), dtype="float32") - 0.5) / np.float32(width)
        return {
            "jet": jet,
            "label": batch["label"],
            "weight": batch["weight"],
            "mask": np.ones((jets, 1), "float32"),
            "time": rng.random((jets, 1), dtype="float32"),
            "jet_noise": rng.standard_normal(jet.shape, dtype="float32"),
        }

    def losses(self, batch: dict) -> dict:
        """The mean squared error of the velocity over jets and their features."""
        perturbed, target = perturb(batch["jet"], batch["jet_noise"], batch["time"])
        velocity = self.model(perturbed, batch["time"], batch["label"])
        error = ops.mean(ops.square(target - velocity), axis=-1)
        loss = losses.weighted_mean(error, batch["weight"])
        return {"loss": loss, "velocity": loss}
