"""Unfolding a dataset with two levels: OmniFold over all constituents, or its first step alone.

arXiv:1911.09107; with PET arXiv:2404.16091v2. A run directory holds a folder per step with its
classifier and weights, iterations.json (when to stop) and weights.h5, the result.
"""

import argparse
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from omnilearn.atomic import atomic_path
from omnilearn.config import Config, configured
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.recipes import DEEPSETS, DEEPSETS_UNFOLDING, UNFOLDING
from omnilearn.runs import prepare_run, revision, versions
from omnilearn.statistics.results import write_results
from omnilearn.statistics.uncertainty import effective_size
from omnilearn.tagging.task import make_pet
from omnilearn.training import distributed
from omnilearn.unfolding.evaluation import evaluate
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.omnifold import DETECTOR, PARTICLE, Sample, pulled, unfold
from omnilearn.unfolding.reweighting import NetworkFit, deepsets
from omnilearn.unfolding.spectrum_distances import BINNING, Spectrum, chi2_per_bin
from omnilearn.unfolding.step_files import StepFiles
from omnilearn.unfolding.unfolded_weights import write_weights

__all__ = ["add_flags", "evaluate", "finetune"]


@dataclass(frozen=True)
class Options:
    """How to unfold; what training is told stands in Config."""

    step: str = "unfold"
    iterations: int = 5
    classifier: str = "pet"
    ensemble: int = 1
    replicas: int = 0
    misses: str = "average"
    clip: float = 100.0
    later_epochs: int = 20
    later_lr: float = 1e-6

    def __post_init__(self):
        least_of = {"iterations": 1, "ensemble": 1, "replicas": 0, "later_epochs": 1}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}; expected "
                                f"{least} or more")  # fmt: skip
        if not self.clip > 1:
            raise UserError(f"--clip is {self.clip:g}; ratios are kept between 1 / clip and clip, "
                            "so a number above 1 is expected")  # fmt: skip
        if not self.later_lr > 0:
            raise UserError(f"--later-lr is {self.later_lr:g}; expected above zero")


