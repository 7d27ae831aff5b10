"""A small file of every format of the suite, made by its writer, and its reader."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from omnilearn.anomaly.dijet_sampling import CALIBRATION, read_calibration, write_calibration
from omnilearn.config import Config, read_config
from omnilearn.data.catalogue import dataset
from omnilearn.data.declared import read_declaration
from omnilearn.data.reader import JetFiles
from omnilearn.data.spec import DatasetSpec
from omnilearn.generation.jet_sets import JetSet, read_set, write_set
from omnilearn.generation.sampling import read_part
from omnilearn.history import read_history, write_history
from omnilearn.model.checkpoint import load_checkpoint, save_checkpoint
from omnilearn.model.pet import PETConfig
from omnilearn.runs import write_description
from omnilearn.statistics.histograms import read_histograms, write_histograms
from omnilearn.statistics.results import Result, read_results, write_results
from omnilearn.tagging.predictions import read_predictions, write_predictions
from omnilearn.tokens.token_files import read_tokens, write_tokens
from omnilearn.training.resume import Position, position_of
from omnilearn.unfolding.step_files import StepFiles
from omnilearn.unfolding.unfolded_weights import ARRAYS, read_weights, write_weights
from preprocessing.own import write_dataset

JETS = 60
FileAndReader = tuple[Path, Callable[[Path], object]]


def toy_constituents(rng: np.random.Generator) -> np.ndarray:
    """Massless four-momenta (jets, 8, 4) pt, eta, phi, energy; GeV, radians."""
    pt, eta, phi = rng.uniform(20, 80, (JETS, 8)), *rng.normal(0, 0.2, (2, JETS, 8))
    return np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=-1)


def own_dataset(folder: Path) -> tuple[Path, list[Path]]:
    """The declaration and the files of a user's data set."""
    rng = np.random.default_rng(0)
    *files, path = write_dataset(
        folder,
        "mine",
        toy_constituents(rng),
        rng.integers(0, 2, JETS),
        classes=("QCD", "top"),
        jet_radius=0.8,
        jet_pt_range=(100.0, 1000.0),
        max_constituents=11,
        weight=rng.uniform(0.5, 2, JETS),
    )
    return path, files


def jets(folder: Path) -> FileAndReader:
    path, files = own_dataset(folder)
    spec = read_declaration(path)
    return files[0], lambda path: all_jets(path, spec)


def all_jets(path: Path, spec: DatasetSpec) -> dict:
    """All that a training may read of a file."""
    with JetFiles([path], spec) as files:
        return {
            **files.read(0, files.num_jets),
            "multiplicity": files.multiplicity,
            "weights": files.weights(),
            "origin": files.origin,
        }


def declaration(folder: Path) -> FileAndReader:
    return own_dataset(folder)[0], read_declaration


def predictions(folder: Path) -> FileAndReader:
    rng, path = np.random.default_rng(1), folder / "predictions.h5"
    arrays = {
        "logits": rng.normal(size=(JETS, 2)).astype("f4"),
        "label": rng.integers(0, 2, JETS),
        "weight": np.ones(JETS, "f4"),
        "index": np.arange(JETS),
    }
    write_predictions(path, arrays, {"dataset": "top", "model": "toy", "split": "test"})
    return path, read_predictions


def step_weights(folder: Path) -> FileAndReader:
    steps = StepFiles(folder, JETS, "")
    steps["iteration1_step1"] = np.random.default_rng(2).uniform(0.5, 2, JETS)
    return steps.path("iteration1_step1"), lambda _: steps["iteration1_step1"]


def unfolded_weights(folder: Path) -> FileAndReader:
    rng, path = np.random.default_rng(3), folder / "weights.h5"
    about = {"dataset": "omnifold", "config": {"seed": 0}, "effective_size": 40.0}
    write_weights(path, {name: rng.uniform(0, 2, JETS) for name in ARRAYS}, about)
    return path, read_weights


