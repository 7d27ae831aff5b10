"""What a training of token models begins with: a run, weights of the public code, a fresh GPT."""

import argparse
from pathlib import Path

import keras

from omnilearn.config import Config
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.spec import TOKEN_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.log import log
from omnilearn.tokens.jet_gpt import OmniJet
from omnilearn.tokens.published_weights import SUFFIXES
from omnilearn.tokens.token_models import (
    fresh_omnijet,
    insist_on_tokeniser,
    load_omnijet,
    load_tokeniser,
    published_omnijet,
    published_tokeniser,
)
from omnilearn.tokens.tokeniser import Tokeniser
from omnilearn.tokens.tokeniser_quality import variance_restored

LITTLE = 0.5  # of the variance of constituents


def start_of(arguments: argparse.Namespace) -> dict:
    """What finetune.py began with, for the description of the run."""
    start = arguments.backbone or arguments.published_weights
    return {"backbone": start or None, "tokeniser": arguments.tokeniser or None}


def started_omnijet(
    spec: DatasetSpec, config: Config, arguments: argparse.Namespace, num_classes: int = 0
) -> OmniJet:
    """The model that finetune.py begins with: of a backbone, published, or fresh on a tokeniser.

    Raises UserError when there is none of these, or when GPT and tokeniser are of different origin.
    """
    if arguments.released_weights:
        raise UserError(
            "--released-weights are PET's; a token model starts from --backbone or "
            "--published-weights"
        )
    start = arguments.backbone or arguments.published_weights
    if not start and not arguments.tokeniser:
        raise UserError(
            "a token model needs --backbone RUN, --published-weights FILE, or --tokeniser RUN to "
            f"begin with a fresh GPT; make a run with: python train.py {spec.name} --model omnijet"
        )
    if not start:
        return fresh_omnijet(given_tokeniser(arguments), config.preset, config.seed, num_classes)
    tokeniser = given_tokeniser(arguments) if arguments.tokeniser else None
    keras.utils.set_random_seed(config.seed)  # of a fresh classifier
    if arguments.backbone:
        omnijet, report = load_omnijet(start, num_classes)
    else:
        heads = arguments.gpt_heads, arguments.tokeniser_heads
        omnijet, report = published_omnijet(start, tokeniser, num_classes, *heads)
    if tokeniser is not None:
        insist_on_tokeniser(omnijet, tokeniser, start, arguments.tokeniser)
    log.info(report)
    return omnijet


def given_tokeniser(arguments: argparse.Namespace) -> Tokeniser:
    """The tokeniser of --tokeniser: of a run, a checkpoint, or published weights."""
    if Path(arguments.tokeniser).suffix in SUFFIXES:
        return published_tokeniser(arguments.tokeniser, arguments.tokeniser_heads)
    return load_tokeniser(arguments.tokeniser)


def say_what_is_restored(
    tokeniser: Tokeniser, validation: Pipeline, arguments: argparse.Namespace
) -> None:
    """Say how much of these jets a tokeniser from elsewhere keeps; if little, what may be why."""
    name = validation.spec.name
    share = variance_restored(validation.files, validation.spec, tokeniser)
    source, hint = arguments.tokeniser or getattr(arguments, "published_weights", ""), ""
    if share < LITTLE:
        hint = ", which is little: it was made for other jets"
        if Path(source).suffix in SUFFIXES:
            hint += f", or does not have {arguments.tokeniser_heads} heads (--tokeniser-heads)"
    features = ", ".join(TOKEN_FEATURES)
    log.info(
        f"{name}: the tokeniser keeps {share:.1%} of the variance of {features} in the first "
        f"validation jets{hint}"
    )