HELP = {
    "step": ("unfold: the whole algorithm; reweight: one classifier at detector level",
             ("unfold", "reweight")),
    "iterations": ("iterations of two steps each", None),
    "classifier": ("network that tells the samples apart", ("pet", "deepsets")),
    "ensemble": ("trainings per step, whose mean ratio counts", None),
    "replicas": ("repetitions with Poisson weights on the data, shared among the ranks", None),
    "misses": ("weights of events that one level misses: average as arXiv:2105.04448, or prior",
               ("average", "prior")),
    "clip": ("likelihood ratios are kept between 1 / clip and clip", None),
    "later_epochs": ("epochs at most, from the second iteration on", None),
    "later_lr": ("learning rate from the second iteration on", None),
}  # fmt: skip


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag per option; absent ones leave the recipe as it is."""
    for item in fields(Options):
        text, choices = HELP[item.name]
        parser.add_argument(
            f"--{item.name.replace('_', '-')}",
            type=type(item.default),
            choices=choices,
            help=f"{text} (recipe, else {item.default!r})",
        )


def finetune(spec: DatasetSpec, config: Config, name: str, arguments: argparse.Namespace) -> None:
    """One unfolding, in the run directory `name` unless the configuration has another."""
    given = {item.name: getattr(arguments, item.name) for item in fields(Options)}
    given = {key: value for key, value in given.items() if value is not None}
    settings = UNFOLDING[config.preset]
    if given.get("classifier") == "deepsets":
        settings = {**settings, **DEEPSETS_UNFOLDING[config.preset]}
        config = configured({**asdict(config), **DEEPSETS[config.preset]}, arguments)
    options = Options(**{**settings, **given})
    start = arguments.backbone or arguments.released_weights
    if config.jets_per_epoch:
        raise UserError("--jets-per-epoch is for tagging, generation and pre-training; an epoch of "
                        "an unfolding is a pass")  # fmt: skip
    if not spec.levels:
        raise UserError(f"{spec.name} has one level; unfolding needs detector and particle level")
    if options.classifier == "deepsets" and start:
        raise UserError(f"--classifier deepsets is trained from scratch; leave out {start}")
    events = Events(spec, config.data, config.train_jets, config.seed)

    def network(seed: int):
        seeded = replace(config, seed=seed)
        if options.classifier == "deepsets":
            return deepsets(events, seeded)
        return make_pet(spec, seeded, arguments.backbone, arguments.released_weights)[0]

    about = {"task": "unfolding", "dataset": spec.name, "backbone": start or None}
    about |= asdict(options)
    later = replace(config, epochs=options.later_epochs, lr=options.later_lr, warmup_epochs=0)
    fit = NetworkFit(events, network, Path(config.runs), config, later, about, options.ensemble,
                     options.clip)  # fmt: skip
    run = prepare_run(config, name, about)
    if distributed.rank() == 0:
        kinds = (events.simulated.sum(), (~events.simulated).sum())
        print(f"{spec.name}: {kinds[0]} simulated events, {kinds[1]} of the data", flush=True)
    weight, sample = unfolded(events, fit, run, options, np.ones(data_events(events)))
    replicas = bootstrapped(events, fit, run, options, config.seed)
    if distributed.rank() == 0:
        write_result(run, events, sample, weight, replicas, {**about, "config": asdict(config)})
        first = run / "iteration1_step1" / f"seed{config.seed}" / "history.jsonl"
        with atomic_path(run / "history.jsonl") as temporary:
            temporary.write_text(first.read_text())
        print(f"weights of {len(weight)} simulated events: {run / 'weights.h5'}", flush=True)
    distributed.barrier()


def data_events(events: Events) -> int:
    return int((~events.simulated).sum())


def sample_of(events: Events, counts: np.ndarray) -> Sample:
    """What unfolding is told of the events, those of the data counted `counts` (D,) times."""
    simulated = events.simulated
    reco, gen = events.passes[DETECTOR], events.passes[PARTICLE]
    return Sample(
        weight=events.weight[simulated],
        passes_reco=reco[simulated],
        passes_gen=gen[simulated],
        data_weight=(events.weight * reco)[~simulated] * counts,
    )


def unfolded(
    events: Events, fit: NetworkFit, run: Path, options: Options, counts: np.ndarray
) -> tuple[np.ndarray, Sample]:
    """Weights of the simulated events (S,), every step left in `run`, and what was unfolded.

    Of `--step reweight` they are the pull weights of the first step, which are the ratios.
    """
    sample, kept = sample_of(events, counts), StepFiles(run, len(events.simulated))
    fit.run = run
    ones = np.ones(len(sample.weight))
    if options.step == "reweight":
        name = "iteration1_step1"
        if name not in kept:
            kept[name] = pulled(sample, ones, fit, name, "prior")
        return kept[name], sample
    report, before = [], ones
    for push in unfold(sample, fit, options.iterations, kept, options.misses):
        report.append(iteration_report(events, sample, push, before))
        before = push
        if distributed.rank() == 0:
            write_results(run / "iterations.json", {"iterations": report})
            print(f"iteration {len(report)}: weights changed by {report[-1]['change']:.4f}, chi2 "
                  "per bin at detector level "
                  + ", ".join(f"{key} {one.value:.2f}" for key, one in report[-1]["chi2"].items()),
                  flush=True)  # fmt: skip
    distributed.barrier()
    return before, sample


def iteration_report(events: Events, sample: Sample, push: np.ndarray, before: np.ndarray) -> dict:
    """When to stop: rms change of the weights, and chi2 of every observable at detector level.

    Detector level is what is known of data. Iterating further is of no use once neither falls.
    """
    weight = sample.weight * sample.passes_gen
    chi2 = {}
    for name, edges in BINNING.items():
        values = events.observable(DETECTOR, name)
        spectra = [
            Spectrum.of(values[kind], weights, edges)
            for kind, weights in (
                (events.simulated, sample.weight * sample.passes_reco * push),
                (~events.simulated, sample.data_weight),
            )
        ]
        chi2[name] = chi2_per_bin(*spectra)
    change = np.sqrt(np.average((push - before) ** 2, weights=np.abs(weight)))
    return {
        "change": float(change / np.average(push, weights=weight)),
        "effective_size": effective_size(weight * push),
        "chi2": chi2,
    }


def bootstrapped(
    events: Events, fit: NetworkFit, run: Path, options: Options, seed: int
) -> np.ndarray:
    """Weights (R, S) of replicas of the data: the whole unfolding, each by one rank alone."""
    for number in range(distributed.rank(), options.replicas, distributed.size()):
        with distributed.alone():
            rng = np.random.default_rng((seed, number))
            counts = rng.poisson(1.0, data_events(events)).astype(float)
            unfolded(events, fit, run / f"replica{number}", options, counts)
    distributed.barrier()
    whole = options.step == "unfold"
    last = f"iteration{options.iterations}_step2" if whole else "iteration1_step1"
    found = [
        StepFiles(run / f"replica{number}", len(events.simulated))[last]
        for number in range(options.replicas)
    ]
    return np.reshape(found, (options.replicas, int(events.simulated.sum())))


def write_result(
    run: Path, events: Events, sample: Sample, weight: np.ndarray, replicas: np.ndarray, about: dict
) -> None:
    """weights.h5: the weights, where their events stand, and all that made them."""
    simulated = events.simulated
    first = {split: files[DETECTOR] for split, files in events.files.items()}
    rows, owners, inputs = [], [], []
    for files in first.values():
        for path, own in files.rows_per_file():
            owners.append(np.full(len(own), len(inputs), np.int16))
            rows.append(np.int32(own))
            inputs.append({"file": str(path), "events": len(own)})
    arrays = {
        "weight": weight,
        "event_weight": sample.weight,
        "passes_reco": sample.passes_reco,
        "passes_gen": sample.passes_gen,
        "file": np.concatenate(owners)[simulated],
        "row": np.concatenate(rows)[simulated],
    }
    if len(replicas):
        arrays["replicas"] = np.float32(replicas)
    weighted = sample.weight * sample.passes_gen
    level = DETECTOR if about["step"] == "reweight" else PARTICLE
    described = {
        **{key: value for key, value in about.items() if value is not None},
        "inputs": inputs,
        "origin": events.origin,
        "level": level,
        "versions": versions(),
        "revision": revision(),
        "normalisation": sample.normalisation,
        "mean_weight": float(np.average(weight, weights=weighted)),
        "effective_size": effective_size(weighted * weight),
    }
    write_weights(run / "weights.h5", arrays, described)
