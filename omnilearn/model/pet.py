"""PET, the point-edge transformer: one body, a classifier head and a generator head.

arXiv:2502.14652, Section II. The forward pass equals that of the released model to float noise,
also with fewer slots than it pads to: the padded slots of a jet have equal vectors in every layer,
so one representative slot of weight P - L replaces the absent ones. Written in `keras.ops`, for
TensorFlow, JAX or PyTorch.
"""

from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import ops

from omnilearn.data.spec import DIFFUSED_PT, FEATURES, JET_FEATURES
from omnilearn.model.embedding import TimeEmbedding, scaled_and_shifted
from omnilearn.model.layers import (
    Attention,
    FeedForward,
    JetNormalization,
    LayerScale,
    LocalEncoding,
    Slots,
    dense,
    gelu,
)

PADDING_MEANINGS = ("released", "masked")


@dataclass(frozen=True)
class PETConfig:
    """The architecture, as stored in every checkpoint; the defaults are the released model."""

    kind: ClassVar = "pet"
    projection_dim: int = 128
    num_layers: int = 8
    num_heads: int = 4
    num_classes: int = 10
    num_features: int = len(FEATURES)
    num_jet: int = len(JET_FEATURES)
    max_constituents: int = 150
    padding: str = "released"  # enters as in the released model; or "masked": changes nothing
    neighbours: int = 10
    classifier_layers: int = 2
    generator_layers: int = 2
    layer_scale: float = 1e-5
    diffused_pt: str = DIFFUSED_PT[0]  # the pT of constituents that the generator diffuses

    def __post_init__(self):
        if self.padding not in PADDING_MEANINGS:
            raise ValueError(f"padding is {self.padding!r}; expected one of {PADDING_MEANINGS}")
        if self.diffused_pt not in DIFFUSED_PT:
            raise ValueError(f"diffused_pt is {self.diffused_pt!r}; expected one of {DIFFUSED_PT}")
        if self.projection_dim % self.num_heads:
            raise ValueError(
                f"projection_dim {self.projection_dim} is not a multiple of "
                f"num_heads {self.num_heads}"
            )
        if self.max_constituents <= self.neighbours:
            raise ValueError(
                f"max_constituents {self.max_constituents} leaves no {self.neighbours} neighbours"
            )

    @property
    def diffused(self) -> tuple[str, str, str]:
        """The features that the generator diffuses, in the order of FEATURES."""
        return ("eta_rel", "phi_rel", self.diffused_pt)


class Block(keras.layers.Layer):
    """Attention and feed-forward with normalisation before and layer scale after each."""

    def __init__(self, config: PETConfig, **kwargs):
        super().__init__(**kwargs)
        dim = config.projection_dim
        self.norm1 = JetNormalization(dim, name="norm1")
        self.norm2 = JetNormalization(dim, name="norm2")
        self.attention = Attention(dim, config.num_heads, name="attention")
        self.layer_scale1 = LayerScale(dim, config.layer_scale, name="layer_scale1")
        self.layer_scale2 = LayerScale(dim, config.layer_scale, name="layer_scale2")
        self.feed_forward = FeedForward(dim, dim, name="feed_forward")
        self.built = True

    def call(self, x, slots: Slots, context=None):
        """x (B, S, D) -> (B, S, D); attention is over x + context if a context is given."""
        normed = self.norm1(x if context is None else x + context, weight=slots.weight)
        update = self.attention(normed, bias=slots.attention_bias)
        x = self.layer_scale1(update) * slots.mask + x
        update = self.feed_forward(self.norm2(x, weight=slots.weight))
        return self.layer_scale2(update) * slots.mask + x


class Body(keras.layers.Layer):
    """The shared representation: embedding, diffusion time, local encoding, transformer blocks."""

    def __init__(self, config: PETConfig, **kwargs):
        super().__init__(**kwargs)
        dim, features = config.projection_dim, config.num_features
        self.embedding = FeedForward(features, dim, last_gelu=True, name="embedding")
        self.time = TimeEmbedding(dim, name="time")
        self.time_film = dense(dim, 2 * dim, "time_film", bias=False)
        self.local0 = LocalEncoding(features, dim, config.neighbours, name="local0")
        self.local1 = LocalEncoding(dim, dim, config.neighbours, name="local1")
        self.blocks = [Block(config, name=f"block{i}") for i in range(config.num_layers)]
        self.built = True

    def call(self, features, slots: Slots, time=None):
        """features (B, S, F), time (B, 1) or None for t = 0 -> (B, S, D)."""
        embedded = self.embedding(features)
        if time is not None:  # at t = 0 scale and shift vanish exactly
            film = gelu(self.time_film(self.time(time)))[:, None]  # (B, 1, 2D)
            embedded = scaled_and_shifted(embedded, film * slots.mask)
        local = self.local0(features[:, :, :2], features, slots=slots)
        local = self.local1(local, local, slots=slots)
        x = skip = embedded + local
        for block in self.blocks:
            x = block(x, slots=slots) * slots.mask
        return x + skip


