"""What the study of Aspen Open Jets found: study.json, tables.md and figures 1, 3 and 4.

Called by `python -m benchmarks aspen`; reads the results.json and histograms.json of its cells.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.aspen import CLASSES, STRATEGIES, Cell, is_done
from omnilearn.atomic import atomic_path
from omnilearn.data.catalogue import ASPEN, JETCLASS
from omnilearn.data.layout import find_files
from omnilearn.data.selection import selected_jets
from omnilearn.data.spec import FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.generation.figures import LABELS, LOGARITHMIC
from omnilearn.generation.jet_observables import OBSERVABLES, observables
from omnilearn.generation.jet_sets import JetSet, four_momenta, read_split
from omnilearn.generation.transfer import (
    ObservableRow,
    SizeCurve,
    identity_figure,
    transfer_figure,
)
from omnilearn.plotting.distributions import AXIS_LABELS
from omnilearn.plotting.spectra import Sample, Spectrum, spectra
from omnilearn.plotting.style import class_style
from omnilearn.statistics.histograms import common_edges, read_histograms
from omnilearn.statistics.results import Result, read_results, write_results
from omnilearn.tokens.power_law import PowerLaw, power_law

METRICS = {"kl": "KL divergence", "w1": "W1"}
FIGURES = {"QCD": "figure3_QCD", "Tbqq": "figure4_Tbqq"}
CONTEXT_JETS = 20_000  # of Aspen Open Jets, drawn beside
DRAWN = {"tokens_finetuned": "fine-tuned", "tokens_scratch": "from scratch"}
IDENTITY = tuple(range(8, 13))  # flags of the kinds, behind the charge
IDENTITY_JETS = 5000  # whose kinds are counted
PARTICLES = ("pt", "eta_rel", "phi_rel")


def summarise(wanted: Sequence[Cell], flags: argparse.Namespace) -> None:
    """Everything from the cells that are done; raises UserError when none is."""
    found = {
        cell: cell_results(flags.out / "runs" / cell.name, cell.class_name)
        for cell in wanted
        if is_done(cell, flags)
    }
    if not found:
        raise UserError(f"{flags.out} holds no finished cell; run: python -m benchmarks aspen")
    laws = {
        (class_name, strategy, metric): power_law(*curve(found, class_name, strategy, metric))
        for class_name in CLASSES
        for strategy in STRATEGIES
        for metric in metrics()
    }
    text = "\n".join([*(class_table(found, laws, name, kind) for name in CLASSES
                        for kind in METRICS), gain_table(found), cost_table(found)])  # fmt: skip
    with atomic_path(flags.out / "tables.md") as temporary:
        temporary.write_text(text)
    write_results(flags.out / "study.json", described(found, laws, flags))
    aspen, _ = read_split(flags.data, ASPEN, "test", CONTEXT_JETS)
    context = observables(*four_momenta(aspen), ASPEN.jet_radius)
    data_sets_figure(aspen, context, flags)
    for class_name in CLASSES:
        rows = figure_rows(found, laws, context, class_name, flags)
        if rows:
            title = f"JetClass {class_style(JETCLASS, class_name)['label']}"
            transfer_figure(rows, flags.out / FIGURES[class_name], title)
    print(text)


def cell_results(run: Path, class_name: str) -> dict:
    """results.json of a cell; uncertainties are the spread over its trainings and, added in
    quadrature, the mean bootstrap uncertainty that jets give one of them."""
    results = read_results(run / "results.json")
    seeds = [read_results(path) for path in sorted(run.glob("seed*/results.json"))]
    if len(seeds) > 1:
        numbers = results["generated"][class_name]
        for name, one in numbers.items():
            errors = [seed["generated"][class_name][name].error or 0.0 for seed in seeds]
            error = float(np.hypot(one.error or 0.0, np.mean(errors)))
            numbers[name] = Result(one.value, error, one.n)
    return results


def metrics() -> list[str]:
    return [f"{kind}_{name}" for kind in METRICS for name in OBSERVABLES]


def numbers(found: dict[Cell, dict], cell: Cell) -> dict[str, Result]:
    """Metrics of a cell, nothing where it is not there."""
    return found[cell]["generated"][cell.class_name] if cell in found else {}


def curve(
    found: dict[Cell, dict], class_name: str, strategy: str, metric: str
) -> tuple[list[int], list[Result]]:
    """Training jets of the cells that are there, and the metric of each."""
    points = {
        cell.jets: numbers(found, cell)[metric]
        for cell in found
        if (cell.class_name, cell.strategy) == (class_name, strategy)
    }
    jets = sorted(points)
    return jets, [points[size] for size in jets]


def markdown(title: str, lines: Sequence[Sequence[str]]) -> str:
    """A heading and a table whose first two columns are text."""
    rule = ["---", "---", *["--:"] * (len(lines[0]) - 2)]
    rows = [lines[0], rule, *lines[1:]]
    return f"## {title}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def class_table(found: dict, laws: dict, class_name: str, kind: str) -> str:
    """One metric of one class: a row per size and strategy, and the exponents below."""
    lines = [["training jets", "strategy", *OBSERVABLES, "test jets"]]
    of_class = [cell for cell in found if cell.class_name == class_name]
    for cell in sorted(of_class, key=lambda one: (one.jets, [*STRATEGIES].index(one.strategy))):
        values = [numbers(found, cell)[f"{kind}_{name}"] for name in OBSERVABLES]
        lines.append([str(cell.jets), STRATEGIES[cell.strategy], *(one.text for one in values),
                      str(values[0].n)])  # fmt: skip
    for strategy, label in STRATEGIES.items():
        exponents = [laws[class_name, strategy, f"{kind}_{name}"].exponent for name in OBSERVABLES]
        if any(np.isfinite(one.value) for one in exponents):
            lines.append(["gamma", label, *(one.text for one in exponents), "-"])
    return markdown(f"{class_name}: {METRICS[kind]}", lines)


def gain_table(found: dict) -> str:
    """Of the ten metrics of a size and class, in how many fine-tuning is ahead of scratch."""
    lines = [["training jets", "class", "model", "ahead", "by 2 sigma", "behind by 2 sigma",
              "geometric mean of scratch over fine-tuned"]]  # fmt: skip
    for cell in found:
        model, kind = cell.strategy.split("_")
        scratch = Cell(cell.class_name, f"{model}_scratch", cell.jets)
        if kind != "finetuned" or scratch not in found:
            continue
        pairs = [(numbers(found, cell)[name], numbers(found, scratch)[name]) for name in metrics()]
        gain = np.array([b.value - a.value for a, b in pairs])
        error = np.array([np.hypot(a.error or 0.0, b.error or 0.0) for a, b in pairs])
        ratio = np.exp(np.mean([np.log(b.value / a.value) for a, b in pairs]))
        lines.append([str(cell.jets), cell.class_name, model, f"{(gain > 0).sum()} of {len(gain)}",
                      str((gain > 2 * error).sum()), str((gain < -2 * error).sum()),
                      f"{ratio:.2f}"])  # fmt: skip
    return markdown("Fine-tuned against from scratch: KL divergence and W1 of five observables",
                    lines)  # fmt: skip


def cost_table(found: dict) -> str:
    """Tokens and diffusion side by side: size, speed and quality at every size both have."""
    lines = [["training jets", "strategy", "class", "parameters", "jets/s",
              *(f"KL {name}" for name in OBSERVABLES)]]  # fmt: skip
    for cell in found:
        both = {one.strategy for one in found
                if (one.jets, one.class_name) == (cell.jets, cell.class_name)}  # fmt: skip
        if len({strategy.split("_")[0] for strategy in both}) < 2:
            continue
        one = found[cell]
        values = [numbers(found, cell)[f"kl_{name}"].text for name in OBSERVABLES]
        lines.append([str(cell.jets), STRATEGIES[cell.strategy], cell.class_name,
                      f"{one['parameters']:.0f}", f"{one['jets_per_second']:.1f}",
                      *values])  # fmt: skip
    return markdown("Tokens and diffusion", lines)


def described(found: dict, laws: dict[tuple, PowerLaw], flags: argparse.Namespace) -> dict:
    """study.json: every number of the tables."""
    return {
        "preset": flags.preset,
        "trainings": flags.repeats,
        "data": "simulated" if "simulated" in {one["data"] for one in found.values()} else "public",
        "cells": [
            {"class": cell.class_name, "strategy": cell.strategy, "training_jets": cell.jets,
             "parameters": one["parameters"], "jets_per_second": one["jets_per_second"],
             "metrics": numbers(found, cell)}
            for cell, one in found.items()
        ],
        "power_laws": [
            {"class": class_name, "strategy": strategy, "metric": metric,
             "exponent": law.exponent, "chi2_per_degree": law.chi2}
            for (class_name, strategy, metric), law in laws.items()
            if np.isfinite(law.exponent.value)
        ],
    }  # fmt: skip


def data_sets_figure(aspen: JetSet, context: dict, flags: argparse.Namespace) -> None:
    """Figure 1: Aspen Open Jets and the JetClass jets, jets and constituents."""
    samples = {ASPEN.title: (aspen, context)}
    for class_name in CLASSES:
        jets, _ = read_split(flags.data, JETCLASS, "test", CONTEXT_JETS, class_name)
        label = f"JetClass {class_style(JETCLASS, class_name)['label']}"
        samples[label] = (jets, observables(*four_momenta(jets), JETCLASS.jet_radius))
    values = {
        label: {**particle_features(jets), **whole} for label, (jets, whole) in samples.items()
    }
    panels = {}
    for name in (*PARTICLES, *OBSERVABLES):
        pooled = np.concatenate([one[name] for one in values.values()])
        edges = common_edges(pooled, name == "multiplicity")
        drawn = [Sample.of_values(label, one[name], edges, colour=colour)
                 for (label, one), colour in zip(values.items(), (None, "#bd1f01", "#3f90da"),
                                                 strict=True)]  # fmt: skip
        logarithmic = name in (*LOGARITHMIC, "pt")
        panels[name] = Spectrum(edges, drawn[0], drawn[1:], axis_label(name), logarithmic)
    spectra(flags.out / "figure1_data_sets", panels, "Pre-training and target jets")
    kinds = {ASPEN.title: (ASPEN, ""), **{label: (JETCLASS, name) for label, name in
                                          zip([*samples][1:], CLASSES, strict=True)}}  # fmt: skip
    counts = {label: identities(flags.data, *kind) for label, kind in kinds.items()}
    means, spreads = (
        {label: measure(one, axis=0) for label, one in counts.items()}
        for measure in (np.mean, np.std)
    )
    names = [AXIS_LABELS[FEATURES[column]] for column in IDENTITY]
    identity_figure(means, spreads, names, flags.out / "figure1_identities")


def identities(data: Path, spec: DatasetSpec, classes: str) -> np.ndarray:
    """Constituents of every kind (jets, kinds) in jets of the test split."""
    paths = find_files(data, spec, "test")
    files, _ = selected_jets(paths, spec, IDENTITY_JETS, classes)
    with files:
        return files.gather(np.arange(files.num_jets))["data"][..., IDENTITY].sum(axis=1)


def particle_features(jets: JetSet) -> dict[str, np.ndarray]:
    """pT [GeV], eta_rel and phi_rel of all constituents."""
    real = jets.constituents[..., 3] > 0
    pt = (jets.constituents[..., 2] * jets.jets[:, :1])[real]
    return {"pt": pt, **{name: jets.constituents[..., column][real]
                         for column, name in enumerate(PARTICLES[1:])}}  # fmt: skip


def axis_label(name: str) -> str:
    return r"constituent $p_T$ [GeV]" if name == "pt" else LABELS[name]


def figure_rows(
    found: dict, laws: dict, context: dict, class_name: str, flags: argparse.Namespace
) -> list[ObservableRow]:
    """The rows of figure 3 or 4; the samples are those of the first repeat."""
    histograms = {
        (cell.strategy, cell.jets): first_histograms(flags.out / "runs" / cell.name)[class_name]
        for cell in found
        if cell.class_name == class_name and cell.strategy in DRAWN
    }
    if not histograms:
        return []
    anyone = next(iter(histograms.values()))
    rows = []
    for name in OBSERVABLES:
        edges = np.array(anyone[name]["edges"])
        truth = Sample.of_counts("JetClass", anyone[name]["counts"]["truth"],
                                 anyone[name]["sizes"]["truth"])  # fmt: skip
        generated = {
            title: {
                jets: Sample.of_counts(str(jets), one[name]["counts"]["generated"],
                                       one[name]["sizes"]["generated"])
                for (of, jets), one in sorted(histograms.items(), key=lambda item: item[0][1])
                if of == strategy
            }
            for strategy, title in DRAWN.items()
        }  # fmt: skip
        curves = {}
        for kind, label in METRICS.items():
            metric = f"{kind}_{name}"
            curves[label] = [
                SizeCurve(STRATEGIES[strategy], *points, laws[class_name, strategy, metric])
                for strategy in STRATEGIES
                if (points := curve(found, class_name, strategy, metric))[0]
            ]
        rows.append(ObservableRow(name, edges, truth, Sample.of_values(
            ASPEN.title, context[name], edges), generated, curves))  # fmt: skip
    return rows


def first_histograms(run: Path) -> dict:
    """The histograms of a run, or of the first of its repeats."""
    return read_histograms(run) or read_histograms(sorted(run.glob("seed*"))[0])
