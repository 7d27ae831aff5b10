"""New jets: kinematics from the small network or from truth, then constituents from PET.

Jet i has random streams of its own, so a set depends neither on ranks nor on batches (but for the
last bits of sums). A set is made in parts, shared among ranks; parts that are there are not made
again. arXiv:2502.14652, Section VI.
"""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from keras import ops

from omnilearn.atomic import atomic_path
from omnilearn.data.layout import class_files
from omnilearn.data.mixing import length_groups, padded_lengths
from omnilearn.data.pipeline import Standardisation
from omnilearn.data.spec import DIFFUSED_FEATURES, FEATURES, DatasetSpec
from omnilearn.data.streams import JetStreams
from omnilearn.diffusion import guided, sample
from omnilearn.errors import UserError
from omnilearn.generation.jet_generator import JetGenerator, JetGeneratorConfig
from omnilearn.generation.jet_sets import (
    JetSet,
    concatenated,
    read_set,
    relative_columns,
    write_set,
)
from omnilearn.model.checkpoint import Checkpoint, assign_weights, build_pet, load_checkpoint
from omnilearn.progress import progress
from omnilearn.training import distributed
from omnilearn.training.gradients import compiled, compiled_for_batches
from omnilearn.training.optimiser import EMA_MOMENTUM
from omnilearn.training.random_streams import Stream
from omnilearn.training.resume import position_of

PART = 2048  # jets made together: what an interruption loses, and what ranks share
MULTIPLICITY = 3


@dataclass(frozen=True)
class Solver:
    """How noise becomes jets: by which solver, in how many steps, for jets and constituents."""

    name: str = "multistep"
    steps: int = 20
    jet_steps: int = 128  # of a network that costs nothing beside PET
    guidance: float = 0.0


RELEASED = Solver("released", 300, 512)


class JetSampler(Protocol):
    """What a set of jets is made by: the `Sampler` here, or that of another model."""

    spec: DatasetSpec
    solver: Any  # a dataclass of settings, which the set keeps
    batch_size: int
    seed: int
    epochs: list[int]

    def jet_set(self, index: np.ndarray, label: np.ndarray, jet: Any) -> JetSet:
        """Jets `index` (n,) of classes `label`; with true kinematics `jet` (n, 4) if given."""


class Sampler:
    """The two models of a run, with averaged weights, as a source of jets.

    lengths: slots a batch may have; (P,) pads all jets to the full length, as released.
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
        self.spec, self.solver, self.batch_size, self.seed = spec, solver, batch_size, seed
        self.lengths = lengths or padded_lengths(spec.max_constituents)
        self.scale = Standardisation(spec)
        checkpoint = load_checkpoint(run / "best.h5")
        pet = build_pet(replace(checkpoint, weights=sampling_weights(checkpoint)))
        self._parameters = pet.body.count_params() + pet.generator.count_params()
        self.network, jets_epoch = averaged_network(run)
        self.epochs = [position_of(checkpoint).epoch, jets_epoch]
        hidden = len(FEATURES) - len(DIFFUSED_FEATURES)

        def constituent_velocity(batch):
            x = batch["constituents"]
            padded = ops.pad(x, ((0, 0), (0, 0), (0, hidden)))
            velocity = pet.velocity(
                padded, batch["mask"], batch["jet"], batch["time"], batch["label"]
            )
            return velocity[:, :, : len(DIFFUSED_FEATURES)] * batch["mask"][:, :, None]

        self._constituents = compiled_for_batches(constituent_velocity, spec.max_constituents)
        self._jets = compiled(lambda x, time, label: self.network(x, time, label))

    def count_params(self) -> int:
        """Weights that take part: body and generator of PET, and the network of jets."""
        return self._parameters + self.network.count_params()

    def jets(self, index: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Kinematics (n, 4) of jets of classes `label` (n,): GeV, radians, whole multiplicities."""
        one_hot = np.eye(self.spec.num_classes, dtype="float32")[label]
        found = np.empty((len(index), 4), "float32")
        for rows in self.batches(np.arange(len(index))):
            streams = JetStreams((self.seed, Stream.SAMPLED_JETS), index[rows])
            noise = streams.standard_normal((len(rows), 4), "float32")

            def velocity(x, time, chosen=one_hot[rows]):
                return self._jets(x, column(time, len(chosen)), chosen)

            found[rows] = self.solve(velocity, noise, index[rows], self.solver.jet_steps)
        jet = self.scale.original_jets(found)
        jet[:, 0] = np.maximum(jet[:, 0], 1.0)  # no jet has less than a GeV
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
        """Diffused features (n, P, 3) of these jets, as stored in files, and their mask (n, P)."""
        slots = self.spec.max_constituents
        number = np.clip(jet[:, MULTIPLICITY], 1, slots).astype(int)
        group = length_groups(self.lengths)[number]
        one_hot = np.eye(self.spec.num_classes, dtype="float32")[label]
        condition = self.scale.jets(jet.astype("float32"))
        found = np.zeros((len(index), slots, len(DIFFUSED_FEATURES)), "float32")
        for rows in self.batches(np.argsort(group, kind="stable")):
            length = self.lengths[group[rows].max()]
            mask = (np.arange(length) < number[rows, None]).astype("float32")
            streams = JetStreams((self.seed, Stream.SAMPLED_CONSTITUENTS), index[rows])
            noise = streams.standard_normal((len(rows), length, 3), "float32")
            batch = {"mask": mask, "jet": condition[rows]}

            def velocity(x, time, chosen, batch=batch):
                batch = {**batch, "time": column(time, len(chosen)), "label": chosen}
                return self._constituents({**batch, "constituents": x})

            chosen = one_hot[rows]
            steered = guided(velocity, self.solver.guidance, chosen, 0 * chosen)
            clean = self.solve(steered, noise * mask[..., None], index[rows], self.solver.steps)
            found[rows, :length] = self.scale.original_constituents(clean, mask)
        return found, np.arange(slots) < number[:, None]

    def batches(self, order: np.ndarray):
        """Rows of one batch after the other, always batch_size: the last begins anew."""
        for start in range(0, len(order), self.batch_size):
            yield np.resize(order[start : start + self.batch_size], self.batch_size)

    def solve(self, velocity, noise: np.ndarray, index: np.ndarray, steps: int) -> np.ndarray:
        """The clean sample of one batch; what a stochastic step adds belongs to the jets too."""

        def fresh_noise(step):
            streams = JetStreams((self.seed, Stream.SOLVER_STEPS, step), index)
            return streams.standard_normal(noise.shape, "float32")

        start = ops.convert_to_tensor(noise)
        return np.asarray(sample(self.solver.name, velocity, start, steps, fresh_noise))

    def jet_set(self, index: np.ndarray, label: np.ndarray, jet: np.ndarray | None) -> JetSet:
        """Jets `index` (n,) of classes `label`; with true kinematics `jet` (n, 4) if given."""
        jet = self.jets(index, label) if jet is None else jet
        return JetSet(self.constituents(index, label, jet), jet, label)


