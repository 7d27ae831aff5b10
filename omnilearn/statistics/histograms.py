"""Counts of observables in common bins, stored in the run directory for the figures."""

from pathlib import Path

import numpy as np

from omnilearn.stored_json import read_json, write_json

FILE = "histograms.json"
BINS = 40
TAIL = 0.002  # share of the truth left outside the bins on each side


def common_edges(truth: np.ndarray, is_count: bool = False) -> np.ndarray:
    """Edges (bins + 1,) of equal bins between the outer quantiles of the truth (N,).

    For a count the edges are half-integers and the widths whole numbers.
    """
    low, high = np.quantile(truth, (TAIL, 1 - TAIL))
    if is_count:
        width = max(1, round((high - low) / BINS))
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + width + 0.5, width)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def histogram(samples: dict[str, np.ndarray], is_count: bool = False) -> dict[str, list]:
    """Edges from samples["truth"] (N,), counts in the bins and size of every sample."""
    edges = common_edges(samples["truth"], is_count)
    return {
        "edges": edges.tolist(),
        "counts": {
            name: np.histogram(values, edges)[0].tolist() for name, values in samples.items()
        },
        "sizes": {name: len(values) for name, values in samples.items()},
    }


def write_histograms(run: Path, histograms: dict) -> None:
    """Write RUN/histograms.json: class -> observable -> `histogram`."""
    write_json(run / FILE, histograms)


def read_histograms(run: Path) -> dict:
    """RUN/histograms.json, or {} if there is none; raises UserError when the file is damaged."""
    path = run / FILE
    if not path.is_file():
        return {}
    return read_json(path, "file of histograms", f"write it again with: python evaluate.py {run}")
