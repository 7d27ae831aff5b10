"""Program of every rank of test_two_ranks.py: descend, train, evaluate, refuse.

    horovodrun -np 2 --gloo python tests/two_ranks_worker.py DATA OUT

Rank r writes OUT/rank<r>.npz and OUT/rank<r>.json; without horovodrun there is rank 0 alone.
"""

import json
import sys
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import keras
import numpy as np
from tiny_training import opened, set_scales_to_one, tiny_pet, tiny_trainer
from toy_events import SPEC as EVENTS_SPEC

from omnilearn.config import Config
from omnilearn.errors import Stopped, UserError
from omnilearn.history import read_history
from omnilearn.model.checkpoint import weight_arrays
from omnilearn.tagging import task as tagging
from omnilearn.training import distributed
from omnilearn.training.objective import PETObjective
from omnilearn.training.optimiser import AveragedOptimiser
from omnilearn.unfolding import reweighting
from omnilearn.unfolding.events import Events
from omnilearn.unfolding.repetitions import Unfolding
from omnilearn.unfolding.reweighting import NetworkFit, deepsets

JETS = 12  # per step, of both ranks together
CONFIG = Config(epochs=5, batch=8, lr=5e-3, warmup_epochs=1, patience=1, checkpoint_every=2)


class SGD(AveragedOptimiser, keras.optimizers.SGD):
    """Plain descent, so that weights move by the gradient instead of its sign."""


