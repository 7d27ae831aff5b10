"""Figures of an unfolding: spectra with ratios to the truth, and distances by iteration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.ticker import MaxNLocator, NullLocator

from omnilearn.data.spec import DatasetSpec
from omnilearn.plotting.style import LIMIT_COLOUR, canvas, figure, model_colour, sample_title
from omnilearn.statistics.results import Result
from omnilearn.tagging.figures import loss_figure

OBSERVABLE_LABELS = {
    "jet_mass": "Jet mass [GeV]",
    "multiplicity": "Constituents",
    "jet_width": "Jet width",
    "ln_rho": r"$\ln\rho$",
    "tau21": r"$\tau_{21}$",
    "z_g": r"$z_g$",
}
TRUTH_COLOUR = "#4d4d4d"
LABELS = {
    "detector": {"simulation": "simulation", "truth": "data"},
    "particle": {"simulation": "simulation", "truth": "truth", "ibu": "binned (IBU)"},
}
COLUMNS = 3
RATIO_LIMITS = (0.7, 1.3)

# label -> density and uncertainty per bin
Spectra = dict[str, dict[str, Sequence[float]]]


def spectra_figure(
    panels: dict[str, tuple[Sequence[float], Spectra]],
    reference: str,
    path_stem: Path | str,
    title: str = "",
) -> None:
    """Observables, each with a panel of ratios to the `reference`, as PNG and PDF.

    panels: observable -> edges (bins + 1,) and its spectra by label; bands are one sigma. Raises
    ValueError if there is no panel.
    """
    if not panels:
        raise ValueError("no spectrum to draw")
    rows = -(-len(panels) // COLUMNS)
    with canvas(path_stem, (COLUMNS * 4.6, rows * 4.6 + 0.8)) as drawing:
        grid = drawing.subplots(
            2 * rows, COLUMNS, squeeze=False, sharex=False, height_ratios=[3, 1] * rows
        )
        lines: dict[str, Artist] = {}
        for index, (name, (edges, spectra)) in enumerate(panels.items()):
            row, column = divmod(index, COLUMNS)
            upper, lower = grid[2 * row, column], grid[2 * row + 1, column]
            lines |= _draw(upper, lower, np.asarray(edges), spectra, reference)
            lower.set_xlabel(OBSERVABLE_LABELS.get(name, name), fontsize="small")
            upper.set_ylabel("Density" if column == 0 else "", fontsize="small")
            lower.set_ylabel("Ratio" if column == 0 else "", fontsize="small")
        for index in range(len(panels), rows * COLUMNS):
            row, column = divmod(index, COLUMNS)
            grid[2 * row, column].remove()
            grid[2 * row + 1, column].remove()
        drawing.legend(lines.values(), lines, title=title, loc="outside upper center", ncols=6)


def _draw(upper, lower, edges: np.ndarray, spectra: Spectra, reference: str) -> dict:
    """Draw one observable and its ratios; returns the lines by label."""
    lines, position = {}, 0
    denominator = np.asarray(spectra[reference]["density"])
    filled = denominator > max(0.0, 0.002 * denominator.max())
    safe = np.where(filled, denominator, 1.0)
    for label, spectrum in spectra.items():
        density, error = (np.asarray(spectrum[key]) for key in ("density", "uncertainty"))
        if label == reference:
            colour = TRUTH_COLOUR
        else:
            colour, position = model_colour(label, position), position + 1
        lines[label] = upper.stairs(density, edges, color=colour, linewidth=1.6)
        ratio, band = (np.where(filled, values / safe, np.nan) for values in (density, error))
        lower.stairs(
            ratio + band,
            edges,
            baseline=ratio - band,
            fill=True,
            color=colour,
            alpha=0.25,
            linewidth=0,
        )
        lower.stairs(ratio, edges, color=colour, linewidth=1.2, baseline=None)
    shown = np.flatnonzero(filled) if filled.any() else [0, len(filled) - 1]
    for axes in (upper, lower):
        axes.set_xlim(edges[shown[0]], edges[shown[-1] + 1])
        axes.tick_params(labelsize="x-small", which="both")
    upper.set_ylim(0, None)
    upper.set_xticklabels([])
    lower.set_ylim(*RATIO_LIMITS)
    lower.axhline(1.0, color=LIMIT_COLOUR, linewidth=0.8, linestyle=":")
    return lines


def iteration_figure(
    distances: dict[str, Sequence[Result]], path_stem: Path | str, title: str = ""
) -> None:
    """Triangular discriminator against the number of iterations, a line per observable."""
    with figure(path_stem) as axes:
        colours = (*matplotlib.color_sequences["petroff10"],)  # arXiv:2107.02270
        for (name, results), colour in zip(distances.items(), colours, strict=False):
            values = np.array([result.value for result in results])
            errors = [np.nan if result.error is None else result.error for result in results]
            axes.errorbar(
                np.arange(len(results)),
                values,
                errors,
                color=colour,
                marker="o",
                markersize=5,
                label=OBSERVABLE_LABELS.get(name, name),
            )
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("Iterations")
        axes.set_ylabel("Triangular discriminator x 1000")
        axes.legend(loc="best", title=title)


def panels_of(
    results: Mapping[str, Any], level: str, renamed: dict[str, str]
) -> dict[str, tuple[Sequence[float], Spectra]]:
    """The panels of a level from results.json, of the spectra in `renamed`: key -> label."""
    return {
        name: (
            spectra["edges"],
            {label: spectra[kind] for kind, label in renamed.items() if kind in spectra},
        )
        for name, spectra in results["spectra"][level].items()
    }


def unfolding_figures(
    run: Path, spec: DatasetSpec, results: dict[str, Any], history: Sequence[dict[str, Any]]
) -> None:
    """Figures of one run: spectra of its levels, distances by iteration, loss of step 1."""
    for level in results["spectra"]:
        renamed = {**LABELS[level], "unfolded": results["model"]}
        panels = panels_of(results, level, renamed)
        distance = next(
            (results[key] for key in results if key.startswith(f"triangular_{level}_")), None
        )
        events = distance.n if isinstance(distance, Result) else None
        name = f"{spec.title}, {level} level"
        title = sample_title(name, results.get("data"), events, "events")
        spectra_figure(panels, LABELS[level]["truth"], Path(run) / f"spectra_{level}", title)
    if results["by_iteration"]:
        title = sample_title(spec.title, results.get("data"), None)
        iteration_figure(results["by_iteration"], Path(run) / "iterations", title)
    title = f"{spec.title}, first step"
    loss_figure(run, title, results.get("data"), history, "cross_entropy", "events per epoch")
