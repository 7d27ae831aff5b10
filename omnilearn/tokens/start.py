"""What a training of token models begins with: a run, weights of the public code, a fresh GPT."""

from pathlib import Path

import keras

from omnilearn.config import Config, Start
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.spec import TOKEN_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.tokens.jet_gpt import OmniJet
from omnilearn.tokens.published_weights import SUFFIXES
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

LITTLE = 0.5  # of the variance of constituents


def start_of(start: Start, settings: TokeniserChoice) -> dict:
    """What finetune.py began with, for the description of the run."""
    return {"backbone": start.path, "tokeniser": settings.tokeniser or None}


def started_omnijet(
    spec: DatasetSpec, config: Config, start: Start, settings: TokenFinetuning, num_classes: int = 0
) -> OmniJet:
    """The model that finetune.py begins with: of a backbone, published, or fresh on a tokeniser.

    Raises UserError when there is none of these, or when GPT and tokeniser are of different origin.
    """
    if not start.path and not settings.tokeniser:
        raise UserError(
            "a token model needs --backbone RUN, --published-weights FILE, or --tokeniser RUN to "
            f"begin with a fresh GPT; make a run with: python train.py {spec.name} --model omnijet"
        )
    if not start.path:
        return fresh_omnijet(given_tokeniser(settings), config.preset, config.seed, num_classes)
    tokeniser = given_tokeniser(settings) if settings.tokeniser else None
    keras.utils.set_random_seed(config.seed)  # of a fresh classifier
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


def say_what_is_restored(
    tokeniser: Tokeniser, validation: Pipeline, settings: TokeniserChoice, published: str = ""
) -> None:
    """Say how much of these jets a tokeniser from elsewhere keeps; if little, what may be why."""
    name = validation.spec.name
    share = variance_restored(validation.files, validation.spec, tokeniser)
    source, hint = settings.tokeniser or published, ""
    if share < LITTLE:
        hint = ", which is little: it was made for other jets"
        if Path(source).suffix in SUFFIXES:
            hint += f", or does not have {settings.tokeniser_heads} heads (--tokeniser-heads)"
    features = ", ".join(TOKEN_FEATURES)
    log.info(
        f"{name}: the tokeniser keeps {share:.1%} of the variance of {features} in the first "
        f"validation jets{hint}"
    )