def my_rows(batch: dict) -> dict:
    """This rank's part of a batch of JETS jets, with unequal numbers of constituents."""
    rank, ranks = distributed.rank(), distributed.size()
    order = np.argsort(-batch["mask"].sum(axis=1), kind="stable")  # rank 0 has the longest jets
    rows = order[rank * JETS // ranks : (rank + 1) * JETS // ranks]
    return {name: value[rows] if np.ndim(value) else value for name, value in batch.items()}


class SharedDraws(PETObjective):
    """Random numbers drawn for the jets of all ranks, of which every rank takes its rows."""

    def prepare(self, batch, rng, training, constituents_per_jet):
        rng = np.random.default_rng(int(self.all_jets["index"][0]))
        return my_rows(super().prepare(self.all_jets, rng, training, constituents_per_jet))


def descended(data: Path, run: Path) -> tuple[dict, list, list]:
    """Weights after four steps of descent on the same jets and draws; losses; constituents."""
    training = opened(data, "train", JETS)
    trainer = tiny_trainer(run, CONFIG, training)
    set_scales_to_one(trainer.objective.model)
    objective = SharedDraws(trainer.objective.model, "all")
    trainer.objective, trainer.optimiser = objective, SGD(learning_rate=0.1)
    trainer.optimiser.build(trainer.variables)
    losses, constituents = [], []
    for step, batch in enumerate(islice(training.epoch(0), 4)):
        rng = np.random.default_rng(step)
        batch["mask"] *= np.arange(24) < rng.integers(2, 25, (JETS, 1))
        batch["constituents"] *= batch["mask"][:, :, None]
        objective.all_jets = batch
        mine = my_rows(batch)
        losses.append(trainer.step([mine], training.constituents_per_jet)["loss"])
        constituents.append(float(mine["mask"].sum() / len(mine["mask"])))
    return weight_arrays(objective.model), losses, constituents


def let_losses_grow(trainer) -> list[dict]:
    """Replace the validation losses by growing ones; the list collects the true terms."""
    validate, terms = trainer.validate, []

    def growing(pipeline):
        terms.append(validate(pipeline))
        return {**terms[-1], "loss": float(len(terms))}

    trainer.validate = growing
    return terms


def trained(data: Path, run: Path) -> tuple[dict, dict, dict]:
    """Weights after a training with other first weights on every rank; predictions; a report."""
    rank, ranks = distributed.rank(), distributed.size()
    training, validation = (
        opened(data, split, CONFIG.batch, rank, ranks) for split in ("train", "val")
    )
    trainer = tiny_trainer(run, replace(CONFIG, mode="classifier"), training, seed=rank)
    terms = let_losses_grow(trainer)
    position = trainer.fit(training, validation)
    test = opened(data, "test", CONFIG.batch, rank, ranks)
    predicted = tagging.predict(tiny_pet(seed=5), test)
    report = {"epochs": position.epoch, "best_epoch": position.best_epoch, "terms": terms[0]}
    return weight_arrays(trainer.objective.model), predicted, report


def interrupted(data: Path, run: Path) -> tuple[dict, dict[str, list]]:
    """Weights of the same training, ended twice by rank 1 alone: by a signal and by a bad jet.

    Also the message of both ends on this rank, and their steps.
    """
    rank, ranks = distributed.rank(), distributed.size()
    training, validation = (
        opened(data, split, CONFIG.batch, rank, ranks) for split in ("train", "val")
    )
    trainer = tiny_trainer(run, replace(CONFIG, mode="classifier"), training, seed=rank)
    let_losses_grow(trainer)
    step, ends = trainer.step, {}

    def spoilt(batches, constituents_per_jet):
        if rank == 1 and trainer.position.step == 1:
            batches[0]["constituents"][0, 0] = np.nan
        return step(batches, constituents_per_jet)

    def signalled(batches, constituents_per_jet):
        if rank == 1 and trainer.position.step == 1:
            trainer.request.name = "SIGTERM"
        return step(batches, constituents_per_jet)

    for name, failing_step in (("signal", signalled), ("not_a_number", spoilt)):
        trainer.step = failing_step
        try:
            trainer.fit(training, validation)
        except (Stopped, UserError) as end:
            ends[name] = [trainer.position.step, str(end)]
        trainer.request.name = ""
    trainer.step = step
    trainer.fit(training, validation)
    return weight_arrays(trainer.objective.model), ends


def refused(data: Path) -> str:
    """The message when there are fewer jets than one batch on every rank."""
    try:
        pipeline = opened(data, "few", CONFIG.batch, distributed.rank(), distributed.size())
        return f"{pipeline.steps_per_epoch} steps"
    except UserError as error:
        return str(error)


def unfolded(data: Path, run: Path) -> dict:
    """Ratio of a network that is the same on all ranks; the ranks within `single_process`."""
    events = Events(EVENTS_SPEC, str(data))
    settings = replace(CONFIG, mode="classifier", epochs=1, checkpoint_every=500)
    keep = replace(settings, lr=1e-12, weight_decay=0.0)  # steps without an effect
    reweighting.CROSS_ENTROPY_OF_ONE = np.inf  # the ratio is that of the network in any case
    make = partial(deepsets, EVENTS_SPEC)
    fit = NetworkFit(events, run, 0, make=make, first=keep, later=keep, about={})
    unfolding = Unfolding(events, fit, "reweight", iterations=1, misses="prior")
    pull, _ = unfolding(run)
    unfolding.repeat(run, "training", 2, lambda index: None)
    first = Path("iteration1_step1", "seed0", "fold0")
    repeated = [
        path.parent for path in sorted(run.glob("training_*/iteration1_step1/seed*/fold0/best.h5"))
    ]
    jets = [
        [(line["steps"], line["jets"]) for line in read_history(folder)]
        for folder in (run / first, *repeated)
    ]
    with distributed.single_process():
        single = [distributed.rank(), distributed.size(), float(distributed.total(1))]
    return {"pull": pull, "single_process": single, "jets": jets}


def main(data: Path, out: Path) -> None:
    distributed.horovod()  # first, for it shares the cores among the ranks
    rank, size = distributed.rank(), distributed.size()
    unfolding = unfolded(data, out / f"unfolding{size}")
    descent, losses, constituents = descended(data, out / "none")
    weights, predicted, report = trained(data, out / f"run{size}")
    resumed, ends = interrupted(data, out / f"resumed{size}") if size > 1 else ({}, {})
    report |= {
        "size": size,
        "ends": ends,
        "losses": losses,
        "constituents": constituents,
        "refused": refused(data),
        "allgather": distributed.allgather(np.arange(3 * rank)).tolist(),
        "broadcast": distributed.broadcast(rank + 5),
        "total": float(distributed.total(rank + 1)),
        "single_process": unfolding["single_process"],
        "jets_of_trainings": unfolding["jets"],
    }
    groups = {
        "descent": descent,
        "weights": weights,
        "predicted": predicted,
        "resumed": resumed,
        "unfolding": {"pull": unfolding["pull"]},
    }
    named = {
        f"{group}/{name}": array
        for group, arrays in groups.items()
        for name, array in arrays.items()
    }
    np.savez(out / f"rank{rank}.npz", **named)
    (out / f"rank{rank}.json").write_text(json.dumps(report))
    distributed.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
