"""The tokeniser: a VQ-VAE that turns constituents (pT, eta_rel, phi_rel) into integers.

J. Birk, A. Hallin, G. Kasieczka, arXiv:2403.05618, with the changes of arXiv:2412.10504: 8192
codes, 4 heads. A transformer encodes every constituent of a jet as a short vector; the code is the
nearest vector of the codebook, and another transformer decodes constituents from these vectors. The
gradient passes straight through the codebook, to encoder and codebook alike (synchronised
commitment, arXiv:2305.08842). Padded slots have no effect.
"""

from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import ops

from omnilearn.data.spec import FEATURES, TOKEN_FEATURES
from omnilearn.model.layers import dense, take
from omnilearn.tokens.transformer import NormFormerBlock

COLUMNS = tuple(FEATURES.index(name) for name in TOKEN_FEATURES)
# scaling of log pT (GeV), eta_rel, phi_rel and the largest |eta_rel|, |phi_rel|, as published
PUBLISHED_MEAN, PUBLISHED_STD, PUBLISHED_REACH = (1.8, 0.0, 0.0), (1.0, 1 / 3, 1 / 3), 0.8


@dataclass(frozen=True)
class TokeniserConfig:
    """The architecture, as stored in every checkpoint; the defaults are those of arXiv:2412.10504.

    feature_mean, feature_std: scaling of TOKEN_FEATURES, z = (x - mean) / std. Only constituents
    with |eta_rel| and |phi_rel| below `reach` are tokenised. dropout: probability in training.
    """

    kind: ClassVar = "tokeniser"
    dim: int = 128
    latent_dim: int = 4
    num_blocks: int = 4
    num_heads: int = 4
    num_codes: int = 8192
    max_constituents: int = 128
    feature_mean: tuple[float, ...] = PUBLISHED_MEAN
    feature_std: tuple[float, ...] = PUBLISHED_STD
    reach: float = PUBLISHED_REACH
    dropout: float = 0.1

    def __post_init__(self):  # JSON stores tuples as lists
        object.__setattr__(self, "feature_mean", tuple(self.feature_mean))
        object.__setattr__(self, "feature_std", tuple(self.feature_std))


class Coder(keras.layers.Layer):
    """A transformer over the real slots, from vectors of one length to vectors of another."""

    def __init__(self, inputs: int, outputs: int, config: TokeniserConfig, **kwargs):
        super().__init__(**kwargs)
        dim = config.dim
        self.embedding = dense(inputs, dim, "embedding")
        self.blocks = [
            NormFormerBlock(dim, config.num_heads, name=f"block{i}")
            for i in range(config.num_blocks)
        ]
        self.output_layer = dense(dim, outputs, "output_layer")
        self.built = True

    def call(self, x, real, drop=None):
        """x (B, L, inputs), real (B, L) -> (B, L, outputs), zero in padded slots."""
        x = self.embedding(x)
        for block in self.blocks:
            x = block(x, real=real, drop=drop)
        return self.output_layer(x * real[..., None]) * real[..., None]


class Codebook(keras.layers.Layer):
    """Vectors (K, latent) of the codes, and the steps in which each was used of late."""

    def __init__(self, config: TokeniserConfig, **kwargs):
        super().__init__(**kwargs)
        shape = (config.num_codes, config.latent_dim)
        self.codes = self.add_weight(shape=shape, initializer="random_normal", name="codes")
        self.usage = self.add_weight(
            shape=shape[:1], initializer="zeros", trainable=False, name="usage"
        )
        self.built = True

    def call(self, latent):
        """Codes (B, L): index of the vector nearest to each latent (B, L, latent)."""
        product = ops.matmul(latent, ops.transpose(self.codes.value))  # (B, L, K)
        return ops.argmin(ops.sum(ops.square(self.codes.value), axis=-1) - 2 * product, axis=-1)

    def vectors(self, code):
        """code (B, L) -> (B, L, latent)."""
        return ops.take(self.codes.value, code, axis=0)


def straight_through(latent, vectors):
    """The vectors of the codebook, with their gradient passed to the latents too."""
    return latent + vectors - ops.stop_gradient(latent)


class Tokeniser(keras.Model):
    """Arrays: features (B, L, 3) scaled in TOKEN_FEATURES, mask (B, L), code (B, L)."""

    def __init__(self, config: TokeniserConfig, name: str = "tokeniser"):
        super().__init__(name=name)
        self.config = config
        inputs, latent = len(TOKEN_FEATURES), config.latent_dim
        self.encoder = Coder(inputs, latent, config, name="encoder")
        self.codebook = Codebook(config, name="codebook")
        self.decoder = Coder(latent, inputs, config, name="decoder")
        self.built = True

    def encode(self, features, mask):
        """Codes (B, L), integers below num_codes; those of padded slots are arbitrary."""
        return self.codebook(self.encoder(features, real=mask))

    def decode(self, code, mask):
        """Scaled features (B, L, 3) of codes, zero in padded slots."""
        return self.decoder(self.codebook.vectors(code), real=mask)

    def call(self, features, mask, drop=None):
        """Reconstruction (B, L, 3), latent and its vectors (B, L, latent), for the training.

        drop: a `Dropout`, in training.
        """
        latent = self.encoder(features, real=mask, drop=drop)
        vectors = self.codebook.vectors(self.codebook(latent))
        restored = self.decoder(straight_through(latent, vectors), real=mask, drop=drop)
        return restored, latent, vectors

    def parts(self) -> dict[str, keras.layers.Layer]:
        return {"encoder": self.encoder, "codebook": self.codebook, "decoder": self.decoder}


def token_inputs(batch, config: TokeniserConfig):
    """Tokenised features (B, L, 3) of a batch and their mask (B, L), both zero in empty slots.

    Constituents beyond the tokeniser's reach are left out and later ones move up.
    """
    mask = ops.cast(batch["mask"], "float32")
    features = ops.stack([batch["constituents"][..., column] for column in COLUMNS], axis=-1)
    for axis in (1, 2):  # eta_rel, phi_rel
        angle = features[..., axis] * config.feature_std[axis] + config.feature_mean[axis]
        mask = mask * ops.cast(ops.abs(angle) < config.reach, "float32")
    slots = ops.shape(mask)[1]
    rank = ops.arange(slots, dtype="int32")[None] + slots * ops.cast(mask < 1, "int32")
    order = ops.argsort(rank, axis=1)[..., None]
    mask = mask[..., None]
    inputs = take(ops.concatenate([features * mask, mask], axis=-1), order)[:, :, 0]
    return inputs[..., :-1], inputs[..., -1]
