"""New events of two jets of given dijet masses: their kinematics, then the constituents of each.

arXiv:2109.00546 (CATHODE) with constituents. As in data, a jet is the sum of its constituents and
the two jets have exactly the dijet mass. Event i has random streams of its own, so that a reference
depends neither on ranks nor on batches.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from omnilearn.anomaly.dijet_kinematics import KinematicsScale, condition
from omnilearn.data.spec import FEATURES, DatasetSpec
from omnilearn.data.streams import JetStreams
from omnilearn.errors import UserError
from omnilearn.generation.jet_generator import JetGeneratorConfig
from omnilearn.generation.jet_sets import relative_columns
from omnilearn.generation.sampling import Sampler, Solver, prepare_folder
from omnilearn.hdf5 import COMPRESSED, atomic_file
from omnilearn.kinematics import invariant_mass, relative_features, sum_constituents, wrap_phi
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.progress import progress
from omnilearn.stored_json import read_json, write_json
from omnilearn.training import distributed
from omnilearn.training.random_streams import Stream
from omnilearn.typed import as_type

PART = 1024  # events of a file, which one rank samples in one go
ATTEMPTS = 20  # to sample an event that passes the trigger
CENTRINGS = 4  # iterations that move constituents to the pT and axis of their jet
CALIBRATION, QUANTILES = "calibration.json", 1025
MEND = "remove it, and it is measured again with: python finetune.py lhco --stage density"
LOG_REST = FEATURES.index("log_1_minus_pt_rel")


class DijetSampler(Sampler):
    """Samples events from the two models of a density run, with averaged weights."""

    def __init__(self, run: Path, spec: DatasetSpec, solver: Solver, batch_size: int, seed: int):
        super().__init__(run, spec, solver, batch_size, seed)
        record = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig).record
        self.kinematics = KinematicsScale(**record["kinematics"])
        self.calibration, self.calibrated_for = read_calibration(run)

    def dijets(self, index: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Jets (n, 2, 4) of events `index` (n,) of these dijet masses (n,), and delta phi (n,)."""
        jets, angle = np.zeros((len(index), 2, 4)), np.zeros(len(index))
        conditions, pending = condition(mass), np.arange(len(index))
        for attempt in range(ATTEMPTS):
            columns = np.empty((len(index), 8), "float32")
            for rows in self.batches(pending):
                streams = JetStreams((self.seed, Stream.DIJETS, attempt), index[rows])
                noise = streams.standard_normal((len(rows), 8), "float32")
                columns[rows] = self.solve_jets(noise, conditions[rows], index[rows])
            jets[pending], angle[pending] = self.kinematics.inverse_transform(
                columns[pending], mass[pending]
            )
            pending = pending[~self.kinematics.passing(jets[pending])]
            if not len(pending):
                break
        jets[..., 3] = np.clip(jets[..., 3], 1, self.network.config.max_constituents)
        jets[..., 0] = np.maximum(jets[..., 0], 1.0)
        return jets, angle

    def constituents(self, index: np.ndarray, label: np.ndarray, jet: np.ndarray) -> np.ndarray:
        """As `Sampler.constituents`, with pT calibrated to that of true constituents."""
        features, mask = self.features(index, label, jet)
        features[..., LOG_REST] = np.interp(features[..., LOG_REST], *self.calibration)
        return relative_columns(features, mask)

    def events(self, index: np.ndarray, mass: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays of events as in files: data (n, 2, P, 7), jet (n, 2, 5) and the others."""
        jets, angle = self.dijets(index, mass)
        count = len(index)
        flat = jets.reshape(-1, 4)
        jet_index = (2 * index[:, None] + np.arange(2)).ravel()
        label = np.zeros(2 * count, int)
        momenta, mask = consistent(self.constituents(jet_index, label, flat), flat)
        phi = np.column_stack([np.zeros(count), wrap_phi(angle)]).ravel()
        momenta[..., 2] = wrap_phi(momenta[..., 2] + phi[:, None]) * mask
        summed = sum_constituents(momenta, mask).reshape(count, 2, 4)
        # jet masses are now those of the constituents: rescale the event to its dijet mass
        scale = np.repeat(mass / invariant_mass(sum_constituents(summed)), 2)
        momenta[..., [0, 3]] *= scale[:, None, None]
        jet = sum_constituents(momenta, mask)
        features = relative_features(momenta, jet) * mask[..., None]
        multiplicity = mask.sum(axis=1)
        kinematics = np.column_stack([jet[:, :3], invariant_mass(jet), multiplicity])
        hardest_first = np.argsort(-kinematics[:, 0].reshape(count, 2), axis=1, kind="stable")
        arrays = {
            "data": features.astype(np.float32),
            "jet": kinematics.astype(np.float32),
            "multiplicity": multiplicity.astype(np.int32),
        }
        rows = 2 * np.arange(count)[:, None] + hardest_first
        return {
            **{name: array[rows] for name, array in arrays.items()},
            "observables": mass[:, None].astype(np.float32),
            "pid": np.zeros(count, np.int8),
            "weight": np.ones(count, np.float32),
        }


def calibration_of(generated: np.ndarray, true: np.ndarray) -> tuple[list[float], list[float]]:
    """Quantiles of log(1 - pt_rel) of generated and of true constituents of the same jets.

    Most constituents carry a thousandth of the pT of their jet, which a generator does not resolve
    in this feature. The map of one set of quantiles to the other keeps the order of the
    constituents and gives them the true spectrum.
    """
    levels = (1 - np.cos(np.pi * np.linspace(0, 1, QUANTILES))) / 2  # denser at both ends
    return np.quantile(generated, levels).tolist(), np.quantile(true, levels).tolist()


def write_calibration(run: Path, generated: list[float], true: list[float], about: dict) -> None:
    """Write the quantiles; about: solver and epochs of the generator that they are of."""
    write_json(run / CALIBRATION, {"generated": generated, "true": true, "about": about})


def read_calibration(run: Path) -> tuple[tuple[list[float], list[float]], dict | None]:
    """The quantiles that `write_calibration` wrote, and their `about`.

    Without a file they are those of the identity, and None. Raises UserError for a damaged one.
    """
    path = run / CALIBRATION
    if not path.is_file():
        return ([-1e3, 1e3], [-1e3, 1e3]), None
    stored = read_json(path, "calibration of constituents", MEND)
    try:
        generated, true = (
            as_type(list[float], stored.get(key), key) for key in ("generated", "true")
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}; {MEND}") from error
    return (generated, true), stored.get("about")


def consistent(columns: np.ndarray, jets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Massless momenta (n, P, 4) pt, eta, phi, energy, by falling pT, and their mask (n, P).

    Their sum has the pT and eta of jets (n, 4), at phi = 0. columns (n, P, 4): eta_rel, phi_rel,
    pt_rel, mask.
    """
    mask = columns[..., 3] > 0
    order = np.argsort(-columns[..., 2] * mask, axis=1, kind="stable")
    eta, phi, pt = (
        np.take_along_axis(columns[..., index].astype(np.float64), order, axis=1)
        for index in range(3)
    )
    mask = np.take_along_axis(mask, order, axis=1)
    eta, pt = eta + jets[:, 1:2], pt * jets[:, :1] * mask
    for _ in range(CENTRINGS):
        momenta = np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=-1) * mask[..., None]
        jet = sum_constituents(momenta, mask)
        pt = pt * (jets[:, 0] / np.maximum(jet[:, 0], 1e-6))[:, None]
        eta = eta + (jets[:, 1] - jet[:, 1])[:, None]
        phi = wrap_phi(phi - jet[:, 2:3])
    return np.stack([pt, eta, phi, pt * np.cosh(eta)], axis=-1) * mask[..., None], mask


