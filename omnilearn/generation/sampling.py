"""New jets: kinematics from the small network or from truth, then constituents from PET.

arXiv:2502.14652, Section VI. Each jet has its random streams, so that a set depends neither on
ranks nor on batches, up to rounding. A set is made in parts, which ranks share; parts that exist
are not made again.
"""

import json
import math
import time
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from keras import ops

from omnilearn.atomic import atomic_path
from omnilearn.content import hashed
from omnilearn.data.layout import class_files
from omnilearn.data.mixing import evaluation_lengths, length_groups
from omnilearn.data.pipeline import Standardisation
from omnilearn.data.spec import DIFFUSED, DatasetSpec
from omnilearn.data.streams import JetStreams
from omnilearn.diffusion import EVALUATIONS, guided, sample
from omnilearn.errors import UserError
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.generation.jet_kinematics import MULTIPLICITY
from omnilearn.generation.jet_sets import (
    JetSet,
    concatenated,
    read_set,
    relative_columns,
    write_set,
)
from omnilearn.kinematics import log_one_minus
from omnilearn.model.checkpoint import Checkpoint, assign_weights, build_pet, load_checkpoint
from omnilearn.progress import progress
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled, compiled_for_batches
from omnilearn.training.optimiser import EMA_MOMENTUM
from omnilearn.training.random_streams import Stream
from omnilearn.training.resume import position_of
from omnilearn.typed import require_type

PART = 2048  # jets of a part: an interruption loses at most one part per rank


@dataclass(frozen=True)
class Solver:
    """The solver of the diffusion equation, its steps for constituents and for jet kinematics."""

    name: str = "multistep"
    steps: int = 20
    jet_steps: int = 128  # the network of jet kinematics is cheap
    guidance: float = 0.0

    def __post_init__(self):
        for item in fields(self):
            require_type(item.type, getattr(self, item.name), f"{item.name} of a solver")
        if self.name not in EVALUATIONS or min(self.steps, self.jet_steps) < 1:
            raise UserError(
                f"solver {self}: expected the name {' or '.join(EVALUATIONS)}, and 1 step or more"
            )
        if not math.isfinite(self.guidance):
            raise UserError(f"guidance is {self.guidance}; expected a finite number")


RELEASED = Solver("released", 300, 512)


class JetSampler(Protocol):
    """A model that samples a set of jets: `Sampler`, or that of another task."""

    spec: DatasetSpec
    solver: Any  # a dataclass of settings, stored with the set
    batch_size: int
    seed: int

    @property
    def epochs(self) -> list[int]:
        """Epochs that its networks were trained."""

    def jet_set(self, index: np.ndarray, label: np.ndarray, jet: Any) -> JetSet:
        """Jets `index` (n,) of classes `label`; with true kinematics `jet` (n, 4) if given."""


