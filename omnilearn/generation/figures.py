"""Figures of a run of generation: spectra of generated and true jets per class, and losses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.plotting.distributions import AXIS_LABELS
from omnilearn.plotting.spectra import Sample, Spectrum, spectra
from omnilearn.plotting.style import class_style, grouped, sample_title
from omnilearn.statistics.histograms import read_histograms
from omnilearn.tagging.figures import loss_figure

LABELS = {
    **AXIS_LABELS,
    "pt_rel": r"$p_T / p_{T,\mathrm{jet}}$",
    "tau21": r"$\tau_{21}$",
    "tau32": r"$\tau_{32}$",
}
LOGARITHMIC = ("eta_rel", "phi_rel", "pt_rel", "jet_pt")
NAMES = {"generated": "generated", "ideal": "true kinematics", "inclusive": "inclusive spectrum"}


def generation_figures(
    run: Path, spec: DatasetSpec, results: dict[str, Any], history: Sequence[dict[str, Any]]
) -> None:
    """spectra_<class> for every class of RUN/histograms.json, and loss, as PNG and PDF.

    The legend has the number of jets of every sample in brackets.
    """
    for name, observables in read_histograms(Path(run)).items():
        label = class_style(spec, name)["label"] if name in spec.class_names else name
        title = sample_title(f"{spec.title}, {label}", results.get("data"), None)
        panels = {key: panel(key, histogram) for key, histogram in observables.items()}
        spectra(Path(run) / f"spectra_{name}", panels, title)
    loss_figure(run, spec.title, results.get("data"), history)


def panel(observable: str, histogram: dict) -> Spectrum:
    """The panel of one observable, from `statistics.histograms.histogram`."""
    samples = []
    for name, counts in histogram["counts"].items():
        size = histogram["sizes"][name]
        label = f"{NAMES.get(name, name)} ({grouped(size)})"
        samples.append(Sample.of_counts(label, counts, size))
    return Spectrum(
        np.array(histogram["edges"]),
        samples[0],
        samples[1:],
        LABELS.get(observable, observable),
        observable in LOGARITHMIC,
    )
