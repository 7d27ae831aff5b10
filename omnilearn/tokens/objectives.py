"""Objectives of the tokeniser, the jet GPT and the classifier on it.

arXiv:2403.05618 and arXiv:2412.10504. The tokeniser's dropout takes its seed from the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from omnilearn.data.spec import TOKEN_FEATURES
from omnilearn.model.checkpoint import model_weights
from omnilearn.tokens.jet_gpt import OmniJet, targets
from omnilearn.tokens.tokeniser import Tokeniser, token_inputs
from omnilearn.tokens.transformer import Dropout
from omnilearn.training import distributed, losses
from omnilearn.training.gradients import compiled_for_batches
from omnilearn.training.objective import Objective
from omnilearn.training.random_streams import Stream

ALPHA = 10.0  # weight of the commitment relative to the reconstruction
BETA = 0.9  # share of the commitment that moves the codes; the rest moves the latents
REPLACE_EVERY = 100  # steps after which unused codes are replaced
CODES = "codebook.codes"


def prepared_batch(batch: dict, constituents_per_jet: float) -> dict:
    """The arrays that losses use, and the mean multiplicity over all ranks."""
    arrays = {name: batch[name] for name in ("constituents", "mask", "label", "weight")}
    return {**arrays, "constituents_per_jet": np.float32(constituents_per_jet)}


def commitment(latent, vectors, mask):
    """Squared distance (B,) of latents and their vectors (B, L, D), summed over a jet.

    The share BETA moves the vectors, the rest the latents (arXiv:2305.08842).
    """
    squared = (1 - BETA) * ops.square(latent - ops.stop_gradient(vectors))
    squared = squared + BETA * ops.square(ops.stop_gradient(latent) - vectors)
    return ops.sum(ops.mean(squared, axis=-1) * mask, axis=-1)


@dataclass
class TokeniserObjective(Objective):
    """Reconstruction of constituents, and distance of latents and codes."""

    model: Tokeniser
    seed: int = 0
    latent_of: Callable = field(init=False)

    def __post_init__(self):
        config = self.model.config

        def latent_and_mask(batch):
            features, mask = token_inputs(batch, config)
            return self.model.encoder(features, real=mask), mask

        self.latent_of = compiled_for_batches(latent_and_mask, config.max_constituents)

    def trained(self) -> dict:
        weights = model_weights(self.model).items()
        return {name: weight for name, weight in weights if weight.trainable}

    def prepare(self, batch: dict, rng, training: bool, constituents_per_jet: float) -> dict:
        """As `prepared_batch`; batches of training have a seed of the dropout too."""
        prepared = prepared_batch(batch, constituents_per_jet)
        if training:
            prepared["seed"] = rng.integers(0, 2**31, 2).astype("int32")
        return prepared

    def losses(self, batch: dict) -> dict:
        """Both terms are means over constituents and features."""
        config = self.model.config
        features, mask = token_inputs(batch, config)
        drop = Dropout(config.dropout, batch["seed"]) if "seed" in batch else None
        reconstructed, latent, vectors = self.model(features, mask, drop=drop)
        per_jet = 1 / batch["constituents_per_jet"]
        error = losses.velocity_error(features, reconstructed, mask) / len(TOKEN_FEATURES)
        terms = {
            "reconstruction": losses.weighted_mean(per_jet * error, batch["weight"]),
            "commitment": ALPHA
            * losses.weighted_mean(per_jet * commitment(latent, vectors, mask), batch["weight"]),
        }
        return {"loss": sum(terms.values()), **terms}

    def latents(self, batch: dict) -> np.ndarray:
        """The encoder's vectors (constituents, latent) of the real slots of a prepared batch."""
        latent, mask = self.latent_of({key: batch[key] for key in ("constituents", "mask")})
        return np.asarray(latent)[np.asarray(mask) > 0]

    def after_step(self, number: int, gradients: dict, batch: dict) -> None:
        """Count the codes in use, those with a gradient; after REPLACE_EVERY steps replace others.

        The replacements are random latents of rank 0's batch, by seed and step. The counts are
        those of all ranks and weights of the model, so that a resumed run replaces the same codes.
        """
        codebook = self.model.codebook
        used = np.any(np.asarray(gradients[CODES]) != 0, axis=1)
        codebook.usage.assign(np.asarray(codebook.usage) + used)
        if number % REPLACE_EVERY:
            return
        unused = np.flatnonzero(np.asarray(codebook.usage) == 0)
        if len(unused) and distributed.rank() == 0:
            rng = np.random.default_rng((self.seed, Stream.CODES, number))
            latents, codes = self.latents(batch), np.array(codebook.codes)
            codes[unused] = latents[rng.integers(0, len(latents), len(unused))]
            codebook.codes.assign(codes)
        codebook.usage.assign(np.zeros(len(used), "float32"))
        distributed.broadcast_variables([codebook.codes])


@dataclass
class OmniJetObjective(Objective):
    """Base of the objectives of tokeniser and GPT together."""

    model: OmniJet

    def prepare(self, batch: dict, rng, training: bool, constituents_per_jet: float) -> dict:
        return prepared_batch(batch, constituents_per_jet)


@dataclass
class TokenObjective(OmniJetObjective):
    """The next token of every sentence; the tokeniser stays fixed.

    slots: that the jets have, at most those of the model; one that fills them may have had more
    constituents.
    """

    slots: int

    def trained(self) -> dict:
        weights = model_weights(self.model).items()
        return {name: weight for name, weight in weights if name.startswith("gpt.")}

    def losses(self, batch: dict) -> dict:
        """Mean cross-entropy over the tokens of all constituents and one stop per jet."""
        tokens, mask = (ops.stop_gradient(array) for array in self.model.sentences(batch))
        was_cut = ops.sum(batch["mask"], axis=1) >= self.slots
        following, counted = targets(tokens, mask, was_cut, self.model.config.gpt)
        logits = self.model.gpt(tokens)
        entropy = ops.sparse_categorical_crossentropy(following, logits, from_logits=True)
        per_jet = ops.sum(entropy * counted, axis=1) / (batch["constituents_per_jet"] + 1)
        loss = losses.weighted_mean(per_jet, batch["weight"])
        return {"loss": loss, "next_token": loss}


@dataclass
class TokenTaggingObjective(OmniJetObjective):
    """The class of a jet, from the sum over its sentence; GPT and classifier are trained."""

    def trained(self) -> dict:
        weights = model_weights(self.model).items()
        return {
            name: weight
            for name, weight in weights
            if name.startswith(("gpt.", "head.")) and not name.startswith("gpt.next_token.")
        }

    def losses(self, batch: dict) -> dict:
        logits = self.model.classify(batch)
        return losses.classification_terms(batch["label"], logits, batch["weight"])
