"""Interfaces of the jets that batches are made of: in files, selected, in events, in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np


class JetRows(Protocol):
    """What is needed of jets to plan batches."""

    @property
    def num_jets(self) -> int:
        """Number of rows."""

    @property
    def multiplicity(self) -> np.ndarray:
        """Filled slots (num_jets,); jets without constituents are left out of batches."""

    @property
    def edges(self) -> np.ndarray:
        """First rows (blocks + 1,) of blocks of neighbouring rows, and the end."""


class JetSource(JetRows, Protocol):
    """Jets that are read by row."""

    def gather(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """data (n, P, F), jet (n, 4), pid (n, C), weight (n,) of rows (n,), rising."""


class StoredJets(JetSource, Protocol):
    """Jets in files, with classes and weights."""

    weight_unit: float  # what the weights of `gather` are divided by

    @property
    def origin(self) -> str:
        """public; simulated or own if any file is."""

    @property
    def longer(self) -> int:
        """Number of jets with more constituents than slots; their softest are not read."""

    def mean_weight(self) -> float:
        """Mean weight of the jets; raises UserError unless above zero."""

    def labels_and_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers and weights, (num_jets,) each."""

    def rows_per_file(self) -> Iterator[tuple[Path, np.ndarray]]:
        """The files, each with its rows that are read."""
