"""Whole sets of generated jets against the truth: every metric of every class, and histograms."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.generation.distances import EMD_JETS
from omnilearn.generation.jet_observables import observable_metrics, observables
from omnilearn.generation.jet_sets import JetSet, four_momenta
from omnilearn.generation.metrics import generation_metrics, jetnet_package_metrics
from omnilearn.log import log
from omnilearn.statistics.histograms import counted, write_histograms
from omnilearn.statistics.results import Result

CONSTITUENT_COLUMNS = ("eta_rel", "phi_rel", "pt_rel")


def compare(
    run: Path,
    spec: DatasetSpec,
    truth: JetSet,
    sets: dict[str, JetSet],
    seed: int,
    emd_jets: int = 0,
) -> dict[str, dict[str, dict[str, Result]]]:
    """set -> class -> metric, for every class that both have; histograms go to RUN.

    Coverage and MMD are of batches of `emd_jets` (0: 1000, as published); it says so where they are
    of fewer.
    """

    def metrics(class_name, samples, wholes):
        true, generated = (sample.constituents for sample in samples)
        fewest = min(emd_jets or EMD_JETS, len(true), len(generated))
        if fewest < EMD_JETS:
            log.warning(
                f"{class_name}: coverage and MMD are of {fewest} jets, published ones of "
                f"{EMD_JETS}: not to be compared"
            )
        return {
            **generation_metrics(true, generated, seed, emd_jets),
            **jetnet_package_metrics(true, generated, class_name),
            **observable_metrics(wholes[0], wholes[1], seed),
        }

    return compared(run, spec, truth, sets, metrics)


def compare_observables(
    run: Path, spec: DatasetSpec, truth: JetSet, sets: dict[str, JetSet], seed: int
) -> dict[str, dict[str, dict[str, Result]]]:
    """As `compare`, of distributions of whole jets alone: seconds instead of minutes."""

    def metrics(_, samples, wholes):
        return observable_metrics(wholes[0], wholes[1], seed)

    return compared(run, spec, truth, sets, metrics)


def compared(
    run: Path, spec: DatasetSpec, truth: JetSet, sets: dict[str, JetSet], metrics: Callable
) -> dict[str, dict[str, dict[str, Result]]]:
    """set -> class -> what `metrics` finds of class name, both samples and their observables."""
    results: dict[str, dict] = {name: {} for name in sets}
    histograms: dict[str, dict] = {}
    for class_name, samples, wholes in classes_of(spec, truth, sets):
        for name in sets:
            results[name][class_name] = metrics(
                class_name, *([each["truth"], each[name]] for each in (samples, wholes))
            )
        histograms[class_name] = class_histograms(samples, wholes)
    write_histograms(run, histograms)
    return results


def classes_of(
    spec: DatasetSpec, truth: JetSet, sets: dict[str, JetSet]
) -> Iterator[tuple[str, dict[str, JetSet], dict[str, dict[str, np.ndarray]]]]:
    """Class, its samples ("truth" first) and their observables, where every sample has jets."""
    for label, class_name in enumerate(spec.class_names):
        samples = {"truth": truth, **sets}
        samples = {name: sample.of_class(label) for name, sample in samples.items()}
        if all(map(len, samples.values())):
            wholes = {
                name: observables(*four_momenta(sample), spec.jet_radius)
                for name, sample in samples.items()
            }
            yield class_name, samples, wholes


def class_histograms(
    samples: dict[str, JetSet], wholes: dict[str, dict[str, np.ndarray]]
) -> dict[str, dict]:
    """Observables of jets and features of constituents of one class, in bins."""
    found = {
        name: counted({key: whole[name] for key, whole in wholes.items()}, name == "multiplicity")
        for name in wholes["truth"]
    }
    for column, name in enumerate(CONSTITUENT_COLUMNS):
        features = {}
        for key, sample in samples.items():
            real = sample.constituents[sample.constituents[..., 3] > 0]
            features[key] = real[:, column]
        found[name] = counted(features)
    return found
