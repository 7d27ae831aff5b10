"""Distributions of the inputs: one panel per feature, one normalised line per class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from omnilearn.data.spec import DatasetSpec
from omnilearn.plotting.style import canvas, class_style

COLUMNS = 4
PANEL_INCHES = (4.2, 3.4)

AXIS_LABELS = {
    "eta_rel": r"$\eta - \eta_\mathrm{jet}$",
    "phi_rel": r"$\phi - \phi_\mathrm{jet}$",
    "log_1_minus_pt_rel": r"$\log(1 - p_T / p_{T,\mathrm{jet}})$",
    "log_pt": r"$\log(p_T$ / GeV$)$",
    "log_1_minus_e_rel": r"$\log(1 - E / E_\mathrm{jet})$",
    "log_e": r"$\log(E$ / GeV$)$",
    "delta_r": r"$\Delta R$",
    "charge": "charge",
    "is_charged_hadron": "charged hadron",
    "is_neutral_hadron": "neutral hadron",
    "is_photon": "photon",
    "is_electron": "electron",
    "is_muon": "muon",
    "jet_pt": r"jet $p_T$ [GeV]",
    "jet_eta": r"jet $\eta$",
    "jet_phi": r"jet $\phi$",
    "jet_mass": "jet mass [GeV]",
    "multiplicity": "constituents",
}


@dataclass(frozen=True)
class Panel:
    """One feature: its name, the edges of its bins (bins + 1,), counts (classes, bins)."""

    name: str
    edges: np.ndarray
    counts: np.ndarray


def input_distributions(
    panels: Sequence[Panel], spec: DatasetSpec, path_stem: Path | str, title: str = ""
) -> None:
    """All panels in one figure with logarithmic axes and one legend, as PNG and PDF.

    A class without entries is not drawn. Raises ValueError if there is no panel.
    """
    if not panels:
        raise ValueError("no distribution to draw")
    rows = -(-len(panels) // COLUMNS)
    inches = COLUMNS * PANEL_INCHES[0], rows * PANEL_INCHES[1] + 1.0
    with canvas(path_stem, inches) as drawing:
        grid = drawing.subplots(rows, COLUMNS, squeeze=False).ravel()
        lines: dict[str, Artist] = {}
        for axes, panel in zip(grid, panels, strict=False):
            lines |= _draw_panel(axes, panel, spec)
        for axes in grid[len(panels) :]:
            axes.remove()
        drawing.legend(lines.values(), lines, title=title, loc="outside upper center", ncols=5)


def _draw_panel(axes: Axes, panel: Panel, spec: DatasetSpec) -> dict[str, Artist]:
    """Draw one line per class and return label -> line."""
    lines: dict[str, Artist] = {}
    widths = np.diff(panel.edges)
    for name, counts in zip(spec.class_names, panel.counts, strict=True):
        if counts.sum() <= 0:
            continue
        style = class_style(spec, name)
        density = counts / (counts.sum() * widths)
        line = axes.stairs(density, panel.edges, color=style["color"], linewidth=1.5)
        lines[style["label"]] = line
    axes.set_yscale("log")
    axes.set_xlim(panel.edges[0], panel.edges[-1])
    axes.set_xlabel(AXIS_LABELS.get(panel.name, panel.name), fontsize="small")
    axes.tick_params(labelsize="x-small", which="both")
    axes.yaxis.set_minor_locator(NullLocator())
    return lines
