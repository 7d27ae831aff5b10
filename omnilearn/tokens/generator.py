"""New jets of a token model, from Python."""

import awkward as ak
import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.generation.jet_records import sampled_records
from omnilearn.model.checkpoint import Checkpoint
from omnilearn.settings import from_arguments
from omnilearn.tokens.sampling import TokenSampler, TokenSettings
from omnilearn.tokens.token_models import token_spec
from omnilearn.typed import with_typed_arguments


class TokenGenerator:
    """A source of new jets: a tokeniser and a GPT over its tokens.

    It knows no classes: its jets are of the mixture that the GPT was trained on.
    """

    def __init__(self, name: str, checkpoint: Checkpoint, spec: DatasetSpec, batch: int = 256):
        """batch: jets made together."""
        self.name, spec = name, token_spec(spec, checkpoint.model_config.tokeniser)
        self._sampler = TokenSampler(checkpoint, spec, TokenSettings(), batch, seed=0)

    @with_typed_arguments
    def sample(
        self, number: int, *, seed: int = 0, temperature: float = 1.0, top_k: int = 0
    ) -> ak.Array:
        """`number` new jets: records of `jet` and of a list `constituents`.

        jet: pt, eta, mass [GeV] and multiplicity, those of the sum of the constituents.
        constituents: massless pt, eta, phi, energy [GeV, radians], hardest first, with the name
        Momentum4D of the package vector; `Tagger.probabilities` takes them. The same seed gives the
        same jets, and the first of them for a smaller number. temperature: logits are divided by
        it; top_k: sample among so many most likely tokens, 0 for all. Raises UserError for numbers
        out of range.

        >>> new = tokens.sample(3, seed=1)
        >>> bool(ak.all(ak.num(new.constituents) == new.jet.multiplicity))
        True
        """
        settings = from_arguments(TokenSettings, temperature=temperature, top_k=top_k)
        sampler = self._sampler
        sampler.seed = seed
        if settings != sampler.solver:
            sampler.solver = settings
            sampler.use(sampler.omnijet)  # its graphs hold the settings
        return sampled_records(
            number, seed, lambda index: sampler.jet_set(index, np.zeros(len(index), int))
        )
