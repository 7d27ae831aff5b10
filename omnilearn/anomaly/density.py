"""The density of background events as a function of dijet mass, learnt in the sidebands.

CATHODE, arXiv:2109.00546, with every constituent as arXiv:2404.16091v2: a small network learns the
kinematics of both jets at a given dijet mass, PET the constituents of a jet of given kinematics.
One run directory holds both: best.h5 and jets/best.h5, and the generated reference. Evaluation is
the closure test: events at the true dijet masses against true events, region by region.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np

from omnilearn.anomaly.bump_hunt import limits
from omnilearn.anomaly.dijet_closure import closure, dijet_observables
from omnilearn.anomaly.dijet_kinematics import (
    COUNTED,
    KinematicsPipeline,
    KinematicsScale,
    condition,
)
from omnilearn.anomaly.dijet_mass import FallingSpectrum
from omnilearn.anomaly.dijet_sampling import (
    CALIBRATION,
    LOG_REST,
    DijetSampler,
    calibration_of,
    write_calibration,
)
from omnilearn.anomaly.dijets import SPLITS, Dijets
from omnilearn.config import Config
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.selection import drawn
from omnilearn.data.spec import JET_FEATURES, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.generation.jet_kinematics import JetObjective
from omnilearn.generation.sampling import Solver
from omnilearn.log import log
from omnilearn.recipes import DENSITY, JET_NETWORK
from omnilearn.runs import prepare_run
from omnilearn.tagging import task as tagging
from omnilearn.training import distributed
from omnilearn.training.trainer import Trainer, optimiser_steps

REGIONS = ("sidebands", "signal_region")
CALIBRATED = 1024  # jets at most


def density_config(config: Config, folder: Path, seed: int, arguments) -> tuple[Config, Config]:
    """Settings of the two trainings: of PET, and of the network of kinematics."""
    settings = {**DENSITY[config.preset]}
    if config.train_jets:
        settings["train_jets"] = config.train_jets
    for name in ("epochs", "batch", "lr"):
        settings[name] = getattr(arguments, f"density_{name}") or settings[name]
    jets = {**JET_NETWORK[config.preset]}
    if arguments.jet_epochs:
        jets["epochs"] = arguments.jet_epochs
    ours = replace(config, **settings, runs=str(folder), name="density", seed=seed)
    return ours, replace(ours, **jets)


def train(events: Dijets, config: Config, jet_config: Config, arguments) -> None:
    """Both trainings in the sidebands, one after the other, and what is measured after them."""
    spec = events.spec
    backbone, released = arguments.backbone, arguments.released_weights
    about = {
        "task": "density",
        "dataset": spec.name,
        "backbone": backbone or released or None,
        "jet_epochs": jet_config.epochs,
    }
    pet, report = tagging.make_pet(spec, config, backbone, released)
    data = single_jets(events, config, "train"), single_jets(events, config, "val")
    run = prepare_run(config, "", about)
    if report:
        log.info(report)
    log.info(f"sidebands: {data[0].num_jets} training jets, {data[1].num_jets} validation jets")
    tagging.train(data, pet, config, run, about)
    train_kinematics(events, jet_config, run / "jets", about)
    calibrate(events, run, Solver(steps=arguments.sampling_steps), config.seed)


def sidebands(events: Dijets, split: str, most: int = 0, seed: int = 0) -> np.ndarray:
    """Background events (N,) bool of a split outside the signal region; `most`, drawn, if given."""
    chosen = events.in_sidebands & ~events.signal & (events.split == SPLITS.index(split))
    if not chosen.any():
        raise UserError(f"{events.spec.name}: no background event in the sidebands of {split}")
    return drawn(chosen, most, seed) if most else chosen


def single_jets(events: Dijets, config: Config, split: str) -> Pipeline:
    """Batches of the jets of sideband events, one by one."""
    spec = events.spec
    most = -(-config.train_jets // spec.jets_per_event) if split == "train" else 0
    chosen = np.repeat(sidebands(events, split, most, config.seed), spec.jets_per_event)
    return Pipeline(
        events.files.jets,
        spec,
        config.batch,
        distributed.rank(),
        distributed.size(),
        config.seed,
        weighted=False,
        selected=chosen,
        window=4096,
    )


def train_kinematics(events: Dijets, config: Config, run: Path, about: dict) -> None:
    """Fit the network of the kinematics of both jets, always from scratch."""
    spec = events.spec
    jets = events.files.jets.kinematics().reshape(-1, spec.jets_per_event, 4)
    chosen = {split: sidebands(events, split) for split in ("train", "val")}
    training = chosen["train"]
    scale = KinematicsScale.of(jets[training], events.mass[training])
    pipelines = [
        KinematicsPipeline(
            scale.there(jets[rows], events.mass[rows]),
            condition(events.mass[rows]),
            spec,
            config.batch,
            config.seed,
        )
        for rows in chosen.values()
    ]
    keras.utils.set_random_seed(config.seed)
    network = JetGenerator(
        JetGeneratorConfig(num_classes=2, num_jet=8, max_constituents=spec.max_constituents)
    )
    about = {**about, "config": asdict(config), "kinematics": asdict(scale)}
    steps = optimiser_steps(pipelines[0].steps_per_epoch, config.accumulate)
    objective = JetObjective(network, {column: scale.std[column] for column in COUNTED})
    Trainer(objective, config, steps, run, about).fit(*pipelines)


def calibrate(events: Dijets, run: Path, solver: Solver, seed: int) -> None:
    """Compare constituents of validation jets in the sidebands with generated ones of such jets."""
    if distributed.rank() == 0 and not (run / CALIBRATION).is_file():
        sampler = DijetSampler(run, events.spec, solver, CALIBRATED // 4, seed)
        rows = np.flatnonzero(np.repeat(sidebands(events, "val"), 2))[:CALIBRATED]
        true = events.files.jets.gather(rows)
        label = np.zeros(len(rows), int)
        generated, _ = sampler.features(rows, label, true["jet"])
        filled = events.files.jets.multiplicity[rows, None]
        real = np.arange(events.spec.max_constituents) < filled
        # as many of each, of the same jets
        pair = (array[..., LOG_REST][real] for array in (generated, true["data"]))
        write_calibration(run, *calibration_of(*pair))
    distributed.barrier()


def sideband_fit(events: Dijets) -> FallingSpectrum:
    """The falling spectrum of all background events that are not for testing."""
    chosen = events.natural & ~events.signal & (events.split != SPLITS.index("test"))
    return FallingSpectrum.fitted(
        events.mass[chosen], events.spec.signal_region, limits(events.spec)
    )


def true_events(events: Dijets, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Events of the files with data (n, 2, P, 7), jet (n, 2, 4) and multiplicity (n, 2)."""
    return {**events.files.gather(rows), "multiplicity": events.files.filled[rows]}