class TokenBlock(keras.layers.Layer):
    """Class attention of the token to itself and the constituents (arXiv:2103.17239)."""

    def __init__(self, config: PETConfig, **kwargs):
        super().__init__(**kwargs)
        dim = config.projection_dim
        self.norm1 = JetNormalization(dim, name="norm1")
        self.norm2 = JetNormalization(dim, name="norm2")
        self.norm_updates = JetNormalization(dim, name="norm_updates")
        self.attention = Attention(dim, config.num_heads, name="attention")
        self.layer_scale1 = LayerScale(dim, config.layer_scale, name="layer_scale1")
        self.layer_scale2 = LayerScale(dim, config.layer_scale, name="layer_scale2")
        self.feed_forward = FeedForward(dim, dim, name="feed_forward")
        self.built = True

    def call(self, token, constituents, slots: Slots):
        """token (B, 1, D), constituents (B, S, D), slots of both -> token (B, 1, D)."""
        sequence = ops.concatenate([token, constituents], axis=1)
        normed = self.norm1(sequence, weight=slots.weight)
        update = self.attention.token(normed, bias=slots.attention_bias)
        x = self.layer_scale1(self.norm_updates(update)) + token
        return self.layer_scale2(self.feed_forward(self.norm2(x))) + x


class ClassifierHead(keras.layers.Layer):
    """Logits of the classes and the regressed jet kinematics, linear in one class token."""

    def __init__(self, config: PETConfig, **kwargs):
        super().__init__(**kwargs)
        dim = config.projection_dim
        self.jet_film = dense(config.num_jet, 2 * dim, "jet_film")
        self.token = self.add_weight(shape=(1, dim), initializer="zeros", name="token")
        layers = range(config.classifier_layers)
        self.layers = [TokenBlock(config, name=f"layer{i}") for i in layers]
        self.norm_final = JetNormalization(dim, name="norm_final")
        self.logits = dense(dim, config.num_classes, "logits")
        self.regression = dense(dim, config.num_jet, "regression")
        self.built = True

    def call(self, body, slots: Slots, jet):
        """body (B, S, D), jet (B, J) -> logits (B, C), regression (B, J)."""
        return self.pooled(self.conditioned(body, jet), slots)

    def conditioned(self, body, jet):
        """body (B, S, D) scaled and shifted as jet (B, J) determines -> (B, S, D)."""
        return scaled_and_shifted(body, gelu(self.jet_film(jet))[:, None])

    def pooled(self, constituents, slots: Slots):
        """constituents (B, S, D), of one jet or of several -> logits (B, C), regression (B, J)."""
        token = self.class_token(constituents, slots)
        return self.logits(token), self.regression(token)

    def class_token(self, constituents, slots: Slots):
        """constituents (B, S, D) -> (B, D), of which logits and regression are linear functions."""
        # not tile, of whose gradient oneDNN prints an error on CPUs
        shape = (ops.shape(constituents)[0], *self.token.shape)
        token = ops.broadcast_to(self.token[None], shape)
        slots = slots.with_token()
        for layer in self.layers:
            token = layer(token, constituents, slots=slots)
        return self.norm_final(token)[:, 0]


class GeneratorHead(keras.layers.Layer):
    """The velocity of every constituent, given time, jet kinematics and class."""

    def __init__(self, config: PETConfig, **kwargs):
        super().__init__(**kwargs)
        dim = config.projection_dim
        self.time = TimeEmbedding(dim, name="time")
        self.cond_jet = dense(config.num_jet, dim, "cond_jet")
        self.cond_token0 = dense(2 * dim, 2 * dim, "cond_token0")
        self.cond_token1 = dense(2 * dim, dim, "cond_token1")
        self.cond_label = dense(config.num_classes, dim, "cond_label", bias=False)
        self.layers = [Block(config, name=f"layer{i}") for i in range(config.generator_layers)]
        self.norm_final = JetNormalization(dim, name="norm_final")
        self.velocity = dense(dim, config.num_features, "velocity")
        self.built = True

    def call(self, body, slots: Slots, jet, time, label):
        """body (B, S, D), jet (B, J), time (B, 1), label (B, C) -> velocity (B, S, F)."""
        condition = ops.concatenate([self.time(time), gelu(self.cond_jet(jet))], axis=-1)
        condition = gelu(self.cond_token1(gelu(self.cond_token0(condition))))
        condition = condition + self.cond_label(label)
        x = condition[:, None] * slots.mask
        for layer in self.layers:
            x = layer(x, slots=slots, context=body)
        return self.velocity(self.norm_final(x + body, weight=slots.weight)) * slots.mask


