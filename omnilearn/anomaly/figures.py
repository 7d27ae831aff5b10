"""Figures of a search: significance improvement, bump hunt, and scans of injected signal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.generation.figures import LABELS, panel
from omnilearn.plotting.spectra import spectra
from omnilearn.plotting.style import (
    LIMIT_COLOUR,
    canvas,
    figure,
    model_colour,
    remove_figure,
    sample_title,
)
from omnilearn.tagging.figures import loss_figure

KIND_LINES: dict[str, Any] = {
    "idealised": "-",
    "cathode": "--",
    "cathode_weighted": (0, (3, 1, 1, 1, 1, 1)),
    "salad": "-.",
}
SCAN_CUT = "0.01"  # sideband efficiency of the cut in a scan
DATA_COLOUR = "#4d4d4d"


def improvement_curves(curves: Mapping[str, dict], path_stem: Path | str, title: str = "") -> None:
    """eS / sqrt(eB) against eS with one-sigma bands, for labelled curves, as PNG and PDF.

    A curve ends where fewer than ten background events pass.
    """
    with figure(path_stem) as axes:
        for position, (label, curve) in enumerate(curves.items()):
            colour = model_colour(label, position)
            x = np.array(curve["signal_efficiency"])
            value = np.array([result.value for result in curve["improvement"]])
            error = np.array([result.error for result in curve["improvement"]])
            axes.plot(x, value, color=colour, label=label)
            axes.fill_between(
                x, value - error, value + error, color=colour, alpha=0.25, linewidth=0
            )
        efficiency = np.linspace(0.0, 1.0, 101)
        axes.plot(
            efficiency,
            np.sqrt(efficiency),
            color=LIMIT_COLOUR,
            linestyle="--",
            linewidth=1.2,
            label="random",
        )
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel(r"Signal efficiency $\varepsilon_S$")
        axes.set_ylabel(r"$\varepsilon_S / \varepsilon_B^{1/2}$")
        axes.legend(title=title, loc="upper right")


def bump_figure(
    spectra: Sequence[dict[str, Any]],
    region: tuple[float, ...],
    path_stem: Path | str,
    title: str = "",
) -> None:
    """Dijet masses before and after cuts, the fit to the sidebands and its band, as PNG and PDF.

    Open points are in the signal region, which the fit excludes. Spectra with too few events for a
    fit are left out; without another there is no figure, and an earlier one is removed.
    """
    spectra = [spectrum for spectrum in spectra if "expected" in spectrum]
    if not spectra:
        remove_figure(Path(path_stem))
        return
    with figure(path_stem) as axes:
        for position, spectrum in enumerate(spectra):
            colour = model_colour(f"cut {position}", position)
            edges, counts = np.array(spectrum["edges"]), np.array(spectrum["counts"])
            expected, band = np.array(spectrum["expected"]), np.array(spectrum["uncertainty"])
            centres = (edges[1:] + edges[:-1]) / 2
            inside = (centres > region[0]) & (centres < region[1])
            cut = spectrum["cut"]
            name = "all events" if cut == 1 else rf"$\varepsilon_B$ = {cut:g}"
            label = f"{name}: {spectrum['significance']:.1f}" + r" $\sigma$"
            axes.plot(centres, expected, color=colour, label=label)
            axes.fill_between(
                centres, expected - band, expected + band, color=colour, alpha=0.25, linewidth=0
            )
            for region_bins, fill in ((inside, "white"), (~inside, colour)):
                filled = region_bins & (counts > 0)
                axes.errorbar(
                    centres[filled],
                    counts[filled],
                    np.sqrt(counts[filled]),
                    color=colour,
                    marker="o",
                    markersize=4,
                    linestyle="",
                    linewidth=1.0,
                    markerfacecolor=fill,
                )
        axes.axvspan(*region, color=LIMIT_COLOUR, alpha=0.12, linewidth=0)
        axes.set_yscale("log")
        top = max(max(spectrum["counts"]) for spectrum in spectra)
        axes.set_ylim(0.3, 40.0 * top)
        axes.set_xlim(spectra[0]["edges"][0], spectra[0]["edges"][-1])
        axes.set_xlabel(r"$m_{jj}$ [GeV]")
        axes.set_ylabel("Events")
        axes.legend(title=title, loc="upper right", ncols=2)


def scan_figure(
    scans: Mapping[str, dict[str, dict]], path_stem: Path | str, title: str = ""
) -> None:
    """Figure 7 of arXiv:2502.14652: maximum improvement against injected signal, as PNG and PDF.

    scans: model -> kind -> signal -> point, as `anomaly.metrics.scan` gives them. Lines are
    medians, bands hold 68 % of the trainings. Below: the local significance of the bump hunt before
    and after a cut; at zero injected signal its expectation is 0 +- 1, which is shaded.
    """
    with canvas(path_stem, (7.5, 10.0)) as drawing:
        upper, lower = drawing.subplots(2, 1, sharex=True)
        smallest = [
            point["signal"]
            for kinds in scans.values()
            for kind in KIND_LINES
            for point in kinds.get(kind, {}).values()
            if point["signal"]
        ]
        for position, (model, kinds) in enumerate(scans.items()):
            colour = model_colour(model, position)
            for kind, line in KIND_LINES.items():
                points = [*kinds.get(kind, {}).values()]
                draw_points(upper, points, "max_sic", f"{model}, {kind}", colour, line)
                label = f"{model}, {kind}, after the cut"
                draw_points(lower, points, f"significance_{SCAN_CUT}", label, colour, line)
            for point in kinds.get("supervised", {}).values():
                upper.axhline(
                    point["max_sic"].value,
                    color=colour,
                    linestyle=":",
                    linewidth=1.4,
                    label=f"{model}, supervised",
                )
        first = next(
            (kinds[kind] for kinds in scans.values() for kind in KIND_LINES if kind in kinds), {}
        )
        draw_points(lower, [*first.values()], "significance_1", "before the cut", DATA_COLOUR, "-")
        upper.axhline(1.0, color=LIMIT_COLOUR, linestyle="--", linewidth=1.2, label="random")
        lower.axhspan(-1.0, 1.0, color=LIMIT_COLOUR, alpha=0.2, linewidth=0, label="background")
        lower.set_xscale("symlog", linthresh=min(smallest, default=1), linscale=0.5)
        lower.set_xlim(left=-0.1 * min(smallest, default=1))
        lower.set_xlabel("Injected signal events")
        upper.set_ylabel(r"Maximum $\varepsilon_S / \varepsilon_B^{1/2}$")
        lower.set_ylabel(r"Local significance [$\sigma$]")
        upper.set_ylim(0.0, 1.45 * upper.get_ylim()[1])
        low, high = lower.get_ylim()
        lower.set_ylim(low, high + 0.4 * (high - low))
        upper.legend(title=title, loc="upper left", ncols=2)
        lower.legend(loc="upper left")


def draw_points(axes, points: Sequence[dict], name: str, label: str, colour: str, line):
    """Medians with a band of 68 %, where they are measured."""
    points = [point for point in points if name in point]
    if not points:
        return
    x = np.array([point["signal"] for point in points])
    low, high = np.array([point[f"{name}_interval"] for point in points]).T
    middle = np.array([point[name].value for point in points])
    axes.errorbar(
        x,
        middle,
        np.stack([middle - low, high - middle]),
        color=colour,
        linestyle=line,
        marker="o",
        markersize=5,
        capsize=3,
        label=label,
    )
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def model_name(results: Mapping[str, Any]) -> str:
    """The label of the model of these results."""
    return "OmniLearn" if results["backbone"] else "from scratch"


def axis_label(name: str) -> str:
    """The label of an observable of a jet, jet_pt_1 and so on, or of constituents."""
    jet = name.removesuffix("_1").removesuffix("_2")
    return LABELS[jet] + (f", jet {name[-1]}" if jet != name else "")


def closure_figures(
    run: Path, spec: DatasetSpec, results: dict[str, Any], history: Sequence[dict[str, Any]]
) -> None:
    """Events of a reference over true ones, closure_<sample>, and the loss of PET."""
    names = {
        "sidebands": "sidebands",
        "signal_region": "signal region",
        "reference": "reference in the sidebands",
        "weighted": "weighted reference in the sidebands",
    }
    for region, observables in results["spectra"].items():
        title = sample_title(f"{spec.title}, {names[region]}", results.get("data"), None)
        panels = {
            name: replace(panel(name, histograms), x_label=axis_label(name))
            for name, histograms in observables.items()
        }
        spectra(Path(run) / f"closure_{region}", panels, title)
    loss_figure(run, spec.title, results.get("data"), history)


def anomaly_figures(
    run: Path, spec: DatasetSpec, results: dict[str, Any], history: Sequence[dict[str, Any]]
) -> None:
    """Figures of one cell, dijet_mass, loss and with truth improvement, or of a scan.

    A scan has the dijet masses of a kind and signal, dijet_mass_<kind>_<signal>, where each fold of
    the events was tested.
    """
    run = Path(run)
    origin = results.get("data")
    if "scan" in results:
        points = []
        for kind, by_signal in results["scan"].items():
            for signal, point in by_signal.items():
                points.append(point)
                if "spectra" in point:
                    title = bump_title(spec.title, origin, point["spectra"])
                    stem = run / f"dijet_mass_{kind}_{signal}"
                    bump_figure(point["spectra"], spec.signal_region, stem, title)
        if not any("max_sic" in point for point in points):
            remove_figure(run / "scan")  # without truth, the amount of signal is not known
            return
        title = sample_title(spec.title, origin, None)
        scan_figure({model_name(results): results["scan"]}, run / "scan", title)
        return
    name = spec.title
    if "curve" in results:  # the truth is known
        name += f", {results['signal']} signal events"
        tested = sum(results["events"][f"test_{kind}"] for kind in ("background", "signal"))
        title = sample_title(name, origin, tested, "test events")
        improvement_curves({model_name(results): results["curve"]}, run / "improvement", title)
    else:
        remove_figure(run / "improvement")
    title = bump_title(name, origin, results["spectra"])
    bump_figure(results["spectra"], spec.signal_region, run / "dijet_mass", title)
    loss_figure(run, spec.title, origin, history, what="events per epoch")


def bump_title(name: str, origin: str | None, spectra: Sequence[dict[str, Any]]) -> str:
    """The title of a bump hunt, with the number of its events before a cut."""
    return sample_title(name, origin, sum(spectra[0]["counts"]), "events")
