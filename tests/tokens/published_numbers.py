"""Stored arrays of the public OmniJet-alpha code, and our models with its weights."""

from pathlib import Path

import numpy as np

from omnilearn.model.checkpoint import named_weights
from omnilearn.tokens.jet_gpt import GPT, GPTConfig
from omnilearn.tokens.published_weights import load_published_weights
from omnilearn.tokens.tokeniser import Tokeniser, TokeniserConfig

PATH = Path(__file__).parents[1] / "data" / "omnijet_tiny.npz"
TINY_GPT = GPTConfig(dim=16, num_blocks=3, num_heads=2, num_codes=32, max_constituents=12)
TINY_TOKENISER = TokeniserConfig(
    dim=16, num_blocks=2, num_heads=2, num_codes=32, max_constituents=9
)


def stored() -> dict[str, np.ndarray]:
    """All arrays of the file."""
    with np.load(PATH, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def under(numbers: dict, prefix: str) -> dict[str, np.ndarray]:
    """Arrays named <prefix>.<name>, by name."""
    return {
        name.removeprefix(f"{prefix}."): array
        for name, array in numbers.items()
        if name.startswith(f"{prefix}.")
    }


def gpt_arrays(numbers: dict, prefix: str = "gpt.w") -> dict[str, np.ndarray]:
    """The parameters of the GPT, or their gradients, without the classifier."""
    arrays = under(numbers, prefix).items()
    return {name: array for name, array in arrays if not name.startswith("class_head.")}


def tokeniser_arrays(numbers: dict) -> dict[str, np.ndarray]:
    return {**under(numbers, "vq.w"), "codebook.weight": numbers["vq.in.codebook"]}


def published_gpt(numbers: dict, prefix: str = "gpt.w") -> GPT:
    gpt = GPT(TINY_GPT, name="gpt")
    load_published_weights(gpt, gpt_arrays(numbers, prefix))
    return gpt


def published_tokeniser(numbers: dict) -> Tokeniser:
    tokeniser = Tokeniser(TINY_TOKENISER)
    load_published_weights(tokeniser, tokeniser_arrays(numbers))
    return tokeniser


def weights_of(model) -> dict[str, np.ndarray]:
    return {name: np.array(weight) for name, weight in named_weights(model).items()}
