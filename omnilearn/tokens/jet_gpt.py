"""The jet GPT and OmniJet, a tokeniser with a GPT: jets as sentences of up to 128 tokens.

arXiv:2403.05618. A sentence is start, the tokens of the constituents by falling pT, stop; the
model predicts each from those before it. Token 0 is start, token k + 1 is code k, the last token is
stop. There is no positional encoding: the position enters through the causal mask alone. The
classifier takes the sum over the sentence.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
from keras import ops

from omnilearn.model.layers import NEVER, dense
from omnilearn.tokens.tokeniser import Tokeniser, TokeniserConfig, token_inputs
from omnilearn.tokens.transformer import PostNormBlock, causal_bias, padding_bias

START = 0
# The sum is divided by this and the kernel of the classifier multiplied by it, compared with the
# public code: the logits are the same, and change less in a training step.
SUM_SCALE = 10.0


@dataclass(frozen=True)
class GPTConfig:
    """The architecture of the GPT; the defaults are those of arXiv:2403.05618."""

    dim: int = 256
    num_blocks: int = 3
    num_heads: int = 8
    num_codes: int = 8192
    max_constituents: int = 128

    @property
    def stop(self) -> int:
        return self.num_codes + 1

    @property
    def vocabulary(self) -> int:
        return self.num_codes + 2


@dataclass(frozen=True)
class OmniJetConfig:
    """The architecture of both, as stored in every checkpoint; num_classes 0: no classifier."""

    kind: ClassVar = "omnijet"
    tokeniser: TokeniserConfig
    gpt: GPTConfig
    num_classes: int = 0

    def __post_init__(self):  # JSON stores dataclasses as dictionaries
        for name, kind in (("tokeniser", TokeniserConfig), ("gpt", GPTConfig)):
            stored = getattr(self, name)
            object.__setattr__(self, name, stored if isinstance(stored, kind) else kind(**stored))
        if self.tokeniser.num_codes != self.gpt.num_codes:
            raise ValueError(
                f"a tokeniser of {self.tokeniser.num_codes} codes and a GPT of {self.gpt.num_codes}"
            )

    @property
    def max_constituents(self) -> int:
        return self.gpt.max_constituents


class GPT(keras.layers.Layer):
    """Tokens (B, S) -> logits (B, S, V) of the next token at every position, V = num_codes + 2."""

    def __init__(self, config: GPTConfig, **kwargs):
        super().__init__(**kwargs)
        self.config, dim = config, config.dim
        self.token = self.add_weight(
            shape=(config.vocabulary, dim), initializer="random_normal", name="token"
        )
        self.blocks = [
            PostNormBlock(dim, config.num_heads, name=f"block{i}") for i in range(config.num_blocks)
        ]
        self.next_token = dense(dim, config.vocabulary, "next_token")
        self.built = True

    def hidden(self, tokens, real=None):
        """Tokens (B, S), the first of them start -> (B, S, D), independent of later tokens.

        real (B, S) masks padded positions, which come last: it changes those alone.
        """
        bias = causal_bias(ops.shape(tokens)[1])
        if real is not None:
            bias = ops.minimum(bias, padding_bias(real))
        x = ops.take(self.token.value, tokens, axis=0)
        for block in self.blocks:
            x = block(x, bias=bias)
        return x

    def call(self, tokens, real=None):
        return self.next_token(self.hidden(tokens, real))

    def step(self, token, position, earlier, recent):
        """Logits (B, V) after one more token (B,), and `recent` with its keys and values.

        For each block, keys and values (B, H, positions, D/H): `earlier` of T positions before,
        which are only read, empty for none; `recent` of R further ones, of which the token is the
        `position`-th ().
        """
        positions = ops.arange(ops.shape(recent[0][0])[2], dtype="int32")
        is_current = ops.equal(positions, position)[None, None, :, None]
        bias = ops.where(positions <= position, 0.0, NEVER)[None, None, None, :]
        if earlier:
            bias = ops.pad(bias, ((0, 0), (0, 0), (0, 0), (earlier[0][0].shape[2], 0)))
        x = ops.take(self.token.value, token[:, None], axis=0)
        updated = []
        for index, block in enumerate(self.blocks):
            before = earlier[index] if earlier else None
            x, of_block = block.step(x, before, recent[index], is_current, bias)
            updated.append(of_block)
        return self.next_token(x)[:, 0], updated

    def empty_cache(self, jets: int, positions: int) -> list:
        """A cache for so many jets and positions: keys and values (B, H, T, D/H) of each block."""
        config = self.config
        shape = (jets, config.num_heads, positions, config.dim // config.num_heads)
        return [(ops.zeros(shape), ops.zeros(shape)) for _ in self.blocks]


class SummationHead(keras.layers.Layer):
    """Logits of classes from the sum over the sentence; zero before training."""

    def __init__(self, config: OmniJetConfig, **kwargs):
        super().__init__(**kwargs)
        self.logits = dense(config.gpt.dim, config.num_classes, "logits")
        self.logits.kernel.assign(ops.zeros_like(self.logits.kernel))
        self.built = True

    def call(self, total):
        """Sum over the sentence (B, D) -> (B, C)."""
        return self.logits(total)


def summed(hidden, real):
    """hidden (B, S, D), real (B, S) -> sum over the real positions (B, D), scaled."""
    return ops.sum(hidden * real[..., None], axis=1) / SUM_SCALE


class OmniJet(keras.Model):
    """A trained tokeniser, which stays fixed, with a GPT and, if it has classes, a classifier.

    Batches of the pipeline: constituents (B, L, 13), mask (B, L).
    """

    def __init__(self, config: OmniJetConfig, name: str = "omnijet"):
        super().__init__(name=name)
        self.config = config
        self.tokeniser = Tokeniser(config.tokeniser)
        self.gpt = GPT(config.gpt, name="gpt")
        self.head: Any = SummationHead(config, name="head") if config.num_classes else None
        self.built = True

    def sentences(self, batch):
        """Tokens (B, L + 1) of a batch and the mask (B, L) of their constituents.

        Start, then a token for each constituent within reach of the tokeniser, then zeros.
        """
        features, mask = token_inputs(batch, self.config.tokeniser)
        code = self.tokeniser.encode(features, mask)
        token = ops.where(mask > 0, ops.cast(code, "int32") + 1, START)
        return ops.pad(token, ((0, 0), (1, 0)), constant_values=START), mask

    def embed(self, batch):
        """The sum over the sentence (B, D), scaled, of which the logits are a linear function."""
        tokens, mask = self.sentences(batch)
        real = ops.pad(mask, ((0, 0), (1, 0)), constant_values=1.0)
        return summed(self.gpt.hidden(tokens), real)

    def classify(self, batch):
        """Logits of classes (B, C)."""
        return self.head(self.embed(batch))

    def call(self, batch):
        """Logits of the classes if there is a classifier, else of the next token."""
        return self.classify(batch) if self.head else self.gpt(self.sentences(batch)[0])

    def parts(self) -> dict[str, keras.layers.Layer]:
        parts = {"tokeniser": self.tokeniser, "gpt": self.gpt}
        return parts | ({"head": self.head} if self.head else {})


def targets(tokens, mask, was_cut, config: GPTConfig):
    """The next token at each position of sentences (B, S) with mask (B, L), and weights (B, S).

    was_cut (B,): jets that may have had more constituents; their stop token has weight zero.
    """
    multiplicity = ops.cast(ops.sum(mask, axis=1), "int32")[:, None]  # (B, 1)
    following = ops.pad(tokens[:, 1:], ((0, 0), (0, 1)))
    position = ops.arange(ops.shape(tokens)[1], dtype="int32")[None]
    stops = ops.equal(position, multiplicity)
    counted = ops.logical_and(
        position <= multiplicity, ops.logical_not(ops.logical_and(stops, was_cut[:, None]))
    )
    return ops.where(stops, config.stop, following), ops.cast(counted, "float32")
