"""Initial token models: of a run, of weights of the public code, or a fresh GPT."""

import keras

from omnilearn.config import Config, Start
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.spec import TOKEN_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.tokens.jet_gpt import OmniJet
from omnilearn.tokens.published_weights import has_published_suffix
from omnilearn.tokens.settings import TokenFinetuning, TokeniserChoice
from omnilearn.tokens.token_models import (
    fresh_omnijet,
    load_omnijet,
    load_tokeniser,
    published_omnijet,
    published_tokeniser,
    require_tokeniser,
)
from omnilearn.tokens.tokeniser import Tokeniser
from omnilearn.tokens.tokeniser_quality import variance_restored

LEAST_VARIANCE = 0.5  # restored share, below which a hint is logged


def start_description(start: Start, settings: TokeniserChoice) -> dict:
    """Backbone and tokeniser of finetune.py, for the description of the run."""
    return {"backbone": start.path, "tokeniser": settings.tokeniser or None}


def initial_omnijet(
    spec: DatasetSpec, config: Config, start: Start, settings: TokenFinetuning, num_classes: int = 0
) -> OmniJet:
    """The initial model of finetune.py: of a backbone, published, or a fresh GPT on a tokeniser.

    Raises UserError when none is given, or when the GPT was trained with another tokeniser.
    """
    if not start.path and not settings.tokeniser:
        raise UserError(
            "a token model needs --backbone RUN, --published-weights FILE, or --tokeniser RUN to "
            f"begin with a fresh GPT; make a run with: python train.py {spec.name} --model omnijet"
        )
    if not start.path:
        return fresh_omnijet(given_tokeniser(settings), config.preset, config.seed, num_classes)
    tokeniser = given_tokeniser(settings) if settings.tokeniser else None
    keras.utils.set_random_seed(config.seed)  # for a fresh classifier
    if start.backbone:
        omnijet, report = load_omnijet(start.backbone, num_classes)
    else:
        heads = settings.gpt_heads, settings.tokeniser_heads
        omnijet, report = published_omnijet(start.path, tokeniser, num_classes, *heads)
    if tokeniser is not None:
        require_tokeniser(omnijet, tokeniser, start.path, settings.tokeniser)
    log.info(report)
    return omnijet


def given_tokeniser(settings: TokeniserChoice) -> Tokeniser:
    """The tokeniser of --tokeniser: of a run, a checkpoint, or published weights."""
    if settings.is_published:
        return published_tokeniser(settings.tokeniser, settings.tokeniser_heads)
    return load_tokeniser(settings.tokeniser)


def log_restored_variance(
    tokeniser: Tokeniser, validation: Pipeline, settings: TokeniserChoice, published: str = ""
) -> None:
    """Log the share of the variance of these jets that a given tokeniser restores, with hints."""
    name = validation.spec.name
    share = variance_restored(validation.files, validation.spec, tokeniser)
    source, hint = settings.tokeniser or published, ""
    if share < LEAST_VARIANCE:
        hint = ", which is little: it was trained on other jets"
        if has_published_suffix(source):
            hint += f", or does not have {settings.tokeniser_heads} heads (--tokeniser-heads)"
    features = ", ".join(TOKEN_FEATURES)
    log.info(
        f"{name}: the tokeniser keeps {share:.1%} of the variance of {features} in the first "
        f"validation jets{hint}"
    )
