"""Summary of the study of Aspen Open Jets: study.json, tables.md and figures 1, 3 and 4.

Called by `python -m benchmarks aspen`; reads the results.json and histograms.json of its cells.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.aspen_cells import (
    CLASSES,
    METRICS,
    STRATEGIES,
    STUDY,
    Cell,
    Study,
    cell_results,
    is_done,
)
from benchmarks.aspen_tables import Cells, Laws, cell_metrics, curve, power_laws, study_tables
from benchmarks.markdown import markdown_section
from benchmarks.programs import write_text
from omnilearn.data.catalogue import ASPEN, JETCLASS
from omnilearn.data.layout import find_files
from omnilearn.data.selection import selected_jets
from omnilearn.data.spec import FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.generation.figures import LABELS, LOGARITHMIC
from omnilearn.generation.jet_observables import OBSERVABLES, observables
from omnilearn.generation.jet_sets import JetSet, four_momenta, read_split
from omnilearn.generation.transfer import ObservableRow, SizeCurve, identity_figure, transfer_figure
from omnilearn.plotting.distributions import AXIS_LABELS
from omnilearn.plotting.spectra import Sample, Spectrum, spectra
from omnilearn.plotting.style import class_style
from omnilearn.statistics.histograms import common_edges, read_histograms
from omnilearn.statistics.results import write_results

FIGURES = {"QCD": "figure3_QCD", "Tbqq": "figure4_Tbqq"}
CONTEXT_JETS = 20_000  # jets of each data set in figure 1, of Aspen Open Jets in figures 3 and 4
COMPARED_STRATEGIES = {"tokens_finetuned": "fine-tuned", "tokens_scratch": "from scratch"}
COLOURS = (None, "#bd1f01", "#3f90da")  # of Aspen Open Jets (the default) and the classes
IDENTITY = tuple(range(8, 13))  # columns of the identity flags, after the charge
IDENTITY_JETS = 5000  # jets whose constituents are counted by kind
PARTICLES = ("pt", "eta_rel", "phi_rel")


def summarise(selected: Sequence[Cell], flags: argparse.Namespace) -> None:
    """Write tables and figures of the cells that are done; raises UserError if none is."""
    cells = {
        cell: cell_results(flags.out / "runs" / cell.name, cell.class_name)
        for cell in selected
        if is_done(cell, flags.out)
    }
    if not cells:
        raise UserError(f"{flags.out} holds no finished cell; run: python -m benchmarks aspen")
    laws = power_laws(cells)
    text = "\n".join(map(markdown_section, study_tables(Study(str(flags.out), cells))))
    write_text(flags.out / "tables.md", text)
    write_results(flags.out / STUDY, described(cells, laws, flags))
    aspen, _ = read_split(flags.data, ASPEN, "test", CONTEXT_JETS)
    context = observables(*four_momenta(aspen), ASPEN.jet_radius)
    data_sets_figure(aspen, context, flags)
    for class_name in CLASSES:
        rows = figure_rows(cells, laws, context, class_name, flags)
        if rows:
            title = f"JetClass {class_style(JETCLASS, class_name)['label']}"
            transfer_figure(rows, flags.out / FIGURES[class_name], title)
    print(text)


def described(cells: Cells, laws: Laws, flags: argparse.Namespace) -> dict:
    """study.json: every number of the tables."""
    is_simulated = any(results["data"] == "simulated" for results in cells.values())
    return {
        "preset": flags.preset,
        "trainings": flags.repeats,
        "data": "simulated" if is_simulated else "public",
        "cells": [
            {
                "class": cell.class_name,
                "strategy": cell.strategy,
                "training_jets": cell.jets,
                "parameters": results["parameters"],
                "jets_per_second": results["jets_per_second"],
                "metrics": cell_metrics(cells, cell),
            }
            for cell, results in cells.items()
        ],
        "power_laws": [
            {
                "class": class_name,
                "strategy": strategy,
                "metric": metric,
                "exponent": law.exponent,
                "chi2_per_degree": law.chi2,
            }
            for (class_name, strategy, metric), law in laws.items()
            if np.isfinite(law.exponent.value)
        ],
    }


def data_sets_figure(aspen: JetSet, context: dict, flags: argparse.Namespace) -> None:
    """Figure 1: jets and constituents of Aspen Open Jets and of JetClass."""
    samples = {ASPEN.title: (aspen, context)}
    for class_name in CLASSES:
        jets, _ = read_split(flags.data, JETCLASS, "test", CONTEXT_JETS, class_name)
        label = f"JetClass {class_style(JETCLASS, class_name)['label']}"
        samples[label] = (jets, observables(*four_momenta(jets), JETCLASS.jet_radius))
    values = {
        label: {**particle_features(jets), **jet_observables}
        for label, (jets, jet_observables) in samples.items()
    }
    panels, labels = {}, {**LABELS, "pt": r"constituent $p_T$ [GeV]"}
    for name in (*PARTICLES, *OBSERVABLES):
        pooled = np.concatenate([sample[name] for sample in values.values()])
        edges = common_edges(pooled, name == "multiplicity")
        first, *others = [
            Sample.of_values(label, sample[name], edges, colour=colour)
            for colour, (label, sample) in zip(COLOURS, values.items(), strict=True)
        ]
        logarithmic = name in (*LOGARITHMIC, "pt")
        panels[name] = Spectrum(edges, first, others, labels[name], logarithmic)
    spectra(flags.out / "figure1_data_sets", panels, "Pre-training and target jets")
    kinds = {
        ASPEN.title: (ASPEN, ""),
        **{label: (JETCLASS, name) for label, name in zip([*samples][1:], CLASSES, strict=True)},
    }
    counts = {label: identities(flags.data, *kind) for label, kind in kinds.items()}
    means, spreads = (
        {label: measure(sample, axis=0) for label, sample in counts.items()}
        for measure in (np.mean, np.std)
    )
    names = [AXIS_LABELS[FEATURES[column]] for column in IDENTITY]
    identity_figure(means, spreads, names, flags.out / "figure1_identities")


def identities(data: Path, spec: DatasetSpec, classes: str) -> np.ndarray:
    """Number of constituents of every kind (jets, kinds) in jets of the test split."""
    paths = find_files(data, spec, "test")
    files, _ = selected_jets(paths, spec, IDENTITY_JETS, classes)
    with files:
        return files.gather(np.arange(files.num_jets))["data"][..., IDENTITY].sum(axis=1)


def particle_features(jets: JetSet) -> dict[str, np.ndarray]:
    """pT [GeV], eta_rel and phi_rel of all constituents."""
    eta_rel, phi_rel, pt_rel, mask = np.moveaxis(jets.constituents, -1, 0)
    features = (pt_rel * jets.jets[:, :1], eta_rel, phi_rel)
    return {name: values[mask > 0] for name, values in zip(PARTICLES, features, strict=True)}


def figure_rows(
    cells: Cells, laws: Laws, context: dict, class_name: str, flags: argparse.Namespace
) -> list[ObservableRow]:
    """The rows of figure 3 or 4; the samples are those of the first repeat."""
    histograms = {
        (cell.strategy, cell.jets): first_histograms(flags.out / "runs" / cell.name)[class_name]
        for cell in cells
        if cell.class_name == class_name and cell.strategy in COMPARED_STRATEGIES
    }
    if not histograms:
        return []
    histograms = dict(sorted(histograms.items(), key=lambda item: item[0][1]))
    reference = next(iter(histograms.values()))
    rows = []
    for name in OBSERVABLES:
        edges = np.array(reference[name]["edges"])
        truth = stored_sample("JetClass", reference[name], "truth")
        generated = {
            title: {
                jets: stored_sample(str(jets), histogram[name], "generated")
                for (compared, jets), histogram in histograms.items()
                if compared == strategy
            }
            for strategy, title in COMPARED_STRATEGIES.items()
        }
        curves = {}
        for kind, label in METRICS.items():
            metric = f"{kind}_{name}"
            curves[label] = [
                SizeCurve(STRATEGIES[strategy], *points, laws[class_name, strategy, metric])
                for strategy in STRATEGIES
                if (points := curve(cells, class_name, strategy, metric))[0]
            ]
        context_sample = Sample.of_values(ASPEN.title, context[name], edges)
        rows.append(ObservableRow(name, edges, truth, context_sample, generated, curves))
    return rows


def stored_sample(label: str, histogram: dict, kind: str) -> Sample:
    return Sample.of_counts(label, histogram["counts"][kind], histogram["sizes"][kind])


def first_histograms(run: Path) -> dict:
    """The histograms of a run, or of the first of its repeats."""
    return read_histograms(run) or read_histograms(sorted(run.glob("seed*"))[0])
