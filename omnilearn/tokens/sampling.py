"""New jets from a jet GPT: tokens one by one with a cache, then decoded to constituents.

arXiv:2403.05618. Jet i has a random stream of its own, one number per token, so a set depends
neither on ranks nor on batches, except for rounding. The cache holds keys and values of earlier
tokens, so that each token needs one pass over one position; those of the last few are copied for
each token, the others once in CACHE_POSITIONS tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from keras import ops

from omnilearn.data.pipeline import Standardisation
from omnilearn.data.spec import TOKEN_FEATURES, DatasetSpec
from omnilearn.data.streams import JetStreams
from omnilearn.generation.jet_sets import JetSet, jets_of_constituents
from omnilearn.model.checkpoint import Checkpoint
from omnilearn.model.layers import NEVER
from omnilearn.settings import Settings, option
from omnilearn.tokens.jet_gpt import START, GPTConfig, OmniJet
from omnilearn.tokens.token_models import built_omnijet
from omnilearn.training.gradients import compiled, compiled_for_batches
from omnilearn.training.random_streams import Stream
from omnilearn.training.resume import position_of

CACHE_POSITIONS = 32  # copied for each token; the cache grows by as many, each size is compiled


@dataclass(frozen=True)
class TokenSettings(Settings):
    """Sampling of the next token: temperature and number of the most likely tokens."""

    temperature: float = option(1.0, "logits are divided by it", least=1e-6)
    top_k: int = option(0, "sample among so many most likely tokens; 0: all", least=0)


def sampled_token(logits, uniform, position, config: GPTConfig, settings: TokenSettings):
    """The next token (B,) from logits (B, V) and uniform numbers (B,), at `position` ().

    It is never start, and not stop before the first constituent.
    """
    token = ops.arange(config.vocabulary)
    forbidden = ops.logical_or(
        ops.equal(token, START), ops.logical_and(ops.equal(token, config.stop), position < 1)
    )
    logits = ops.where(forbidden[None], NEVER, logits / settings.temperature)
    if 0 < settings.top_k < config.vocabulary:
        least = ops.top_k(logits, settings.top_k)[0][:, -1:]
        logits = ops.where(logits < least, NEVER, logits)
    cumulative = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)
    passed = cumulative <= uniform[:, None] * cumulative[:, -1:]
    return ops.minimum(ops.sum(ops.cast(passed, "int32"), axis=-1), config.stop)


def longer(earlier: list, recent: list) -> list:
    """Keys and values of each block, those of `recent` behind the earlier ones."""
    if not earlier:
        return recent
    return [
        tuple(ops.concatenate(pair, axis=2) for pair in zip(before, after, strict=True))
        for before, after in zip(earlier, recent, strict=True)
    ]


def padded_batches(jets: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of each batch, and the same rows repeated to the full size of a batch."""
    for start in range(0, jets, size):
        rows = np.arange(start, min(start + size, jets))
        yield rows, np.resize(rows, size)


class TokenSampler:
    """Samples jets from the tokeniser and the GPT of a checkpoint."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        spec: DatasetSpec,
        settings: TokenSettings,
        batch_size: int,
        seed: int,
    ):
        self.spec, self.solver, self.seed = spec, settings, seed
        self.batch_size = batch_size
        self._checkpoint = checkpoint
        self.use(built_omnijet(checkpoint))

    @property
    def epochs(self) -> list[int]:
        """Epochs that the GPT was trained; raises UserError for weights without a training."""
        return [position_of(self._checkpoint).epoch]

    def use(self, omnijet: OmniJet) -> None:
        """Set the model to sample from."""
        self.omnijet, config = omnijet, omnijet.config.gpt
        self.slots = min(config.max_constituents, self.spec.max_constituents)

        def next_token(token, slot, uniform, earlier, recent):
            logits, recent = omnijet.gpt.step(token, slot % CACHE_POSITIONS, earlier, recent)
            return sampled_token(logits, uniform, slot, config, self.solver), recent

        self._next = compiled(next_token)
        self._decoded = compiled_for_batches(
            lambda batch: omnijet.tokeniser.decode(batch["code"], batch["mask"]), self.slots
        )

    def sentences(self, index: np.ndarray) -> np.ndarray:
        """Tokens (n, P) of jets `index`, without start, zero from stop on."""
        tokens = np.zeros((len(index), self.slots), "int32")
        for rows, padded in padded_batches(len(index), self.batch_size):
            tokens[rows] = self.batch_of_sentences(index[padded])[: len(rows)]
        return tokens

    def batch_of_sentences(self, index: np.ndarray) -> np.ndarray:
        """Tokens (B, P) of one batch, sampled until all its jets have stopped."""
        config, jets = self.omnijet.config.gpt, len(index)
        streams = JetStreams((self.seed, Stream.TOKENS), index)
        uniform = streams.random((jets, self.slots), "float32")
        tokens = np.zeros((jets, self.slots), "int32")
        token, running = np.full(jets, START, "int32"), np.ones(jets, bool)
        empty = self.omnijet.gpt.empty_cache(jets, CACHE_POSITIONS)
        earlier: list = []
        recent = empty
        for slot in range(self.slots):
            if slot and slot % CACHE_POSITIONS == 0:
                earlier, recent = longer(earlier, recent), empty
            number = np.array(slot, "int32")
            token, recent = self._next(token, number, uniform[:, slot], earlier, recent)
            sampled = np.asarray(token)
            running &= sampled != config.stop
            tokens[running, slot] = sampled[running]
            if not running.any():
                break
        return tokens

    def decoded(self, tokens: np.ndarray, label: np.ndarray) -> JetSet:
        """Jets of sentences (n, P), as `sentences` gives them, of classes `label` (n,)."""
        features = np.zeros((*tokens.shape, len(TOKEN_FEATURES)), "float32")
        mask = (tokens > 0).astype("float32")
        for rows, padded in padded_batches(len(tokens), self.batch_size):
            batch = {"code": np.maximum(tokens[padded] - 1, 0), "mask": mask[padded]}
            features[rows] = np.asarray(self._decoded(batch))[: len(rows)]
        original = Standardisation(self.spec).original_constituents(features, mask, TOKEN_FEATURES)
        return jets_of_constituents(original, mask > 0, label)

    def jet_set(self, index: np.ndarray, label: np.ndarray, jet: None = None) -> JetSet:
        """Jets `index` (n,) with these labels (n,); the model samples the kinematics too."""
        return self.decoded(self.sentences(index), label)
