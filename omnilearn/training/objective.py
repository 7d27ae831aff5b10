"""PET's objective: classify clean and perturbed jets, and predict the velocity of the diffusion.

Mode "all" is arXiv:2502.14652, Section II.4; mode "classifier" minimises the cross-entropy alone,
mode "generator" the velocity alone, as the released code does. All random numbers of a step (time,
noise, drops) are drawn in NumPy from the seed, epoch, step and rank and added to the batch: the
loss is a function of weights and batch alone, and a resumed run equals an uninterrupted one.
"""

from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
from keras import ops

from omnilearn.config import OF_MODE_ALL, by_mode
from omnilearn.data.spec import DIFFUSED, FEATURES, KINEMATIC_FEATURES
from omnilearn.data.streams import JetStreams
from omnilearn.diffusion import alpha_sigma, perturb
from omnilearn.model.checkpoint import model_weights
from omnilearn.model.pet import PET
from omnilearn.training import losses

HEADS = {
    "all": ("classifier", "generator"),
    "classifier": ("classifier",),
    "generator": ("generator",),
}
REGRESSION = "classifier.regression."  # the layer that regresses the jet inputs


class Objective(Protocol):
    """Interface of what the trainer minimises."""

    model: keras.Model  # checkpoints hold its config and the weights of its parts()

    def trained(self) -> dict[str, keras.Variable]:
        """The trained weights by name; those of "body." may have a smaller learning rate."""

    def prepare(
        self,
        batch: dict,
        rng: np.random.Generator | JetStreams,
        training: bool,
        constituents_per_jet: float,
    ) -> dict:
        """A batch of the pipeline with its random numbers, without "index"."""

    def losses(self, batch: dict) -> dict:
        """Terms of a prepared batch, scalars.

        "loss" is reported and selects the best epoch; "objective", if present, is minimised.
        """

    def after_step(self, step: int, gradients: dict, batch: dict) -> None:
        """Called after each step of the optimiser, counted from one.

        gradients: by name, averaged over ranks; batch: the last one of this rank.
        """
        return


@dataclass
class PETObjective(Objective):
    """The objective of PET for heads "all", "classifier" or "generator".

    Batches: constituents (B, L, F), mask (B, L), jet (B, J), label (B, C), weight (B,), and the
    draws of `prepare`. The regression layer is trained only if its weight is above zero.
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
        """The trained weights by name: of the body and of the heads in use."""
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

        constituents_per_jet: the mean over the split, so that the velocity term is a mean over its
        constituents for any number of ranks and any multiplicities in a batch.
        """
        jets, length = batch["mask"].shape
        prepared = {key: value for key, value in batch.items() if key != "index"}
        prepared["constituents_per_jet"] = np.float32(constituents_per_jet)
        if self.generates:
            prepared["time"] = rng.random((jets, 1), dtype="float32")
            prepared["noise"] = rng.standard_normal((jets, length, DIFFUSED), dtype="float32")
        if training and self.generates:
            is_labelled = rng.random((jets, 1)) >= self.label_drop
            prepared["generator_label"] = batch["label"] * is_labelled.astype("float32")
        if training and self.classifies:
            feature_mask = np.ones((jets, 1, len(FEATURES)), "float32")
            dropped = rng.random(jets) < self.feature_drop
            feature_mask[dropped, :, len(KINEMATIC_FEATURES) :] = 0.0
            prepared["constituents"] = batch["constituents"] * feature_mask
        return prepared

    def losses(self, batch: dict) -> dict:
        """The terms, each a scalar mean over jets, "loss" and, where it differs, "objective".

        "loss" is the sum of the terms, or of a classifier alone its cross-entropy; a regression
        then adds to the "objective" only.
        """
        terms: dict = {}
        if self.classifies:
            logits, regression = self.model.classify(
                batch["constituents"], batch["mask"], batch["jet"]
            )
            terms |= self.classification(batch, logits, regression, batch["weight"], "")
            is_correct = losses.is_correct(batch["label"], logits)
            accuracy = losses.weighted_mean(is_correct, batch["weight"])
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
        """Cross-entropy and, if weighted, regression of the jet inputs; weight (B,) per jet."""
        entropy = losses.cross_entropy(batch["label"], logits)
        terms = {f"cross_entropy{suffix}": losses.weighted_mean(entropy, weight)}
        if self.regression_weight:
            error = self.regression_weight * losses.regression_error(batch["jet"], regression)
            terms[f"regression{suffix}"] = losses.weighted_mean(error, weight)
        return terms

    def perturbed_pass(self, batch) -> tuple:
        """Velocity error (B,) of perturbed jets, and the outputs of the classifier or None.

        The error is a sum over the constituents of a jet, scaled so that its mean over jets is a
        mean over constituents and diffused features.
        """
        mask, time = batch["mask"], batch["time"]
        noise = batch["noise"] * mask[:, :, None]
        perturbed, target = perturb(self.model.diffused(batch["constituents"]), noise, time)
        label = batch.get("generator_label", batch["label"])
        inputs = (self.model.among_zeros(perturbed), mask, batch["jet"], time, label)
        if self.classifies:
            *output, velocity = self.model.classify_and_velocity(*inputs)
        else:
            output, velocity = None, self.model.velocity(*inputs)
        error = losses.velocity_error(target, self.model.diffused(velocity), mask)
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
