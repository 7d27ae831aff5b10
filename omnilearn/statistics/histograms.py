"""Counts of observables in common bins, kept beside a run: figures need neither model nor jets."""

from pathlib import Path

import numpy as np

from omnilearn.stored_json import read_json, write_json

FILE = "histograms.json"
BINS = 40
TAIL = 0.002  # share of the truth left outside the bins on each side


def common_edges(truth: np.ndarray, is_count: bool = False) -> np.ndarray:
    """Edges (bins + 1,) of bins that hold all but the outermost of the truth.

    Counts get bins as wide as whole numbers, centred on them.
    """
    low, high = np.quantile(truth, (TAIL, 1 - TAIL))
    if is_count:
        width = max(1, round((high - low) / BINS))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + width + 0.5, width)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def counted(samples: dict[str, np.ndarray], is_count: bool = False) -> dict[str, list]:
    """Edges from the sample "truth", counts of each sample in the bins, and its size."""
    edges = common_edges(samples["truth"], is_count)
    return {
        "edges": edges.tolist(),
        "counts": {
            name: np.histogram(values, edges)[0].tolist() for name, values in samples.items()
        },
        "sizes": {name: len(values) for name, values in samples.items()},
    }


def write_histograms(run: Path, histograms: dict) -> None:
    """class -> observable -> what `counted` gives, into RUN/histograms.json."""
    write_json(run / FILE, histograms)


def read_histograms(run: Path) -> dict:
    """What `write_histograms` wrote, or nothing where it was not called.

    Raises UserError when the file is damaged.
    """
    path = run / FILE
    if not path.is_file():
        return {}
    return read_json(path, "file of histograms", f"write it again with: python evaluate.py {run}")
