"""Counts, means, standard deviations and ranges of columns, accumulated buffer by buffer."""

import numpy as np


class Moments:
    """Moments of named columns (columns,), over their finite values.

    Buffers are merged by the formula of Chan, Golub and LeVeque (1983), so no digits are lost.
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
        """Add values (n, columns)."""
        if len(values) == 0:
            return
        finite = np.isfinite(values)
        values = values.astype(np.float64)
        added = Moments(self.names)
        added.count = finite.sum(axis=0)
        added.not_finite = len(values) - added.count
        safe = np.where(finite, values, 0.0)
        added.mean = safe.sum(axis=0) / np.maximum(added.count, 1)
        added._squares = (np.where(finite, safe - added.mean, 0.0) ** 2).sum(axis=0)
        added.low = np.where(finite, values, np.inf).min(axis=0)
        added.high = np.where(finite, values, -np.inf).max(axis=0)
        self.merge(added)

    def merge(self, other: "Moments") -> None:
        """Add the values of another instance with the same columns."""
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
        """Standard deviation (columns,), not of the mean."""
        return np.sqrt(self._squares / np.maximum(self.count, 1))

    def summary(self, name: str) -> tuple[float, float, float, float]:
        """Smallest, mean, standard deviation, largest of one column; NaN where it has no value."""
        column = self.names.index(name)
        if not self.count[column]:
            return np.nan, np.nan, np.nan, np.nan
        moments = np.stack([self.low, self.mean, self.std, self.high])
        low, mean, std, high = moments[:, column].tolist()
        return low, mean, std, high