class Sampler:
    """The two models of a run, with averaged weights, that sample jets.

    lengths: numbers of slots that a batch may have; (P,) pads all jets to P slots, as released.
    """

    def __init__(
        self,
        run: Path,
        spec: DatasetSpec,
        solver: Solver,
        batch_size: int = 256,
        seed: int = 0,
        lengths: tuple[int, ...] | None = None,
    ):
        self.solver, self.batch_size, self.seed = solver, batch_size, seed
        self.lengths = lengths or evaluation_lengths(spec.max_constituents)
        checkpoint = load_checkpoint(run / "best.h5")
        self.spec = checkpoint.as_trained(spec)
        self.scale = Standardisation(self.spec)
        pet = build_pet(replace(checkpoint, weights=sampling_weights(checkpoint)))
        self._parameters = pet.body.count_params() + pet.generator.count_params()
        jets_checkpoint = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig)
        self.network = JetGenerator(jets_checkpoint.model_config)
        weights = sampling_weights(jets_checkpoint)
        assign_weights(self.network, weights, str(jets_checkpoint.path))
        self.epochs = [position_of(stored).epoch for stored in (checkpoint, jets_checkpoint)]
        self.diffused = pet.config.diffused

        def constituent_velocity(batch):
            x = pet.among_zeros(batch["constituents"])
            velocity = pet.velocity(x, batch["mask"], batch["jet"], batch["time"], batch["label"])
            return pet.diffused(velocity) * batch["mask"][:, :, None]

        self._constituents = compiled_for_batches(constituent_velocity, spec.max_constituents)
        self._jets = cache(
            lambda solver, steps: compiled(partial(self._solved_jets, solver, steps))
        )

    def count_params(self) -> int:
        """Number of weights of the body and the generator of PET and of the network of jets."""
        return self._parameters + self.network.count_params()

    def jets(self, index: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Kinematics (n, 4) of jets of classes `label` (n,): GeV, radians, whole multiplicities."""
        one_hot = np.eye(self.spec.num_classes, dtype="float32")[label]
        standardised = np.empty((len(index), 4), "float32")
        for rows in self.batches(np.arange(len(index))):
            streams = JetStreams((self.seed, Stream.SAMPLED_JETS), index[rows])
            noise = streams.standard_normal((len(rows), 4), "float32")
            standardised[rows] = self.solve_jets(noise, one_hot[rows], index[rows])
        jet = self.scale.original_jets(standardised)
        jet[:, 0] = np.maximum(jet[:, 0], 1.0)  # pT is at least 1 GeV
        jet[:, 2] = np.maximum(jet[:, 2], 0.0)
        jet[:, MULTIPLICITY] = np.clip(
            np.rint(jet[:, MULTIPLICITY]), 1, self.network.config.max_constituents
        )
        return jet

    def constituents(self, index: np.ndarray, label: np.ndarray, jet: np.ndarray) -> np.ndarray:
        """Constituents (n, P, 4) of jets with kinematics (n, 4), as `jet_sets.COLUMNS`."""
        return relative_columns(*self.features(index, label, jet))

    def features(
        self, index: np.ndarray, label: np.ndarray, jet: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """eta_rel, phi_rel, log(1 - pt_rel) (n, P, 3) of these jets, and their mask (n, P)."""
        slots = self.spec.max_constituents
        multiplicity = np.clip(jet[:, MULTIPLICITY], 1, slots).astype(int)
        group = length_groups(self.lengths)[multiplicity]
        one_hot = np.eye(self.spec.num_classes, dtype="float32")[label]
        condition = self.scale.jets(jet.astype("float32"))
        features = np.zeros((len(index), slots, DIFFUSED), "float32")
        for rows in self.batches(np.argsort(group, kind="stable")):
            length = self.lengths[group[rows].max()]
            mask = (np.arange(length) < multiplicity[rows, None]).astype("float32")
            streams = JetStreams((self.seed, Stream.SAMPLED_CONSTITUENTS), index[rows])
            noise = streams.standard_normal((len(rows), length, 3), "float32") * mask[..., None]
            batch = {"mask": mask, "jet": condition[rows]}

            def velocity(x, time, labels, batch=batch):
                times = np.full((len(labels), 1), time, "float32")
                inputs = {**batch, "time": times, "label": labels, "constituents": x}
                return self._constituents(inputs)

            labels = one_hot[rows]
            guided_velocity = guided(velocity, self.solver.guidance, labels, 0 * labels)

            def fresh_noise(step, noise=noise, index=index[rows]):
                return self.noise_of_step(Stream.SOLVER_STEPS, int(step), noise, index)

            steps = self.solver.steps
            clean = sample(self.solver.name, guided_velocity, noise, steps, fresh_noise)
            original = self.scale.original_constituents(np.asarray(clean), mask, self.diffused)
            features[rows, :length] = original
        mask = np.arange(slots) < multiplicity[:, None]
        if self.diffused[-1] == "log_pt":
            pt_rel = np.exp(features[..., -1]) / jet[:, :1]
            features[..., -1] = log_one_minus(pt_rel) * mask
        return features, mask

    def batches(self, order: np.ndarray):
        """Rows of one batch after the other; the last is filled up to batch_size by repetition."""
        for start in range(0, len(order), self.batch_size):
            yield np.resize(order[start : start + self.batch_size], self.batch_size)

    def solve_jets(self, noise: np.ndarray, given: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Standardised kinematics (B, J) of jets `index` from noise (B, J), `given` (B, C)."""
        name, steps = self.solver.name, self.solver.jet_steps
        noisy_steps = steps if name == "stochastic" else 0
        stream = Stream.SOLVER_STEPS_OF_KINEMATICS
        fresh = [
            self.noise_of_step(stream, step, noise, index) for step in range(1, noisy_steps + 1)
        ]
        fresh_noise = np.reshape(fresh, (noisy_steps, *noise.shape)).astype("float32")
        return np.asarray(self._jets(name, steps)(noise, given, fresh_noise))

    def _solved_jets(self, solver: str, steps: int, noise, given, fresh_noise):
        """All steps of the solver; fresh_noise (steps, B, J): no rows if the solver uses none."""

        def velocity(x, time):
            return self.network(x, ops.broadcast_to(time, (given.shape[0], 1)), given)

        return sample(solver, velocity, noise, steps, lambda step: fresh_noise[step - 1])

    def noise_of_step(
        self, stream: Stream, step: int, noise: np.ndarray, index: np.ndarray
    ) -> np.ndarray:
        """The noise of one stochastic step, from the random streams of the jets."""
        streams = JetStreams((self.seed, stream, step), index)
        return streams.standard_normal(noise.shape, "float32")

    def jet_set(self, index: np.ndarray, label: np.ndarray, jet: np.ndarray | None) -> JetSet:
        """Jets `index` (n,) of classes `label`; with true kinematics `jet` (n, 4) if given."""
        jet = self.jets(index, label) if jet is None else jet
        return JetSet(self.constituents(index, label, jet), jet, label)


def sampling_weights(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The averaged weights, or the weights themselves after a short training.

    Before their time constant has passed, the averages consist mostly of the initial weights.
    """
    steps = sum(line["steps"] for line in position_of(checkpoint).history)
    return checkpoint.ema if steps * (1 - EMA_MOMENTUM) >= 1 else checkpoint.weights


def sampled_set(
    folder: Path, sampler: JetSampler, truth: JetSet, ideal: bool, split: str
) -> JetSet:
    """The set in `folder`, sampled unless it is there with the same `description`.

    Jet i has the class of jet i of `truth`, and with `ideal` its kinematics. All ranks sample; the
    set is returned on rank 0, on other ranks an empty one if it was sampled.
    """
    about = description(sampler, truth, ideal, split)
    spec, (rank, ranks) = sampler.spec, distributed.rank_and_size()
    files = [folder / name for name in class_files(spec).values()]
    if distributed.broadcast(all(path.is_file() for path in files)):
        stored, stored_about = read_set(folder, spec)
        if stored_about == about:
            return stored
        distributed.barrier()  # rank 0 deletes what the others may still read
    if rank == 0:
        prepare_folder(folder, about)
    distributed.barrier()
    paths = [folder / f"part{k}.npz" for k in range(-(-len(truth) // PART))]
    with progress(len(truth) // ranks, f"sampling {folder.name}", rank=rank) as bar:
        for part in range(rank, len(paths), ranks):
            index = np.arange(part * PART, min((part + 1) * PART, len(truth)))
            if not paths[part].is_file():
                jets = truth.jets[index] if ideal else None
                jet_set = sampler.jet_set(index, truth.label[index], jets)
                with atomic_path(paths[part]) as temporary:
                    np.savez(temporary, **vars(jet_set))
            bar.update(len(index))
    distributed.barrier()
    if rank:
        return truth[:0]
    jet_set = concatenated([read_part(path) for path in paths])
    write_set(folder, jet_set, spec, about)
    for path in [*paths, folder / "asked.json"]:
        path.unlink()
    return jet_set


def read_part(path: Path) -> JetSet:
    """The jets of one part; raises UserError for a damaged file."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return JetSet(**arrays)
    except Exception as error:  # NumPy raises errors of many kinds for damaged bytes
        raise UserError(
            f"{path} is damaged ({error}); remove it, and the same command samples its jets again"
        ) from error


def sampling_rate(sampler: JetSampler, truth: JetSet) -> float:
    """Jets per second of one full batch with the classes of `truth`, without compilation."""
    index = np.arange(sampler.batch_size)
    label = np.resize(truth.label, len(index))
    sampler.jet_set(index, label, None)
    start = time.perf_counter()
    sampler.jet_set(index, label, None)
    return len(index) / (time.perf_counter() - start)


def description(sampler: JetSampler, truth: JetSet, ideal: bool, split: str) -> dict:
    """All that the jets of a set depend on: weights, solver, seed, and the true jets."""
    given = (truth.label, truth.jets) if ideal else (truth.label,)
    return {
        **asdict(sampler.solver),
        "seed": sampler.seed,
        "jets": len(truth),
        "like": split,
        "true_kinematics": ideal,
        "true_jets": hashed(*given),
        "epochs": sampler.epochs,
    }


def prepare_folder(folder: Path, about: dict) -> None:
    """Make the folder; remove parts and sets with another description, keep parts with this one.

    Raises UserError if the folder is a link.
    """
    if folder.is_symlink():
        raise UserError(
            f"{folder} is a link to {folder.readlink()}; jets are neither written nor deleted "
            "there: remove the link"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "asked.json"
    text = json.dumps(about, sort_keys=True)
    if path.is_file() and path.read_text() == text:
        return
    for old in [*folder.glob("part*.npz"), *folder.glob("*.hdf5")]:
        old.unlink()
    with atomic_path(path) as temporary:
        temporary.write_text(text)
