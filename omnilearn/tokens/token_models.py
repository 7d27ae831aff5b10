"""Tokenisers and jet GPTs: fresh, from runs, from public weights, and checks that they match."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnilearn.backbones import checkpoint_file, names
from omnilearn.data.spec import TOKEN_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.fit import fresh
from omnilearn.model.checkpoint import (
    Checkpoint,
    LoadReport,
    assign_weights,
    load_checkpoint,
    named_weights,
)
from omnilearn.tokens.jet_gpt import GPTConfig, OmniJet, OmniJetConfig
from omnilearn.tokens.published_weights import (
    load_published_weights,
    published_gpt_config,
    published_parts,
    published_tokeniser_config,
    read_arrays,
)
from omnilearn.tokens.recipes import TOKEN_ARCHITECTURES
from omnilearn.tokens.tokeniser import (
    COLUMNS,
    PUBLISHED_MEAN,
    PUBLISHED_REACH,
    PUBLISHED_STD,
    Tokeniser,
    TokeniserConfig,
)

TOKENISER_FOLDER = "tokeniser"  # of a run of train.py --model omnijet


def token_spec(spec: DatasetSpec, config: TokeniserConfig) -> DatasetSpec:
    """The dataset as a token model takes it: the hardest constituents, with its scaling."""
    normalisation = spec.normalisation
    constants = {}
    for name in ("feature_mean", "feature_std"):
        values = list(getattr(normalisation, name))
        for column, value in zip(COLUMNS, getattr(config, name), strict=True):
            values[column] = value
        constants[name] = tuple(values)
    return replace(
        spec,
        max_constituents=min(spec.max_constituents, config.max_constituents),
        normalisation=replace(normalisation, **constants),
    )


def fresh_tokeniser(spec: DatasetSpec, preset: str, seed: int) -> Tokeniser:
    """An untrained tokeniser with the published scaling and a reach of at least the jet radius."""
    sizes = TOKEN_ARCHITECTURES[preset]["tokeniser"]
    reach = max(PUBLISHED_REACH, spec.jet_radius)
    return fresh(Tokeniser, TokeniserConfig(**sizes, reach=reach), seed)


def fresh_omnijet(tokeniser: Tokeniser, preset: str, seed: int, num_classes: int = 0) -> OmniJet:
    """An untrained GPT on a trained tokeniser, with a classifier of `num_classes` if not 0."""
    sizes = TOKEN_ARCHITECTURES[preset]["gpt"]
    config = tokeniser.config
    gpt = GPTConfig(**sizes, num_codes=config.num_codes, max_constituents=config.max_constituents)
    omnijet = fresh(OmniJet, OmniJetConfig(config, gpt, num_classes), seed)
    copy_weights(tokeniser, omnijet.tokeniser)
    return omnijet


def copy_weights(source: Tokeniser, target: Tokeniser) -> None:
    """Set the weights of the target to those of the source, of the same architecture."""
    values = named_weights(source)
    for name, weight in named_weights(target).items():
        weight.assign(values[name])


def load_tokeniser(path: str) -> Tokeniser:
    """The tokeniser of a run, of a checkpoint file, or of a backbone that comes with the code.

    Each may hold it alone or with its GPT. Raises UserError for one of an earlier version of the
    suite.
    """
    file = checkpoint_file(path) if path in names() else Path(path)
    if os.path.isdir(file):
        alone = file / TOKENISER_FOLDER / "best.h5"
        file = alone if alone.is_file() else file / "best.h5"
    checkpoint = load_checkpoint(file, TokeniserConfig, OmniJetConfig)
    if isinstance(checkpoint.model_config, OmniJetConfig):
        return built_omnijet(checkpoint).tokeniser
    require_published_scaling(checkpoint.model_config, str(file))
    tokeniser = Tokeniser(checkpoint.model_config)
    assign_weights(tokeniser, checkpoint.weights, str(file))
    return tokeniser


def load_omnijet(path: str, num_classes: int = 0) -> tuple[OmniJet, LoadReport]:
    """Tokeniser and GPT of a run or backbone, with a fresh classifier if `num_classes` is not 0."""
    checkpoint = load_checkpoint(checkpoint_file(path), OmniJetConfig)
    require_published_scaling(checkpoint.model_config.tokeniser, str(checkpoint.path))
    omnijet = OmniJet(replace(checkpoint.model_config, num_classes=num_classes))
    arrays = {name: value for name, value in checkpoint.weights.items() if name[:5] != "head."}
    head = named_weights(omnijet.head, "head.") if num_classes else {}
    fresh = {name: np.array(weight) for name, weight in head.items()}
    report = assign_weights(omnijet, {**arrays, **fresh}, str(checkpoint.path))
    report.loaded, report.fresh = list(arrays), list(fresh)
    return omnijet, report


def published_tokeniser(path: str, heads: int) -> Tokeniser:
    """The tokeniser in a file of the public OmniJet-alpha; raises UserError where there is none."""
    parts = published_parts(read_arrays(path), path)
    if "tokeniser" not in parts:
        raise UserError(f"{path} holds no tokeniser, but {' and '.join(parts)}")
    tokeniser = Tokeniser(published_tokeniser_config(parts["tokeniser"], path, heads))
    load_published_weights(tokeniser, parts["tokeniser"], path)
    return tokeniser


def published_omnijet(
    path: str, given: Tokeniser | None, num_classes: int, gpt_heads: int, tokeniser_heads: int
) -> tuple[OmniJet, LoadReport]:
    """The GPT in a file of the public OmniJet-alpha, with the tokeniser in the file or `given`.

    A classifier in the file is not used, because its classes have no names. Raises UserError where
    the GPT or the tokeniser is missing, or they differ in the number of codes.
    """
    parts = published_parts(read_arrays(path), path)
    if "gpt" not in parts:
        mend = f"; begin with a fresh GPT: --tokeniser {path}" if "tokeniser" in parts else ""
        raise UserError(f"{path} holds no GPT, but {' and '.join(parts)}{mend}")
    gpt = published_gpt_config(parts["gpt"], path, gpt_heads)
    if "tokeniser" in parts:
        config = published_tokeniser_config(parts["tokeniser"], path, tokeniser_heads)
    elif given is not None:
        config = given.config
    else:
        raise UserError(
            f"{path} holds a GPT without its tokeniser, which its tokens need; name "
            "the file or run of the tokeniser with --tokeniser"
        )
    if config.num_codes != gpt.num_codes:
        raise UserError(
            f"{path}: its GPT has {gpt.num_codes} codes (and start and stop), the tokeniser has "
            f"{config.num_codes}; name the one that it was trained with by --tokeniser"
        )
    gpt = replace(gpt, max_constituents=config.max_constituents)
    omnijet = OmniJet(OmniJetConfig(config, gpt, num_classes))
    report = load_published_weights(omnijet.gpt, parts["gpt"], path)
    report.loaded = [f"gpt.{name}" for name in report.loaded]
    if "tokeniser" in parts:
        loaded = load_published_weights(omnijet.tokeniser, parts["tokeniser"], path).loaded
        report.loaded += [f"tokeniser.{name}" for name in loaded]
    elif given is not None:
        copy_weights(given, omnijet.tokeniser)
    report.fresh = [*named_weights(omnijet.head, "head.")] if num_classes else []
    report.unused = [*parts.get("class_head", ())]
    return omnijet, report


def built_omnijet(checkpoint: Checkpoint) -> OmniJet:
    """Both models of a checkpoint with its weights at the best epoch, not their averages.

    After a short training an average over a thousand steps is still close to the initial weights.
    """
    require_published_scaling(checkpoint.model_config.tokeniser, str(checkpoint.path))
    omnijet = OmniJet(checkpoint.model_config)
    assign_weights(omnijet, checkpoint.weights, str(checkpoint.path))
    return omnijet


def require_published_scaling(config: TokeniserConfig, source: str) -> None:
    """Raise UserError for a token model of an earlier version: other blocks, another scaling."""
    stored = config.feature_mean, config.feature_std
    expected = PUBLISHED_MEAN, PUBLISHED_STD
    if stored != expected:
        raise UserError(
            f"{source}: its tokeniser was made before the token models had the published blocks: "
            f"mean and width of {', '.join(TOKEN_FEATURES)} are {stored}, expected {expected}; "
            "train it again with: python train.py DATASET --model omnijet"
        )


def fingerprint(tokeniser: Tokeniser) -> str:
    """SHA-256 over all that defines the tokens: weights, heads, scaling and reach."""
    config = tokeniser.config
    settings = (config.num_heads, config.feature_mean, config.feature_std, config.reach)
    digest = hashlib.sha256(str(settings).encode())
    for name, weight in sorted(named_weights(tokeniser).items()):
        if weight.trainable:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(weight, "float32").tobytes())
    return digest.hexdigest()


def require_tokeniser(omnijet: OmniJet, tokeniser: Tokeniser, model: str, name: str) -> None:
    """Raise UserError unless a GPT was trained on the tokens of this tokeniser."""
    if fingerprint(omnijet.tokeniser) != fingerprint(tokeniser):
        raise UserError(
            f"{name} is not the tokeniser that {model} was trained with, so that their tokens "
            "differ; leave out --tokeniser, or train anew under another --name"
        )