def tokens(folder: Path) -> FileAndReader:
    path, codes = folder / "tokens.h5", np.random.default_rng(4).integers(0, 64, (JETS, 8))
    write_tokens(path, codes, np.arange(JETS), "f" * 64, 64, {"split": "test"})
    return path, lambda path: read_tokens(path, "f" * 64, 64)


def generated(folder: Path) -> FileAndReader:
    rng, spec = np.random.default_rng(5), dataset("jetnet30")
    jet_set = JetSet(
        rng.normal(size=(JETS, 30, 4)).astype("f4"),
        rng.normal(size=(JETS, 4)).astype("f4"),
        np.arange(JETS) % 5,
    )
    write_set(folder, jet_set, spec, {"steps": 20})
    return folder / "g.hdf5", lambda path: read_set(path.parent, spec)


def part(folder: Path) -> FileAndReader:
    rng, path = np.random.default_rng(8), folder / "part0.npz"
    np.savez(
        path,
        constituents=rng.normal(size=(JETS, 30, 4)).astype("f4"),
        jets=rng.normal(size=(JETS, 4)).astype("f4"),
        label=np.arange(JETS) % 5,
    )
    return path, read_part


def position() -> Position:
    lines = [
        {
            "epoch": epoch,
            "steps": 10,
            "jets": 2560,
            "seconds": 12.345 + epoch,
            "training": {"loss": 0.5 / epoch},
            "validation": {"loss": 0.6 / epoch},
        }
        for epoch in range(1, 6)
    ]
    return Position(5, 0, 0.12, 5, history=lines)


def checkpoint(folder: Path) -> FileAndReader:
    rng, path = np.random.default_rng(6), folder / "last.h5"
    weights = {
        "body.kernel": rng.normal(size=(16, 16)).astype("f4"),
        "body.bias": rng.normal(size=16).astype("f4"),
    }
    config = PETConfig(projection_dim=16, num_layers=2)
    record = {"class_names": ["QCD", "top"], "position": position().as_json(), "ranks": 1}
    save_checkpoint(path, config, weights, record, weights, {"0000": np.array(3)})

    def read(path: Path) -> list:
        checkpoint = load_checkpoint(path)
        return [vars(checkpoint), position_of(checkpoint)]

    return path, read


def configuration(folder: Path) -> FileAndReader:
    write_description(folder, Config(data="data"), {"task": "tagging", "dataset": "top"})
    return folder / "config.json", read_config


def history(folder: Path) -> FileAndReader:
    write_history(folder, position().history)
    return folder / "history.jsonl", lambda path: read_history(path.parent)


def results(folder: Path) -> FileAndReader:
    path, auc = folder / "results.json", Result(0.98, 0.002, 40_000)
    curves = {"top": {"rejection": [1.0, 12.5, 310.25]}}
    write_results(path, {"dataset": "top", "auc": auc, "curves": curves})
    return path, read_results


def iterations(folder: Path) -> FileAndReader:
    path = folder / "iterations.json"
    write_results(path, {"iterations": [{"step": k, "distance": 0.5 / k} for k in (1, 2, 3)]})
    return path, read_results


def histograms(folder: Path) -> FileAndReader:
    counts = {"truth": [5, 7, 3], "generated": [4, 8, 3]}
    write_histograms(folder, {"g": {"mass": {"edges": [0.0, 0.1, 0.2, 0.3], "counts": counts}}})
    return folder / "histograms.json", lambda path: read_histograms(path.parent)


def calibration(folder: Path) -> FileAndReader:
    write_calibration(folder, [0.5], [-3.25, 1.5], {})
    return folder / CALIBRATION, lambda path: read_calibration(path.parent)


OWN: dict[str, Callable[[Path], FileAndReader]] = {
    "preprocessed jets": jets,
    "dataset.json": declaration,
    "predictions.h5": predictions,
    "weights of a step": step_weights,
    "unfolded weights": unfolded_weights,
    "tokens.h5": tokens,
    "generated jets": generated,
    "part of generated jets": part,
    "checkpoint": checkpoint,
    "config.json": configuration,
    "history.jsonl": history,
    "results.json": results,
    "iterations.json": iterations,
    "histograms.json": histograms,
    "calibration.json": calibration,
}
