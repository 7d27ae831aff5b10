"""A PET of a few thousand weights on toy top jets of 24 constituents: trains in seconds."""

from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
from toy_jets import write_toy_file

from omnilearn.config import Config
from omnilearn.data.catalogue import TOP
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.reader import JetFiles
from omnilearn.model.checkpoint import model_weights
from omnilearn.model.pet import PET, PETConfig
from omnilearn.training.objective import PETObjective
from omnilearn.training.optimiser import optimiser_steps
from omnilearn.training.trainer import Trainer

SPEC = replace(TOP, max_constituents=24)
ARCHITECTURE = PETConfig(
    projection_dim=8,
    num_layers=1,
    num_heads=2,
    num_classes=2,
    max_constituents=24,
    classifier_layers=1,
    generator_layers=1,
)


def write_jets(folder: Path, **jets: int) -> Path:
    """One file of toy jets per split, e.g. train=96, val=40; returns the folder."""
    for seed, (split, num_jets) in enumerate(jets.items()):
        write_toy_file(folder / f"{split}.h5", SPEC, num_jets, seed, split=split)
    return folder


def opened(
    folder: Path, split: str, batch: int, rank: int = 0, ranks: int = 1, jets_per_epoch: int = 0
) -> Pipeline:
    """Batches of one shape, so that one graph is compiled."""
    files = JetFiles([folder / f"{split}.h5"], SPEC)
    return Pipeline(files, SPEC, batch, rank, ranks, lengths=(24,), jets_per_epoch=jets_per_epoch)


def tiny_pet(seed: int = 0) -> PET:
    keras.utils.set_random_seed(seed)
    return PET(ARCHITECTURE)


def set_scales_to_one(pet: PET) -> PET:
    """Set the scales of layers and normalisations to one, so that attention contributes."""
    for name, weight in model_weights(pet).items():
        if name.endswith("gamma"):
            weight.assign(np.ones(weight.shape))
    return pet


def tiny_trainer(run: Path, config: Config, training: Pipeline, seed: int = 0) -> Trainer:
    """A trainer of a fresh PET for the batches of this pipeline."""
    objective = PETObjective(tiny_pet(seed), config.mode)
    about = {"dataset": "top", "config": asdict(config)}
    steps = optimiser_steps(training.steps_per_epoch, config.accumulate)
    return Trainer(objective, config, steps, run, about)
