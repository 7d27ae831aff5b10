"""Tokenisers and jet GPTs for datasets: fresh, from runs, and whether they belong together."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnilearn.backbones import checkpoint_file
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
from omnilearn.tokens.tokeniser import COLUMNS, PUBLISHED_REACH, Tokeniser, TokeniserConfig

TOKENISER_FOLDER = "tokeniser"  # of a run of train.py --model omnijet


def token_spec(spec: DatasetSpec, config: TokeniserConfig) -> DatasetSpec:
    """The dataset as a token model reads it: the hardest constituents, scaled as it was taught."""
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
    """With the published scaling; of jets with a larger radius it reads all constituents."""
    sizes = TOKEN_ARCHITECTURES[preset]["tokeniser"]
    reach = max(PUBLISHED_REACH, spec.jet_radius)
    return fresh(Tokeniser, TokeniserConfig(**sizes, reach=reach), seed)


def fresh_omnijet(tokeniser: Tokeniser, preset: str, seed: int, num_classes: int = 0) -> OmniJet:
    """A GPT without training on a trained tokeniser, with a classifier if asked for one."""
    sizes = TOKEN_ARCHITECTURES[preset]["gpt"]
    config = tokeniser.config
    gpt = GPTConfig(**sizes, num_codes=config.num_codes, max_constituents=config.max_constituents)
    omnijet = fresh(OmniJet, OmniJetConfig(config, gpt, num_classes), seed)
    copy_weights(tokeniser, omnijet.tokeniser)
    return omnijet


def copy_weights(source: Tokeniser, target: Tokeniser) -> None:
    """Give the target the weights of the source, of the same architecture."""
    values = named_weights(source)
    for name, weight in named_weights(target).items():
        weight.assign(values[name])


def load_tokeniser(path: str) -> Tokeniser:
    """The tokeniser of a run, alone or with its GPT, or of a checkpoint file.

    Raises UserError when an earlier version of the suite made it.
    """
    place = Path(path)
    found = place
    if place.is_dir():
        alone = place / TOKENISER_FOLDER / "best.h5"
        found = alone if alone.is_file() else place / "best.h5"
    if place.is_dir() and found.parent == place:
        checkpoint = load_checkpoint(found, OmniJetConfig)
        tokeniser = built_omnijet(checkpoint).tokeniser
    else:
        checkpoint = load_checkpoint(found, TokeniserConfig)
        require_published_scaling(checkpoint.model_config, str(found))
        tokeniser = Tokeniser(checkpoint.model_config)
        assign_weights(tokeniser, checkpoint.weights, str(found))
    return tokeniser


def load_omnijet(path: str, num_classes: int = 0) -> tuple[OmniJet, LoadReport]:
    """Tokeniser and GPT of `--backbone`, with a fresh classifier if asked for one."""
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
    """The GPT in a file of the public OmniJet-alpha, with the tokeniser in it or the one given.

    A classifier in the file takes no part: its classes have no names. Raises UserError, saying what
    is missing, without a GPT, without a tokeniser, and where one has other codes than the other.
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
            f"{path} holds a GPT without its tokeniser, so nothing says what its tokens mean; name "
            "the file or run of the tokeniser with --tokeniser"
        )
    if config.num_codes != gpt.num_codes:
        raise UserError(
            f"{path}: its GPT knows {gpt.num_codes} codes (and start and stop), the tokeniser has "
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

    Averages over a thousand steps would still be those of the beginning after a short training.
    """
    require_published_scaling(checkpoint.model_config.tokeniser, str(checkpoint.path))
    omnijet = OmniJet(checkpoint.model_config)
    assign_weights(omnijet, checkpoint.weights, str(checkpoint.path))
    return omnijet


def require_published_scaling(config: TokeniserConfig, source: str) -> None:
    """Raise UserError for a token model of an earlier version: other blocks, another scaling."""
    theirs, ours = ((each.feature_mean, each.feature_std) for each in (config, TokeniserConfig()))
    if theirs != ours:
        raise UserError(
            f"{source}: its tokeniser was made before the token models had the published blocks: "
            f"it scales {', '.join(TOKEN_FEATURES)} with mean and width {theirs}, expected {ours}; "
            "train it again with: python train.py DATASET --model omnijet"
        )


def fingerprint(tokeniser: Tokeniser) -> str:
    """SHA-256 over all that decides what a token means: weights, heads, scaling and reach."""
    config = tokeniser.config
    told = (config.num_heads, config.feature_mean, config.feature_std, config.reach)
    digest = hashlib.sha256(str(told).encode())
    for name, weight in sorted(named_weights(tokeniser).items()):
        if weight.trainable:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(weight, "float32").tobytes())
    return digest.hexdigest()


def require_tokeniser(omnijet: OmniJet, tokeniser: Tokeniser, source: str, other: str) -> None:
    """Raise UserError unless a GPT was trained on the tokens of this tokeniser."""
    if fingerprint(omnijet.tokeniser) != fingerprint(tokeniser):
        raise UserError(
            f"{other} is not the tokeniser that {source} was trained with, so their tokens mean "
            "other constituents; leave out --tokeniser, or train anew under another --name"
        )
