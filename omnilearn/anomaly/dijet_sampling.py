"""New events of two jets of given dijet masses: their kinematics, then the constituents of each.

arXiv:2109.00546 (CATHODE) with constituents. What holds for every event of the data holds here:
a jet is the sum of its constituents, and the two have the dijet mass exactly. Event i has random
streams of its own, so a reference depends neither on ranks nor on batches.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from omnilearn.anomaly.dijet_kinematics import KinematicsScale, condition
from omnilearn.anomaly.dijet_mass import FallingSpectrum
from omnilearn.data.spec import FEATURES, DatasetSpec
from omnilearn.data.streams import JetStreams
from omnilearn.errors import UserError
from omnilearn.generation.jet_generator import JetGeneratorConfig
from omnilearn.generation.jet_sets import relative_columns
from omnilearn.generation.sampling import Sampler, Solver, begin_anew, column
from omnilearn.hdf5 import COMPRESSED, atomic_file
from omnilearn.kinematics import invariant_mass, relative_features, sum_constituents, wrap_phi
from omnilearn.model.checkpoint import load_checkpoint
from omnilearn.progress import progress
from omnilearn.stored_json import read_json, write_json
from omnilearn.training import distributed
from omnilearn.training.random_streams import Stream
from omnilearn.typed import as_type

PART = 1024  # events made together: what an interruption loses, and what ranks share
ATTEMPTS = 20  # to make an event that the trigger would have taken
CENTRINGS = 4
CALIBRATION, QUANTILES = "calibration.json", 1025
LOG_REST = FEATURES.index("log_1_minus_pt_rel")


class DijetSampler(Sampler):
    """The two models of a density run, with averaged weights, as a source of events."""

    def __init__(self, run: Path, spec: DatasetSpec, solver: Solver, batch_size: int, seed: int):
        super().__init__(run, spec, solver, batch_size, seed)
        record = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig).record
        self.kinematics = KinematicsScale(**record["kinematics"])
        self.calibration = read_calibration(run)

    def dijets(self, index: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Jets (n, 2, 4) of events `index` (n,) of these dijet masses (n,), and delta phi (n,)."""
        jets, angle = np.zeros((len(index), 2, 4)), np.zeros(len(index))
        told, left = condition(mass), np.arange(len(index))
        for attempt in range(ATTEMPTS):
            found = np.empty((len(index), 8), "float32")
            for rows in self.batches(left):
                streams = JetStreams((self.seed, Stream.DIJETS, attempt), index[rows])
                noise = streams.standard_normal((len(rows), 8), "float32")

                def velocity(x, time, chosen=told[rows]):
                    return self._jets(x, column(time, len(chosen)), chosen)

                found[rows] = self.solve(velocity, noise, index[rows], self.solver.jet_steps)
            jets[left], angle[left] = self.kinematics.back(found[left], mass[left])
            left = left[~self.kinematics.passing(jets[left])]
            if not len(left):
                break
        most = self.network.config.max_constituents
        jets[..., 3] = np.clip(jets[..., 3], 1, most)
        jets[..., 0] = np.maximum(jets[..., 0], 1.0)
        return jets, angle

    def constituents(self, index: np.ndarray, label: np.ndarray, jet: np.ndarray) -> np.ndarray:
        """As `Sampler.constituents`, the pT calibrated to that of true constituents."""
        features, mask = self.features(index, label, jet)
        features[..., LOG_REST] = np.interp(features[..., LOG_REST], *self.calibration)
        return relative_columns(features, mask)

    def events(self, index: np.ndarray, mass: np.ndarray) -> dict[str, np.ndarray]:
        """Events as they are stored: data (n, 2, P, 7), jet (n, 2, 5), multiplicity and so on."""
        jets, angle = self.dijets(index, mass)
        count = len(index)
        flat = jets.reshape(-1, 4)
        jet_index = (2 * index[:, None] + np.arange(2)).ravel()
        label = np.zeros(2 * count, int)
        columns = self.constituents(jet_index, label, flat)
        momenta, mask = consistent(columns, flat)
        phi = np.column_stack([np.zeros(count), wrap_phi(angle)]).ravel()
        momenta[..., 2] = wrap_phi(momenta[..., 2] + phi[:, None]) * mask
        summed = sum_constituents(momenta, mask).reshape(count, 2, 4)
        # masses of the jets are those of their constituents now: take the event back to its mass
        scale = np.repeat(mass / invariant_mass(sum_constituents(summed)), 2)
        momenta[..., [0, 3]] *= scale[:, None, None]
        jet = sum_constituents(momenta, mask)
        features = relative_features(momenta, jet) * mask[..., None]
        number = mask.sum(axis=1)
        stored = np.column_stack([jet[:, :3], invariant_mass(jet), number])
        hardest_first = np.argsort(-stored[:, 0].reshape(count, 2), axis=1, kind="stable")
        pairs = {
            "data": features.astype(np.float32),
            "jet": stored.astype(np.float32),
            "multiplicity": number.astype(np.int32),
        }
        rows = (2 * np.arange(count)[:, None] + hardest_first).ravel()
        pairs = {
            name: array[rows].reshape(count, 2, *array.shape[1:]) for name, array in pairs.items()
        }
        return {
            **pairs,
            "observables": mass[:, None].astype(np.float32),
            "pid": np.zeros(count, np.int8),
            "weight": np.ones(count, np.float32),
        }


