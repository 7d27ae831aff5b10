"""PET's objective: classify clean and perturbed jets, and predict the velocity of the diffusion.

Mode "all" is arXiv:2502.14652, Section II.4; mode "classifier" minimises the cross-entropy alone,
mode "generator" the velocity alone, as the released code does. All random numbers of a step (time,
noise, drops) are drawn in NumPy from the seed, epoch, step and rank and travel with the batch: the
loss is a pure function of weights and batch, and a resumed run repeats the uninterrupted one.
"""

from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
from keras import ops

from omnilearn.config import OF_MODE_ALL, by_mode
from omnilearn.data.spec import DIFFUSED_FEATURES, FEATURES, KINEMATIC_FEATURES
from omnilearn.data.streams import JetStreams
from omnilearn.diffusion import alpha_sigma, perturb
from omnilearn.model.checkpoint import model_weights
from omnilearn.model.pet import PET
from omnilearn.training import losses

DIFFUSED = len(DIFFUSED_FEATURES)
HEADS = {
    "all": ("classifier", "generator"),
    "classifier": ("classifier",),
    "generator": ("generator",),
}


REGRESSION = "classifier.regression."  # the layer that reads the jet inputs off the class token


class Objective(Protocol):
    """What the trainer asks of anything that is minimised."""

    model: keras.Model  # its config, of a kind, and parts() are what checkpoints hold

    def trained(self) -> dict[str, keras.Variable]:
        """The weights that learn, by name; "body." begins those that may learn slower."""

    def prepare(
        self,
        batch: dict,
        rng: np.random.Generator | JetStreams,
        training: bool,
        constituents_per_jet: float,
    ) -> dict:
        """A batch of the pipeline with all that is drawn for it; "index" is left out."""

    def losses(self, batch: dict) -> dict:
        """Terms of a prepared batch, scalars.

        "loss" is reported and selects an epoch; "objective" is minimised, where it differs.
        """

    def after_step(self, number: int, gradients: dict, batch: dict) -> None:
        """Called after the `number`-th step of the optimiser, counted from one."""
        return  # most have nothing to do


@dataclass
class PETObjective(Objective):
    """What PET minimises, for heads "all", "classifier" or "generator".

    Batches: constituents (B, L, F), mask (B, L), jet (B, J), label (B, C), weight (B,), and what
    `prepare` adds. The layer of the regression learns only where its weight is above zero.
    """

    model: PET
    mode: str = "all"
    regression_weight: float | None = None  # of `config.by_mode` where absent
    feature_drop: float | None = None
    label_drop: float = 0.1

    def __post_init__(self):
        for name in OF_MODE_ALL:
            setattr(self, name, by_mode(name, getattr(self, name), self.mode))

    @property
    def generates(self) -> bool:
        return "generator" in HEADS[self.mode]

    @property
    def classifies(self) -> bool:
        return "classifier" in HEADS[self.mode]

    def trained(self) -> dict:
        """The weights that learn, by name: the body and the heads in use."""
        parts = ("body", *HEADS[self.mode])
        return {
            name: weight
            for name, weight in model_weights(self.model).items()
            if name.split(".")[0] in parts
            and (self.regression_weight or not name.startswith(REGRESSION))
        }

    def prepare(
        self,
        batch: dict,
        rng: np.random.Generator | JetStreams,
        training: bool,
        constituents_per_jet: float,
    ) -> dict:
        """Add the draws of a step: time (B, 1), noise (B, L, 3) and, in training, the drops.

        constituents_per_jet is the mean over the split, which makes the velocity term a mean over
        its constituents whatever the number of ranks or the lengths of the jets in a batch.
        """
        jets, length = batch["mask"].shape
        prepared = {key: value for key, value in batch.items() if key != "index"}
        prepared["constituents_per_jet"] = np.float32(constituents_per_jet)
        if self.generates:
            prepared["time"] = rng.random((jets, 1), dtype="float32")
            prepared["noise"] = rng.standard_normal((jets, length, DIFFUSED), dtype="float32")
        if training and self.generates:
            kept = rng.random((jets, 1)) >= self.label_drop
            prepared["generator_label"] = batch["label"] * kept.astype("float32")
        if training and self.classifies:
            shown = np.ones((jets, 1, len(FEATURES)), "float32")
            dropped = rng.random(jets) < self.feature_drop
            shown[dropped, :, len(KINEMATIC_FEATURES) :] = 0.0
            prepared["constituents"] = batch["constituents"] * shown
        return prepared

    def losses(self, batch: dict) -> dict:
        """The terms, each a scalar mean over jets, "loss" and, where it differs, "objective".

        "loss" is what is reported and selects an epoch: the sum of the terms or, of a classifier
        alone, its cross-entropy, whatever the regression adds to the "objective" that is minimised.
        """
        terms: dict = {}
        if self.classifies:
            logits, regression = self.model.classify(
                batch["constituents"], batch["mask"], batch["jet"]
            )
            terms |= self.classification(batch, logits, regression, batch["weight"], "")
            right = losses.is_right(batch["label"], logits)
            accuracy = losses.weighted_mean(right, batch["weight"])
        if self.generates:
            terms |= self.generation(batch)
        objective = loss = sum(terms.values())
        if not self.generates:
            loss = terms["cross_entropy"]
            if len(terms) > 1:
                terms["objective"] = objective
        if self.classifies:
            terms["accuracy"] = accuracy
        return {"loss": loss, **terms}

    def classification(self, batch, logits, regression, weight, suffix: str) -> dict:
        """Cross-entropy and, where it has a weight, regression of the jet inputs.

        weight (B,) per jet.
        """
        entropy = losses.cross_entropy(batch["label"], logits)
        terms = {f"cross_entropy{suffix}": losses.weighted_mean(entropy, weight)}
        if self.regression_weight:
            error = self.regression_weight * losses.regression_error(batch["jet"], regression)
            terms[f"regression{suffix}"] = losses.weighted_mean(error, weight)
        return terms

    def perturbed_pass(self, batch) -> tuple:
        """Velocity error (B,) of perturbed jets, and what the classifier makes of them (or None).

        The error of a jet is summed over its constituents, in units in which its mean over jets is
        a mean over constituents and diffused features.
        """
        mask, time = batch["mask"], batch["time"]
        features = batch["constituents"]
        noise = batch["noise"] * mask[:, :, None]
        perturbed, target = perturb(features[:, :, :DIFFUSED], noise, time)
        hidden = ops.zeros_like(features[:, :, DIFFUSED:])
        perturbed = ops.concatenate([perturbed, hidden], axis=-1)
        label = batch.get("generator_label", batch["label"])
        inputs = (perturbed, mask, batch["jet"], time, label)
        if self.classifies:
            *output, velocity = self.model.classify_and_velocity(*inputs)
        else:
            output, velocity = None, self.model.velocity(*inputs)
        error = losses.velocity_error(target, velocity[:, :, :DIFFUSED], mask)
        return error / (DIFFUSED * batch["constituents_per_jet"]), output

    def generation(self, batch) -> dict:
        """The terms of the perturbed pass: velocity, and classification weighted by alpha^2."""
        weight = batch["weight"]
        error, output = self.perturbed_pass(batch)
        terms = {"velocity": losses.weighted_mean(error, weight)}
        if self.classifies:
            alpha, _ = alpha_sigma(batch["time"])
            logits, regression = output
            weight = weight * ops.square(alpha)[:, 0]
            terms |= self.classification(batch, logits, regression, weight, "_perturbed")
        return terms
