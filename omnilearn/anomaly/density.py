"""The density of background events as a function of dijet mass, learnt in the sidebands.

CATHODE, arXiv:2109.00546, with all constituents as arXiv:2404.16091v2: a small network generates
the kinematics of both jets at a given dijet mass, PET the constituents of a jet of given
kinematics. One run directory holds both, best.h5 and jets/best.h5, and the generated reference.
Evaluation is the closure test: events generated at the true dijet masses against true events.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from omnilearn.anomaly.bump_hunt import limits
from omnilearn.anomaly.dijet_closure import (
    closure,
    dijet_observables,
    of_all_ranks,
    stored_observables,
)
from omnilearn.anomaly.dijet_kinematics import (
    COUNTED,
    KinematicsPipeline,
    KinematicsScale,
    condition,
)
from omnilearn.anomaly.dijet_mass import FallingSpectrum
from omnilearn.anomaly.dijet_sampling import (
    LOG_REST,
    DijetSampler,
    calibration_of,
    write_calibration,
)
from omnilearn.anomaly.dijets import Dijets
from omnilearn.anomaly.recipes import DENSITY
from omnilearn.config import Config, Evaluation, Start, apart_from_epochs
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.selection import subset
from omnilearn.data.spec import JET_FEATURES, SPLITS, DatasetSpec
from omnilearn.errors import UserError
from omnilearn.fit import fit, fit_pet, fresh, make_pet
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.generation.jet_kinematics import JetObjective
from omnilearn.generation.sampling import Solver
from omnilearn.generation.task import jet_network_config
from omnilearn.log import log
from omnilearn.runs import prepare_run
from omnilearn.settings import option, without_effect
from omnilearn.training import distributed

REGIONS = ("sidebands", "signal_region")
CALIBRATED = 1024  # largest number of jets for the calibration


def density_config(config: Config, folder: Path, seed: int, flags: dict) -> Config:
    """Settings of PET in the sidebands: those of the search, then the recipe, then its flags."""
    settings = {**DENSITY[config.preset], **flags}
    if config.train_jets:
        settings["train_jets"] = config.train_jets
    return replace(config, **settings, runs=str(folder), name="density", seed=seed)


def train(
    events: Dijets,
    recorded: np.ndarray,
    config: Config,
    start: Start,
    jet_network: dict,
    solver: Solver,
    about: dict,
) -> None:
    """Train both models in the sidebands, then measure the calibration of constituents.

    recorded: events (N,) bool as `event_roles.recorded_events`; jet_network: settings of the
    network of kinematics that flags give; about: what the run records beside these.
    """
    spec, jet_config = events.spec, jet_network_config(config, jet_network)
    about = {
        **about,
        "task": "density",
        "dataset": spec.name,
        "backbone": start.path,
        "jet_epochs": jet_config.epochs,
        "jet_network": apart_from_epochs(jet_network),
    }
    pet = make_pet(spec, config, start)
    training, validation = (sidebands(events, recorded, split) for split in ("train", "val"))
    jets = single_jets(events, training, config, config.train_jets)
    data = jets, single_jets(events, validation, config)
    run = prepare_run(config, "", about)
    log.info(f"sidebands: {data[0].num_jets} training jets, {data[1].num_jets} validation jets")
    fit_pet(pet, config, data, run, about)
    train_kinematics(events, training, validation, jet_config, run / "jets", about)
    calibrate(events, validation, run, solver, config.seed)


def sidebands(events: Dijets, recorded: np.ndarray, split: str) -> np.ndarray:
    """Recorded events (N,) bool in the sidebands of a split.

    Raises UserError if there are none.
    """
    selected = recorded & events.in_sidebands & (events.split == SPLITS.index(split))
    if not selected.any():
        raise UserError(f"{events.spec.name}: no event in the sidebands of {split}")
    return selected


def single_jets(events: Dijets, selected: np.ndarray, config: Config, most: int = 0) -> Pipeline:
    """Batches of the single jets of events (N,) bool; of a random part if at `most` so many."""
    spec = events.spec
    if most:
        selected = subset(selected, -(-most // spec.jets_per_event), config.seed)
    return Pipeline(
        events.files.jets,
        spec,
        config.batch,
        *distributed.rank_and_size(),
        config.seed,
        weighted=False,
        selected=np.repeat(selected, spec.jets_per_event),
        window=4096,
    )


def train_kinematics(
    events: Dijets,
    training: np.ndarray,
    validation: np.ndarray,
    config: Config,
    run: Path,
    about: dict,
) -> None:
    """Fit the network of the kinematics of both jets of events (N,) bool, from scratch."""
    spec = events.spec
    jets = events.files.jets.kinematics().reshape(-1, spec.jets_per_event, 4)
    scale = KinematicsScale.of(jets[training], events.mass[training])
    training_data, validation_data = (
        KinematicsPipeline(
            scale.transform(jets[rows], events.mass[rows]),
            condition(events.mass[rows]),
            spec,
            config.batch,
            config.seed,
        )
        for rows in (training, validation)
    )
    sizes = {"num_classes": 2, "num_jet": 8, "max_constituents": spec.max_constituents}
    network = fresh(JetGenerator, JetGeneratorConfig(**sizes), config.seed)
    objective = JetObjective(network, {column: scale.std[column] for column in COUNTED})
    data = training_data, validation_data
    fit(objective, config, data, run, {**about, "kinematics": asdict(scale)})


def calibrate(events: Dijets, validation: np.ndarray, run: Path, solver: Solver, seed: int) -> None:
    """Write quantiles of true and generated constituents of the jets of these events (N,) bool.

    They are measured again for another solver or after more epochs.
    """
    if distributed.rank() == 0:
        sampler = DijetSampler(run, events.spec, solver, CALIBRATED // 4, seed)
        about = {**asdict(solver), "epochs": sampler.epochs}
        if sampler.calibrated_for != about:
            write_calibration(run, *measured_calibration(events, validation, sampler), about)
    distributed.barrier()


def measured_calibration(
    events: Dijets, validation: np.ndarray, sampler: DijetSampler
) -> tuple[list[float], list[float]]:
    """`calibration_of` the constituents of the first jets of these events (N,) bool."""
    rows = np.flatnonzero(np.repeat(validation, 2))[:CALIBRATED]
    true = events.files.jets.gather(rows)
    generated, _ = sampler.features(rows, np.zeros(len(rows), int), true["jet"])
    multiplicity = events.files.jets.multiplicity[rows, None]
    mask = np.arange(events.spec.max_constituents) < multiplicity
    return calibration_of(*(array[..., LOG_REST][mask] for array in (generated, true["data"])))


def sideband_fit(events: Dijets, recorded: np.ndarray) -> FallingSpectrum:
    """The falling spectrum of recorded events (N,) bool, fitted outside the signal region."""
    return FallingSpectrum.fitted(
        events.mass[recorded], events.spec.signal_region, limits(events.spec)
    )


@dataclass(frozen=True)
class DensityEvaluation(Evaluation):
    """Flags of evaluate.py for the closure test."""

    steps: int = option(Solver.steps, "steps of the solver", least=1)
    events: int = option(5000, "events per region, at most those of the test split", least=1)


EVALUATION = DensityEvaluation


def not_evaluated(run: Path, settings: DensityEvaluation) -> dict[str, str]:
    """As `tagging.task.not_evaluated`."""
    return without_effect(
        "the closure test, which samples events for the test split", ["split", "from_predictions"]
    )


def evaluate(
    run: Path, spec: DatasetSpec, config: Config, about: dict, settings: DensityEvaluation
) -> dict:
    """Closure of generated events in the sidebands and, interpolated, in the signal region."""
    events = Dijets(spec, settings.data or config.data)
    description = {
        "dataset": spec.name,
        "model": run.name,
        "data": events.files.origin,
        "backbone": about["backbone"] or "",
    }
    solver = Solver(steps=settings.steps)
    sampler = DijetSampler(run, spec, solver, settings.batch, config.seed)
    test = ~events.signal & (events.split == SPLITS.index("test"))
    columns = [spec.jet_features.index(name) for name in JET_FEATURES]
    results, spectra = {}, {}
    for region, inside in zip(REGIONS, (events.in_sidebands, events.in_signal_region), strict=True):
        rows = np.flatnonzero(test & inside)[: settings.events]
        share = np.array_split(rows, distributed.size())[distributed.rank()]
        sampled = sampler.events(share, events.mass[share])
        jet = sampled["jet"][..., columns]
        truth = stored_observables(events, rows)
        generated = of_all_ranks(dijet_observables(sampled["data"], jet, sampled["multiplicity"]))
        if distributed.rank() == 0:
            results[region], histograms = closure(truth, generated, config.seed)
            if histograms:
                spectra[region] = histograms
    return {**description, "sampler": asdict(solver), **results, "spectra": spectra}
