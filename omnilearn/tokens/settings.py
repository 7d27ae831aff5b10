"""Flags of the three scripts for token models."""

from dataclasses import dataclass

from omnilearn.config import Config, Evaluation, Start, second_training
from omnilearn.generation.task import MOST_JETS
from omnilearn.settings import Settings, flags_of, option, without_effect
from omnilearn.tokens.published_weights import GPT_HEADS, TOKENISER_HEADS, has_published_suffix
from omnilearn.tokens.recipes import TOKENISER
from omnilearn.tokens.sampling import TokenSettings

# token models have one learning rate, one kind of padding and objectives of their own
OF_PET = (
    *("body_factor", "padding", "diffused_pt"),
    *("regression_weight", "feature_drop", "label_drop"),
)
RELEASED = "--released-weights are PET's; a token model starts from --backbone or "


@dataclass(frozen=True)
class TokeniserChoice(Settings):
    """The choice of the tokeniser."""

    tokeniser: str = option(
        "",
        "run or backbone whose tokeniser is used, or an npz or safetensors file of the public "
        "OmniJet-alpha; empty: that of the backbone, in train.py a new one",
    )
    tokeniser_heads: int = option(
        TOKENISER_HEADS,
        "heads of a tokeniser in such a file, which does not store them; arXiv:2403.05618 has 8",
        least=1,
    )

    @property
    def is_published(self) -> bool:
        """Whether the tokeniser is in a file of the public code."""
        return has_published_suffix(self.tokeniser)


@dataclass(frozen=True)
class TokenTraining(TokeniserChoice):
    """Flags of train.py, which trains a tokeniser, then a GPT."""

    tokeniser_training: dict = second_training("the tokeniser", prefix="tokeniser")
    tokeniser_only: bool = option(False, "train only the tokeniser, e.g. for GPTs from scratch")


@dataclass(frozen=True)
class TokenFinetuning(TokeniserChoice):
    """Flags of finetune.py, which trains the GPT; the tokeniser stays fixed."""

    gpt_heads: int = option(
        GPT_HEADS, "heads of a GPT in --published-weights, which does not store them", least=1
    )


@dataclass(frozen=True)
class TokenEvaluation(TokenSettings, Evaluation):
    """Flags of evaluate.py for token models."""

    jets: int = option(MOST_JETS, "jets, at most those of the split", least=1)
    rate: bool = option(False, "also measure jets/s of sampling")


def idle_flags(config: Config, start: Start, settings: TokeniserChoice) -> dict[str, str]:
    """Flags without effect on a training of token models, and the sentences that refuse them."""
    idle = without_effect("a token model", OF_PET)
    idle["released_weights"] = f"{RELEASED}--published-weights"
    if not settings.is_published and not start.published_weights:
        idle |= without_effect("a tokeniser whose run stores their number", ["tokeniser_heads"])
    if not start.published_weights:
        idle |= without_effect("a fresh GPT or one whose run stores their number", ["gpt_heads"])
    if isinstance(settings, TokenTraining):
        if settings.tokeniser:
            names = flags_of(TokenTraining, "tokeniser_training")
            idle |= without_effect("a tokeniser that is given", names)
            idle["tokeniser_only"] = "--tokeniser-only trains one; leave out --tokeniser"
        if settings.tokeniser_only:
            own = TOKENISER[config.preset]
            idle |= without_effect("a tokeniser, whose recipe has its own", own)
    return idle
