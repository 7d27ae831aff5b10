"""The tokeniser: a VQ-VAE that makes whole numbers of constituents (pT, eta_rel, phi_rel).

J. Birk, A. Hallin, G. Kasieczka, arXiv:2403.05618, with the changes of arXiv:2412.10504: 8192
codes, 4 heads. A transformer sees the whole jet and gives every constituent a short vector; the
nearest vector of the codebook stands for it, and another transformer makes constituents of those.
The gradient passes the codebook straight through, into encoder and codebook alike (synchronised
commitment, arXiv:2305.08842). Padded slots are never felt.
"""

from dataclasses import dataclass

import keras
from keras import ops

from omnilearn.data.spec import FEATURES, TOKEN_FEATURES
from omnilearn.model.layers import NEVER, dense
from omnilearn.tokens.transformer import TransformerBlock, layer_norm

COLUMNS = tuple(FEATURES.index(name) for name in TOKEN_FEATURES)


@dataclass(frozen=True)
class TokeniserConfig:
    """The architecture, as stored in every checkpoint; the defaults are those of arXiv:2412.10504.

    feature_mean, feature_std: what constituents are standardised with, so that tokens of another
    standardisation are noticed.
    """

    dim: int = 128
    latent_dim: int = 4
    num_blocks: int = 4
    num_heads: int = 4
    num_codes: int = 8192
    max_constituents: int = 128
    feature_mean: tuple[float, ...] = ()
    feature_std: tuple[float, ...] = ()

    def __post_init__(self):  # JSON has lists
        object.__setattr__(self, "feature_mean", tuple(self.feature_mean))
        object.__setattr__(self, "feature_std", tuple(self.feature_std))


class Coder(keras.layers.Layer):
    """A transformer from vectors of one length to vectors of another, over the real slots alone."""

    def __init__(self, inputs: int, outputs: int, config: TokeniserConfig, **kwargs):
        super().__init__(**kwargs)
        dim = config.dim
        self.embedding, self.output_layer = dense(dim, "embedding"), dense(outputs, "output_layer")
        self.blocks = [
            TransformerBlock(dim, config.num_heads, normformer=True, name=f"block{i}")
            for i in range(config.num_blocks)
        ]
        self.norm = layer_norm(dim, "norm")
        self.embedding.build((None, None, inputs))
        self.output_layer.build((None, None, dim))
        self.built = True

    def call(self, x, real):
        """x (B, L, inputs), real (B, L) -> (B, L, outputs), zero in padded slots."""
        hidden_keys = ops.where(real > 0, 0.0, NEVER)[:, None, None, :]
        x = self.embedding(x * real[..., None])
        for block in self.blocks:
            x = block(x, bias=hidden_keys)
        return self.output_layer(self.norm(x)) * real[..., None]


class Codebook(keras.layers.Layer):
    """Vectors (K, latent) that stand for constituents, and how often each was used of late."""

    def __init__(self, config: TokeniserConfig, **kwargs):
        super().__init__(**kwargs)
        shape = (config.num_codes, config.latent_dim)
        self.codes = self.add_weight(shape=shape, initializer="random_normal", name="codes")
        self.usage = self.add_weight(
            shape=shape[:1], initializer="zeros", trainable=False, name="usage"
        )
        self.built = True

    def call(self, latent):
        """Whole numbers (B, L), the nearest vector of each latent (B, L, latent)."""
        product = ops.matmul(latent, ops.transpose(self.codes.value))  # (B, L, K)
        return ops.argmin(ops.sum(ops.square(self.codes.value), axis=-1) - 2 * product, axis=-1)

    def vectors(self, code):
        """code (B, L) -> (B, L, latent)."""
        return ops.take(self.codes.value, code, axis=0)


def straight_through(latent, vectors):
    """The codebook's vectors, whose gradient goes to the encoder's latents and to them alike."""
    return latent + vectors - ops.stop_gradient(latent)


class Tokeniser(keras.Model):
    """Arrays: features (B, L, 3) standardised in TOKEN_FEATURES, mask (B, L), code (B, L)."""

    def __init__(self, config: TokeniserConfig | None = None, name: str = "tokeniser"):
        super().__init__(name=name)
        self.config = config or TokeniserConfig()
        inputs, latent = len(TOKEN_FEATURES), self.config.latent_dim
        self.encoder = Coder(inputs, latent, self.config, name="encoder")
        self.codebook = Codebook(self.config, name="codebook")
        self.decoder = Coder(latent, inputs, self.config, name="decoder")
        self.built = True

    def encode(self, features, mask):
        """code (B, L), whole numbers below num_codes; what stands in padded slots means nothing."""
        return self.codebook(self.encoder(features, real=mask))

    def decode(self, code, mask):
        """Standardised features (B, L, 3) of codes, zero in padded slots."""
        return self.decoder(self.codebook.vectors(code), real=mask)

    def call(self, features, mask):
        """What training needs: reconstruction (B, L, 3), latent and its vectors (B, L, latent)."""
        latent = self.encoder(features, real=mask)
        vectors = self.codebook.vectors(self.codebook(latent))
        return self.decoder(straight_through(latent, vectors), real=mask), latent, vectors

    def parts(self) -> dict[str, keras.layers.Layer]:
        return {"encoder": self.encoder, "codebook": self.codebook, "decoder": self.decoder}


def token_features(constituents):
    """The columns of a batch (B, L, 13) that are tokenised, (B, L, 3)."""
    return ops.stack([constituents[..., column] for column in COLUMNS], axis=-1)