def calibration_of(generated: np.ndarray, true: np.ndarray) -> tuple[list[float], list[float]]:
    """Quantiles of log(1 - pt_rel) of generated constituents and of true ones of like jets.

    Most constituents carry a thousandth of their jet, less than a generator resolves in this
    feature, but log pT shows it: the map from one to the other keeps their order and makes their
    spectrum the true one.
    """
    levels = (1 - np.cos(np.pi * np.linspace(0, 1, QUANTILES))) / 2  # denser at both ends
    return np.quantile(generated, levels).tolist(), np.quantile(true, levels).tolist()


def write_calibration(run: Path, generated: list[float], true: list[float]) -> None:
    write_json(run / CALIBRATION, {"generated": generated, "true": true})


def read_calibration(run: Path) -> tuple[list[float], list[float]]:
    """What `write_calibration` wrote, or the identity while there is none."""
    if not (run / CALIBRATION).is_file():
        return [-1e3, 1e3], [-1e3, 1e3]
    mend = f"remove it, and it is measured again with: python evaluate.py {run}"
    found = read_json(run / CALIBRATION, "calibration of constituents", mend)
    try:
        return tuple(as_type(list[float], found.get(key), key) for key in ("generated", "true"))
    except ValueError as error:
        raise UserError(f"{run / CALIBRATION}: {error}; {mend}") from error


def consistent(columns: np.ndarray, jets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Massless momenta (n, P, 4) pt, eta, phi, energy whose sum has pT and axis of jets (n, 4).

    columns (n, P, 4): eta_rel, phi_rel, pt_rel, mask. Harder ones come first. The axis of the jets
    is at phi = 0.
    """
    mask = columns[..., 3] > 0
    order = np.argsort(-columns[..., 2] * mask, axis=1, kind="stable")
    eta, phi, pt = (
        np.take_along_axis(columns[..., place].astype(np.float64), order, axis=1)
        for place in range(3)
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
    """The files of so many generated events, whether they are there or not."""
    return [folder / f"part{number:05d}.hdf5" for number in range(-(-events // PART))]


def sampled_reference(
    folder: Path, sampler: DijetSampler, spectrum: FallingSpectrum, events: int
) -> list[Path]:
    """Files of events in the signal region, of dijet masses by the fitted spectrum.

    Parts that are there are not made again, unless they were asked for in another way.
    """
    about = {
        **asdict(sampler.solver),
        "seed": sampler.seed,
        "epochs": sampler.epochs,
        "background": [round(one, 6) for one in spectrum.background],
    }
    rank, ranks = distributed.rank(), distributed.size()
    if rank == 0:
        begin_anew(folder, about)
    distributed.barrier()
    paths = reference_files(folder, events)
    with progress(events // ranks, "sampling the reference", rank=rank) as bar:
        for number in range(rank, len(paths), ranks):
            # whole parts, so that a reference that is too short is made longer, not anew
            index = np.arange(number * PART, (number + 1) * PART)
            if not paths[number].is_file():
                uniform = JetStreams((sampler.seed, Stream.DIJET_MASSES), index).random(
                    (len(index), 1)
                )
                mass = spectrum.sampled(uniform[:, 0])
                write_events(paths[number], sampler.events(index, mass), sampler.spec, about)
            bar.update(len(index))
    distributed.barrier()
    return paths


def write_events(path: Path, arrays: dict[str, np.ndarray], spec: DatasetSpec, about: dict) -> None:
    """Events as a file of the suite, which all readers read."""
    with atomic_file(path) as file:
        for key, array in arrays.items():
            chunks = (min(256, len(array)), *array.shape[1:])
            file.create_dataset(key, data=array, chunks=chunks, **COMPRESSED)
        file.attrs["classes"] = list(spec.class_names)
        file.attrs["features"] = list(FEATURES[: spec.num_features])
        file.attrs["about"] = json.dumps(about, sort_keys=True)
