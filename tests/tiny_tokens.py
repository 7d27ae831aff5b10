"""Tiny token models on toy jets, whose commands take seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands import python
from tiny_models import tiny_and_eager

from omnilearn.generation import distances, sampling
from omnilearn.recipes import TWO_SAMPLES
from omnilearn.tokens import objectives
from omnilearn.tokens.recipes import TOKEN_ARCHITECTURES, TOKENISER

SLOTS = 24  # of jets in the tiny models
TINY_GPT = {"dim": 16, "num_blocks": 1, "num_heads": 2}
TINY_TOKENS = {
    "tokeniser": {**TINY_GPT, "num_codes": 64, "max_constituents": SLOTS},
    "gpt": TINY_GPT,
}
COMMON = ("--preset", "small", "--model", "omnijet", "--batch", "32")


@contextmanager
def tiny_tokens() -> Iterator[None]:
    """A tiny small preset without graphs, and few distances."""
    with tiny_and_eager() as patch:
        patch.setitem(TOKEN_ARCHITECTURES, "small", TINY_TOKENS)
        patch.setitem(TWO_SAMPLES, "epochs", 1)
        patch.setitem(TOKENISER["small"], "batch", 32)
        patch.setitem(TOKENISER["small"], "lr", 1e-2)
        patch.setattr(distances, "BATCHES", 3)
        patch.setattr(objectives, "REPLACE_EVERY", 4)
        patch.setattr(sampling, "PART", 20)
        yield


def call(folder: Path, line: str, *flags) -> tuple[int, str, str]:
    """Exit code and output of a command with the data and runs of the folder."""
    return python(line, *COMMON, "--data", folder / "data", "--runs", folder / "runs", *flags)
