"""Small samples, without multiple interactions, which is five times faster."""

import argparse
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from omnilearn.data.catalogue import CATALOGUE
from omnilearn.data.reader import JetFiles
from preprocessing.__main__ import plan
from preprocessing.convert import convert
from simulation import jetclass
from simulation.generator_card import GeneratorCard
from simulation.plan import SPLITS, OutputFile
from simulation.runner import produce

JETS = 120  # training jets per class


def without_mpi(card: GeneratorCard, **changes) -> GeneratorCard:
    return replace(card, settings=(*card.settings, "PartonLevel:MPI = off"), **changes)


CLEAN = without_mpi(jetclass.CARD)


def simulated(
    module: ModuleType, out: Path, card: GeneratorCard | None = None, **flags: object
) -> Path:
    """The folder `out` with the files of a dataset's module for these flags."""
    files = module.files(argparse.Namespace(out=out, **flags))
    produce(card or without_mpi(module.CARD), files, seed=1, workers=1)
    return out


def converted(name: str, raw: Path, out: Path) -> dict[str, dict[str, np.ndarray]]:
    """Split -> arrays that a training reads from the converted sample in `raw`."""
    shards = import_module(f"preprocessing.{name}").shards(raw)
    convert(plan(name, shards, raw, out, seed=0), workers=1)
    return read_splits(name, out)


def read_splits(name: str, out: Path, level: str = "") -> dict[str, dict[str, np.ndarray]]:
    splits = {}
    for split in SPLITS:
        paths = sorted((out / name / split).glob("*.h5"))
        with JetFiles(paths, CATALOGUE[name], level=level) as files:
            splits[split] = files.read(0, files.num_jets)
    return splits


def jetclass_files(out: Path, train: int, val: int, test: int, per_file: int) -> list[OutputFile]:
    """The files of a JetClass sample with so many jets per class."""
    arguments = argparse.Namespace(
        out=out,
        train=train,
        val=val,
        test=test,
        share=10,
        jets_per_file=per_file,
        classes=list(jetclass.PUBLIC_NAMES),
    )
    return jetclass.files(arguments)
