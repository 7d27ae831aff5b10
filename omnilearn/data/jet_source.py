"""What batches are made from: jets in files, some of them, events of jets, or jets in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np


class JetRows(Protocol):
    """Jets by row, by which batches are planned."""

    @property
    def num_jets(self) -> int:
        """Rows there are."""

    @property
    def multiplicity(self) -> np.ndarray:
        """Filled slots (num_jets,); a jet of none takes no part."""

    @property
    def edges(self) -> np.ndarray:
        """Rows (blocks + 1,) at which blocks of neighbouring rows begin, and the end."""


class JetSource(JetRows, Protocol):
    """Jets of which only those that are asked for are read."""

    def gather(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """data (n, P, F), jet (n, 4), pid (n, C), weight (n,) of rows (n,), which rise."""


class StoredJets(JetSource, Protocol):
    """Jets in files, with classes and weights of their own."""

    weight_unit: float  # what the weights of `gather` are divided by

    @property
    def origin(self) -> str:
        """public; simulated, or own, where any file is."""

    @property
    def longer(self) -> int:
        """Jets with more constituents than slots, whose softest are not read."""

    def mean_weight(self) -> float:
        """Mean weight of the jets; raises UserError unless above zero."""

    def labels_and_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Class numbers and weights, (num_jets,) each."""

    def rows_per_file(self) -> Iterator[tuple[Path, np.ndarray]]:
        """The files, each with those of its rows that are read."""