class PET(keras.Model):
    """The model. Arrays: features (B, L, F), mask (B, L), jet (B, J), time (B, 1), label (B, C).

    L is `max_constituents` (P), or, with 11 <= L <= P - 11 and no jet longer than L, fewer slots
    with the same result. The content of padded slots is not read. Raises ValueError for another L.
    """

    def __init__(self, config: PETConfig, name: str = "pet"):
        super().__init__(name=name)
        self.config = config
        self.body = Body(self.config, name="body")
        self.classifier = ClassifierHead(self.config, name="classifier")
        self.generator = GeneratorHead(self.config, name="generator")
        self.built = True

    def slots(self, features, mask):
        """The inputs of the body: (features, Slots), with the representative slot if L < P.

        In a graph the number of slots may be open; then it is taken for an allowed L < P.
        """
        given, full = features.shape[1], self.config.max_constituents
        mask = ops.cast(mask, "float32")[:, :, None]
        features = ops.cast(features, "float32") * mask
        if self.config.padding == "masked":
            if given is not None and given <= self.config.neighbours:
                raise ValueError(f"{given} slots given; expected over {self.config.neighbours}")
            return features, Slots(mask, weight=mask[:, :, 0], masked=True)
        if given == full:
            return features, Slots(mask)
        least, most = self.config.neighbours + 1, full - self.config.neighbours - 1
        if given is not None and not least <= given <= most:
            raise ValueError(
                f"{given} slots given to a model padded to {full}: expected {full}, or {least} to "
                f"{most}, where the {full - given} others can be represented exactly"
            )
        absent = ops.cast(full - ops.shape(features)[1], "float32")
        ones = ops.ones_like(mask[:1, :, 0])
        weight = ops.concatenate([ones, ops.reshape(absent, (1, 1))], axis=1)
        features = ops.concatenate([features, ops.zeros_like(features[:, :1])], axis=1)
        mask = ops.concatenate([mask, ops.zeros_like(mask[:, :1])], axis=1)
        return features, Slots(mask, weight, own_neighbour=True)

    def encode(self, features, mask, time=None):
        """The body's output on the given slots, (B, L, D); time None means t = 0."""
        length = ops.shape(features)[1]
        features, slots = self.slots(features, mask)
        return self.body(features, slots=slots, time=as_column(time))[:, :length]

    def classify(self, features, mask, jet):
        """logits (B, C) and regression of the jet inputs (B, J)."""
        features, slots = self.slots(features, mask)
        return self.classifier(self.body(features, slots=slots), slots=slots, jet=jet)

    def embed(self, batch):
        """The class token (B, D) of a batch, after all layers of the classifier head."""
        features, slots = self.slots(batch["constituents"], batch["mask"])
        body = self.body(features, slots=slots)
        return self.classifier.class_token(self.classifier.conditioned(body, batch["jet"]), slots)

    def velocity(self, features, mask, jet, time, label):
        """Velocity of every slot and feature, (B, L, F); only the diffused features have one."""
        return self.classify_and_velocity(features, mask, jet, time, label)[2]

    def classify_and_velocity(self, features, mask, jet, time, label):
        """Both heads on one evaluation of the body: logits, regression, velocity."""
        length, time = ops.shape(features)[1], as_column(time)
        features, slots = self.slots(features, mask)
        body = self.body(features, slots=slots, time=time)
        velocity = self.generator(body, slots=slots, jet=jet, time=time, label=label)[:, :length]
        return (*self.classifier(body, slots=slots, jet=jet), velocity)

    def diffused(self, features):
        """The diffused ones (B, L, 3) of all features (B, L, F)."""
        pt = FEATURES.index(self.config.diffused_pt)
        return ops.concatenate([features[..., :2], features[..., pt : pt + 1]], axis=-1)

    def among_zeros(self, diffused):
        """All features (B, L, F): the diffused ones (B, L, 3), and zeros."""
        pt = FEATURES.index(self.config.diffused_pt)
        zeros = (pt - 2, self.config.num_features - pt - 1)  # before and after it
        momentum = ops.pad(diffused[..., 2:], ((0, 0), (0, 0), zeros))
        return ops.concatenate([diffused[..., :2], momentum], axis=-1)

    def call(self, batch):
        """Logits of a batch of the pipeline."""
        return self.classify(batch["constituents"], batch["mask"], batch["jet"])[0]

    def parts(self) -> dict[str, keras.layers.Layer]:
        return {"body": self.body, "classifier": self.classifier, "generator": self.generator}


def as_column(time):
    """time (B,) or (B, 1) or None -> (B, 1) or None."""
    return None if time is None else ops.reshape(ops.cast(time, "float32"), (-1, 1))
