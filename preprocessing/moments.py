"""Counts, means, spreads and ranges of columns, a stretch at a time: memory does not grow."""

import numpy as np


class Moments:
    """Of named columns: finite values, mean, standard deviation, smallest, largest, and the rest.

    Stretches are joined by the formula of Chan, Golub and LeVeque (1983), so no digits are lost.
    """

    def __init__(self, names: tuple[str, ...]):
        self.names = names
        self.count = np.zeros(len(names), np.int64)  # finite values
        self.not_finite = np.zeros(len(names), np.int64)
        self.mean = np.zeros(len(names))
        self._squares = np.zeros(len(names))  # squared distances to the mean
        self.low = np.full(len(names), np.inf)
        self.high = np.full(len(names), -np.inf)

    def add(self, values: np.ndarray) -> None:
        """Take in values (n, columns)."""
        if len(values) == 0:
            return
        finite = np.isfinite(values)
        values = values.astype(np.float64)
        part = Moments(self.names)
        part.count = finite.sum(axis=0)
        part.not_finite = len(values) - part.count
        safe = np.where(finite, values, 0.0)
        part.mean = safe.sum(axis=0) / np.maximum(part.count, 1)
        part._squares = (np.where(finite, safe - part.mean, 0.0) ** 2).sum(axis=0)
        part.low = np.where(finite, values, np.inf).min(axis=0)
        part.high = np.where(finite, values, -np.inf).max(axis=0)
        self.join(part)

    def join(self, other: "Moments") -> None:
        """Take in what another one has seen of the same columns."""
        total = np.maximum(self.count + other.count, 1)
        shift = other.mean - self.mean
        self._squares = self._squares + other._squares + shift**2 * self.count * other.count / total
        self.mean = self.mean + shift * other.count / total
        self.count = self.count + other.count
        self.not_finite = self.not_finite + other.not_finite
        self.low = np.minimum(self.low, other.low)
        self.high = np.maximum(self.high, other.high)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation (columns,) of the values themselves."""
        return np.sqrt(self._squares / np.maximum(self.count, 1))

    def of(self, name: str) -> tuple[float, float, float, float]:
        """Smallest, mean, standard deviation, largest of one column; NaN where it has no value."""
        place = self.names.index(name)
        if not self.count[place]:
            return np.nan, np.nan, np.nan, np.nan
        low, mean, std, high = (
            float(values[place]) for values in (self.low, self.mean, self.std, self.high)
        )
        return low, mean, std, high