def reference_files(folder: Path, events: int) -> list[Path]:
    """Paths of the files of so many generated events, which may not exist yet."""
    return [folder / f"part{index:05d}.hdf5" for index in range(-(-events // PART))]


def sampled_reference(
    folder: Path,
    sampler: DijetSampler,
    masses_of: Callable[[np.ndarray], np.ndarray],
    events: int,
    about: dict,
    first: int = 0,
) -> list[Path]:
    """Write files of events; masses_of: uniform numbers (n,) in [0, 1) -> dijet masses (n,) [GeV].

    first: number of the first event; events of other numbers have other random streams. Existing
    files are kept, unless they were sampled with other settings or another `about`, which describes
    the masses.
    """
    about = {**asdict(sampler.solver), "seed": sampler.seed, "epochs": sampler.epochs, **about}
    rank, ranks = distributed.rank_and_size()
    if rank == 0:
        prepare_folder(folder, about)
    distributed.barrier()
    paths = reference_files(folder, events)
    with progress(events // ranks, "sampling the reference", rank=rank) as bar:
        for part in range(rank, len(paths), ranks):
            # files are always full, so that files can be added to a reference
            index = first + np.arange(part * PART, (part + 1) * PART)
            if not paths[part].is_file():
                streams = JetStreams((sampler.seed, Stream.DIJET_MASSES), index)
                mass = masses_of(streams.random((PART, 1))[:, 0])
                write_events(paths[part], sampler.events(index, mass), sampler.spec, about)
            bar.update(PART)
    distributed.barrier()
    return paths


def write_events(path: Path, arrays: dict[str, np.ndarray], spec: DatasetSpec, about: dict) -> None:
    """Write events as a file of the suite."""
    with atomic_file(path) as file:
        for key, array in arrays.items():
            chunks = (min(256, len(array)), *array.shape[1:])
            file.create_dataset(key, data=array, chunks=chunks, **COMPRESSED)
        file.attrs["classes"] = list(spec.class_names)
        file.attrs["features"] = list(FEATURES[: spec.num_features])
        file.attrs["about"] = json.dumps(about, sort_keys=True)