def generated_events(
    sampler: DijetSampler, events: Dijets, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """As many events of the same dijet masses, in the same arrays."""
    made = sampler.events(rows, events.mass[rows])
    columns = [events.spec.jet_features.index(name) for name in JET_FEATURES]
    return {**made, "jet": made["jet"][..., columns]}


def add_evaluation_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of evaluate.py for the closure test."""
    parser.add_argument(
        "--steps", type=int, default=Solver.steps, help="steps of the solver (default: %(default)s)"
    )
    parser.add_argument(
        "--events",
        type=int,
        default=5000,
        help="events per region, at most those of the test split (default: %(default)s)",
    )


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, arguments: argparse.Namespace
) -> dict:
    """Generated events against true ones, in the sidebands and where the model interpolates."""
    if arguments.steps < 1 or arguments.events < 1:
        raise UserError(
            f"--steps is {arguments.steps}, --events {arguments.events}; expected 1 or more"
        )
    events = Dijets(spec, arguments.data or config.data)
    described = {
        "dataset": spec.name,
        "model": run.name,
        "data": events.files.origin,
        "backbone": about["backbone"] or "",
    }
    solver = Solver(steps=arguments.steps)
    sampler = DijetSampler(run, spec, solver, arguments.batch, config.seed)
    test = ~events.signal & (events.split == SPLITS.index("test"))
    results, spectra = {}, {}
    for region, inside in zip(REGIONS, (events.in_sidebands, events.in_signal_region), strict=True):
        rows = np.flatnonzero(test & inside)[: arguments.events]
        share = np.array_split(rows, distributed.size())[distributed.rank()]
        pair = []
        for made in (true_events(events, share), generated_events(sampler, events, share)):
            found = dijet_observables(made["data"], made["jet"], made["multiplicity"])
            pair.append({name: distributed.gathered(values) for name, values in found.items()})
        if distributed.rank() == 0:
            truth, generated = pair
            results[region], spectra[region] = closure(truth, generated, config.seed)
    return {**described, "sampler": asdict(solver), **results, "spectra": spectra}