def averaged_network(run: Path) -> tuple[JetGenerator, int]:
    """The network of jet kinematics of a run at its best epoch, and which that is."""
    checkpoint = load_checkpoint(run / "jets" / "best.h5", JetGeneratorConfig)
    network = JetGenerator(checkpoint.model_config)
    assign_weights(network, sampling_weights(checkpoint), str(checkpoint.path))
    return network, position_of(checkpoint).epoch


def sampling_weights(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The averages over the last steps; of a training shorter than those, the weights themselves.

    Averages begin with the weights of the start, which a short training has not forgotten.
    """
    steps = sum(line["steps"] for line in position_of(checkpoint).history)
    return checkpoint.ema if steps * (1 - EMA_MOMENTUM) >= 1 else checkpoint.weights


def column(time: float, jets: int) -> np.ndarray:
    return np.full((jets, 1), time, "float32")


def sampled_set(folder: Path, sampler: JetSampler, like: JetSet, ideal: bool, split: str) -> JetSet:
    """The set in `folder`, read if it is there and asked for in the same way, else made.

    Jet i has the class of jet i of `like`, and with `ideal` its kinematics. All ranks work; only
    rank 0's result counts, others get what they made.
    """
    about = description(sampler, like, ideal, split)
    spec, rank, ranks = sampler.spec, distributed.rank(), distributed.size()
    files = [folder / name for name in class_files(spec).values()]
    if distributed.agreed(all(path.is_file() for path in files)):
        found, made = read_set(folder, spec)
        if made == about:
            return found
    if rank == 0:
        begin_anew(folder, about)
    distributed.barrier()
    starts = range(rank * PART, len(like), ranks * PART)
    with progress(len(like) // ranks, f"sampling {folder.name}", rank=rank) as bar:
        for start in starts:
            index = np.arange(start, min(start + PART, len(like)))
            path = folder / f"part{start // PART}.npz"
            if not path.is_file():
                part = sampler.jet_set(
                    index, like.label[index], like.jets[index] if ideal else None
                )
                with atomic_path(path) as temporary:
                    np.savez(temporary, **vars(part))
            bar.update(len(index))
    distributed.barrier()
    if rank:
        return like[:0]
    paths = [folder / f"part{k}.npz" for k in range(-(-len(like) // PART))]
    whole = concatenated([read_part(path) for path in paths])
    write_set(folder, whole, spec, about)
    for path in [*paths, folder / "asked.json"]:
        path.unlink()
    return whole


def read_part(path: Path) -> JetSet:
    """The jets that were sampled so far; raises UserError for a damaged file."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return JetSet(**arrays)
    except Exception as error:  # NumPy fails on damaged bytes with any there is
        raise UserError(
            f"{path} is damaged ({error}); remove it, and the same command samples its jets anew"
        ) from error


def sampling_rate(sampler: JetSampler, like: JetSet) -> float:
    """Jets per second of one full batch with the classes of `like`, once all is compiled."""
    index = np.arange(sampler.batch_size)
    label = np.resize(like.label, len(index))
    sampler.jet_set(index, label, None)
    started = time.perf_counter()
    sampler.jet_set(index, label, None)
    return len(index) / (time.perf_counter() - started)


def description(sampler: JetSampler, like: JetSet, ideal: bool, split: str) -> dict:
    """What decides which jets are in a set: weights, solver, seed, and the jets it is made like."""
    return {
        **asdict(sampler.solver),
        "seed": sampler.seed,
        "jets": len(like),
        "like": split,
        "true_kinematics": ideal,
        "epochs": sampler.epochs,
    }


def begin_anew(folder: Path, about: dict) -> None:
    """Remove parts and sets that were asked for in another way; keep parts of this one."""
    if folder.is_symlink():
        raise UserError(
            f"{folder} is a link to {folder.readlink()}; jets are neither written nor deleted "
            "there: remove the link"
        )
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "asked.json"
    text = json.dumps(about, sort_keys=True)
    if asked.is_file() and asked.read_text() == text:
        return
    for path in [*folder.glob("part*.npz"), *folder.glob("*.hdf5")]:
        path.unlink()
    with atomic_path(asked) as temporary:
        temporary.write_text(text)
