"""Generated sets of jets against the truth: metrics and histograms of every class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from omnilearn.data.spec import DatasetSpec
from omnilearn.generation.distances import EMD_JETS
from omnilearn.generation.jet_observables import observable_metrics, observables
from omnilearn.generation.jet_sets import JetSet, four_momenta
from omnilearn.generation.metrics import generation_metrics, jetnet_package_metrics
from omnilearn.log import log
from omnilearn.statistics.histograms import histogram, write_histograms
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
    """set -> class -> metric, for every class of which all samples have jets; writes histograms.

    Coverage and MMD use batches of `emd_jets` (0: 1000, as published). Smaller batches are logged.
    """

    def distances(class_name: str, true_jets: JetSet, new_jets: JetSet) -> dict[str, Result]:
        true, generated = true_jets.constituents, new_jets.constituents
        batch = min(emd_jets or EMD_JETS, len(true), len(generated))
        if batch < EMD_JETS:
            log.warning(
                f"{class_name}: coverage and MMD use {batch} jets and cannot be compared with "
                f"published ones, which use {EMD_JETS}"
            )
        return {
            **generation_metrics(true, generated, seed, emd_jets),
            **jetnet_package_metrics(true, generated, class_name),
        }

    return compare_observables(run, spec, truth, sets, seed, distances)


def compare_observables(
    run: Path,
    spec: DatasetSpec,
    truth: JetSet,
    sets: dict[str, JetSet],
    seed: int,
    more: Callable[[str, JetSet, JetSet], dict] = lambda *_: {},
) -> dict[str, dict[str, dict[str, Result]]]:
    """As `compare`, with the observables of jets alone: it takes seconds instead of minutes.

    more: (class name, truth, set) -> further metrics of a class.
    """
    results: dict[str, dict] = {name: {} for name in sets}
    histograms: dict[str, dict] = {}
    for label, class_name in enumerate(spec.class_names):
        samples = {
            name: sample.of_class(label) for name, sample in {"truth": truth, **sets}.items()
        }
        if not all(map(len, samples.values())):
            continue
        features = {
            name: observables(*four_momenta(sample), spec.jet_radius)
            for name, sample in samples.items()
        }
        for name in sets:
            results[name][class_name] = {
                **more(class_name, samples["truth"], samples[name]),
                **observable_metrics(features["truth"], features[name], seed),
            }
        histograms[class_name] = class_histograms(samples, features)
    write_histograms(run, histograms)
    return results


def class_histograms(
    samples: dict[str, JetSet], features: dict[str, dict[str, np.ndarray]]
) -> dict[str, dict]:
    """Binned observables of jets and features of constituents, of the samples of one class."""
    histograms = {
        name: histogram(
            {sample: values[name] for sample, values in features.items()}, name == "multiplicity"
        )
        for name in features["truth"]
    }
    for column, name in enumerate(CONSTITUENT_COLUMNS):
        histograms[name] = histogram(
            {
                key: sample.constituents[sample.constituents[..., 3] > 0][:, column]
                for key, sample in samples.items()
            }
        )
    return histograms
