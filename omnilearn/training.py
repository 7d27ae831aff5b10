"""Fit: steps, validation, early stop, checkpoints, resume and history; the same on every rank.

A run directory holds config.json, history.jsonl (one line per epoch), last.h5 and best.h5. Every
decision is taken from numbers averaged over ranks and is rank 0's, so ranks never part.
"""

import json
import math
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from omnilearn import distributed
from omnilearn.atomic import atomic_path
from omnilearn.config import Config
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.streams import JetStreams
from omnilearn.errors import UserError
from omnilearn.gradients import compiled, compiled_for_batches, with_gradients
from omnilearn.model.checkpoint import load_checkpoint, pet_weights, save_checkpoint
from omnilearn.optimiser import EMA_MOMENTUM, Lion, cosine_schedule
from omnilearn.progress import progress

STREAM_TRAINING, STREAM_VALIDATION = 1, 2


@dataclass
class Position:
    """Where a run stands; plain JSON in every checkpoint."""

    epoch: int = 0
    step: int = 0  # steps of the optimiser done in this epoch
    best_loss: float = math.inf
    best_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)  # training terms so far in this epoch
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)
    finished: bool = False


class Trainer:
    """One objective, one optimiser, one run directory.

    `objective` has pet, trained(), prepare(...) and losses(batch) as in `tasks.pretraining`;
    steps_per_epoch counts steps of the optimiser (`optimiser_steps`); `earlier` is a trainer of
    the same objective, whose compiled graphs serve again.
    """

    def __init__(
        self,
        objective,
        config: Config,
        steps_per_epoch: int,
        run: Path,
        about: dict,
        earlier: "Trainer | None" = None,
    ):
        self.objective, self.config, self.run, self.about = objective, config, Path(run), about
        self.rank, self.ranks = distributed.rank(), distributed.size()
        named = objective.trained()
        self.names, self.variables = list(named), list(named.values())
        factors = {
            id(variable): 1.0 / config.body_factor
            for name, variable in named.items()
            if name.startswith("body.")
        }
        self.steps_per_epoch = steps_per_epoch
        self.jets_per_step = config.batch * config.accumulate * self.ranks
        schedule = cosine_schedule(
            config.lr,
            config.accumulate * self.ranks,
            steps_per_epoch,
            config.epochs,
            config.warmup_epochs,
        )
        self.optimiser = Lion(
            factors,
            learning_rate=schedule,
            weight_decay=config.weight_decay,
            beta_1=0.95,
            beta_2=0.99,
            use_ema=True,
            ema_momentum=EMA_MOMENTUM,
        )
        self.optimiser.build(self.variables)
        slots = objective.pet.config.max_constituents
        if earlier is None:
            self.gradients = compiled_for_batches(
                with_gradients(objective.losses, self.variables), slots
            )
            self.evaluated = compiled_for_batches(objective.losses, slots)
        else:
            self.gradients, self.evaluated = earlier.gradients, earlier.evaluated
        self.joined = compiled(
            lambda first, second: [a + b for a, b in zip(first, second, strict=True)]
        )
        self.apply = compiled(
            lambda sums: self.optimiser.apply([g / config.accumulate for g in sums], self.variables)
        )
        self.position = Position()

    def fit(self, training: Pipeline, validation: Pipeline) -> Position:
        """Train to the last epoch or to the early stop; resumes from last.h5 where there is one."""
        self.resume()
        distributed.broadcast_variables(
            [*pet_weights(self.objective.pet).values(), *self.optimiser.variables]
        )
        while not self.position.finished:
            self.train_epoch(training)
            self.close_epoch(self.validate(validation))
        return self.position

    def train_epoch(self, training: Pipeline) -> None:
        """The rest of the current epoch, with a checkpoint every `checkpoint_every` steps."""
        position, steps, jets = self.position, self.steps_per_epoch, self.jets_per_step
        started, before = time.monotonic(), position.seconds
        bar = progress(
            steps * jets, f"epoch {position.epoch + 1}/{self.config.epochs}", rank=self.rank
        )
        count = self.config.accumulate
        batches = training.epoch(position.epoch, position.step * count)
        with bar, closing(batches):
            bar.update(position.step * jets)
            while position.step < steps:
                terms = self.step(list(islice(batches, count)))
                position.step += 1
                for name, value in terms.items():
                    position.sums[name] = position.sums.get(name, 0.0) + float(value)
                position.seconds = before + time.monotonic() - started
                bar.update(jets)
                bar.set_postfix(loss=f"{position.sums['loss'] / position.step:.4f}")

    def step(self, batches: list[dict]) -> dict[str, float]:
        """One update from this rank's batches; returns the terms averaged over them and ranks.

        It is the update of one batch with all their jets. A checkpoint that is due is written once
        the loss of the next step is known, so that it is never one of ruined weights. Raises
        UserError on all ranks at the same step when the loss is not a number.
        """
        position = self.position
        rng = np.random.default_rng(
            (self.config.seed, STREAM_TRAINING, position.epoch, position.step, self.rank)
        )
        per_jet = np.mean([batch["mask"].sum() / len(batch["mask"]) for batch in batches])
        constituents = float(distributed.mean(per_jet))
        sums, values = None, []
        for batch in batches:
            batch = self.objective.prepare(batch, rng, True, constituents)
            terms, gradients = self.gradients(batch)
            sums = gradients if sums is None else self.joined(sums, gradients)
            values.append([float(value) for value in terms.values()])
        terms = dict(zip(terms, distributed.mean(np.mean(values, axis=0)), strict=True))
        self.insist_on_a_number(terms["loss"], f"step {position.step + 1}")
        if position.step and position.step % self.config.checkpoint_every == 0:
            self.save("last.h5")
        self.apply(sums)
        return terms

    def insist_on_a_number(self, loss: float, where: str) -> None:
        """Raise UserError when the loss is not finite, saying where and what is left."""
        if math.isfinite(loss):
            return
        last = self.run / "last.h5"
        state = f"{last} holds the last good state" if last.is_file() else "no checkpoint was made"
        raise UserError(
            f"the loss is {loss} at epoch {self.position.epoch + 1}, {where}; {state}: start again "
            "with a lower --lr, and --overwrite or another --name"
        )

    def validate(self, validation: Pipeline) -> dict[str, float]:
        """Mean of every term over all validation jets of all ranks, each exactly once."""
        sums, jets = defaultdict(float), 0
        constituents = float(np.mean(validation.files.multiplicity))
        for batch in validation.ordered():
            count = len(batch["mask"])
            streams = JetStreams((self.config.seed, STREAM_VALIDATION), batch["index"])
            batch = self.objective.prepare(batch, streams, False, constituents)
            terms = self.evaluated(filled_up(batch, validation.batch_size))
            for name, value in terms.items():
                sums[name] += float(value) * validation.batch_size
            jets += count
        # a rank without validation jets joins with zeros, in the same order of terms
        names = list(self.position.sums)
        totals = distributed.total([sums[name] for name in names] + [jets])
        return {name: value / totals[-1] for name, value in zip(names, totals, strict=False)}

    def close_epoch(self, validation: dict[str, float]) -> None:
        """Write history and checkpoints of a finished epoch and decide whether to go on."""
        position = self.position
        epoch = position.epoch + 1
        self.insist_on_a_number(validation["loss"], "validation")
        line = {
            "epoch": epoch,
            "steps": position.step,
            "jets": position.step * self.jets_per_step,
            "seconds": round(position.seconds, 3),
            "training": {name: value / position.step for name, value in position.sums.items()},
            "validation": validation,
        }
        position.history.append(line)
        better = validation["loss"] < position.best_loss
        if better:
            position.best_loss, position.best_epoch = validation["loss"], epoch
        position.epoch, position.step, position.sums, position.seconds = epoch, 0, {}, 0.0
        waited = epoch - position.best_epoch
        stop = epoch >= self.config.epochs or waited >= self.config.patience
        position.finished = bool(distributed.agreed(stop))
        if better:
            self.save("best.h5")
        self.save("last.h5")
        if self.rank == 0:
            write_history(self.run / "history.jsonl", position.history)
            rate = line["jets"] / max(line["seconds"], 1e-9)
            print(
                f"epoch {epoch}/{self.config.epochs}: loss {line['training']['loss']:.4f}, "
                f"validation {validation['loss']:.4f}, {rate:.0f} jets/s"
                + (" (best)" if better else ""),
                flush=True,
            )

    def save(self, name: str) -> None:
        """Write a checkpoint from rank 0; other ranks wait, so none runs ahead of a full disk."""
        if self.rank == 0:
            weights = {
                key: np.asarray(weight) for key, weight in pet_weights(self.objective.pet).items()
            }
            averages = dict(zip(self.names, self.optimiser.averages(), strict=True))
            state = {f"{i:04d}": np.asarray(v) for i, v in enumerate(self.optimiser.variables)}
            record = {**self.about, "position": jsonable(self.position), "ranks": self.ranks}
            save_checkpoint(
                self.run / name,
                self.objective.pet.config,
                weights,
                record,
                {**weights, **averages},
                state if name == "last.h5" else None,
            )
        distributed.barrier()

    def resume(self) -> None:
        """Take up weights, optimiser, averages, history and data position from last.h5."""
        path = self.run / "last.h5"
        if not distributed.agreed(path.is_file()):
            return
        checkpoint = load_checkpoint(path)
        if checkpoint.pet_config != self.objective.pet.config:
            raise UserError(
                f"{path} was made by another architecture, {checkpoint.pet_config}, expected "
                f"{self.objective.pet.config}; use another --name"
            )
        if len(checkpoint.optimizer) != len(self.optimiser.variables):
            raise UserError(
                f"{path} belongs to another training: it holds "
                f"{len(checkpoint.optimizer)} optimiser arrays, expected "
                f"{len(self.optimiser.variables)}; use another --name"
            )
        for name, weight in pet_weights(self.objective.pet).items():
            weight.assign(checkpoint.weights[name])
        for index, variable in enumerate(self.optimiser.variables):
            variable.assign(checkpoint.optimizer[f"{index:04d}"])
        stored = checkpoint.record["position"]
        stored["best_loss"] = math.inf if stored["best_loss"] is None else stored["best_loss"]
        self.position = Position(**stored)
        if checkpoint.record["ranks"] != self.ranks and self.position.step:
            # steps of another size: the epoch starts anew
            self.position.step, self.position.sums, self.position.seconds = 0, {}, 0.0
        if self.rank != 0:
            return
        write_history(self.run / "history.jsonl", self.position.history)
        if self.position.finished:
            print(f"{self.run} has finished: {self.position.epoch} epochs", flush=True)
        else:
            print(
                f"resuming {self.run} at epoch {self.position.epoch + 1}, "
                f"step {self.position.step + 1}",
                flush=True,
            )


def optimiser_steps(batches: int, accumulate: int) -> int:
    """Steps of the optimiser in an epoch of so many batches per rank; the rest is left out.

    Raises UserError when there is not even one.
    """
    if batches < accumulate:
        raise UserError(
            f"an epoch has {batches} batches per rank, less than one step of --accumulate "
            f"{accumulate}; the most that works is {batches}"
        )
    return batches // accumulate


def jsonable(position: Position) -> dict:
    """The position as plain JSON: no infinity."""
    state = dict(vars(position))
    if math.isinf(position.best_loss):
        state["best_loss"] = None
    return state


def filled_up(batch: dict, batch_size: int) -> dict:
    """The batch with rows of weight zero up to batch_size, so that few shapes are compiled."""
    missing = batch_size - len(batch["mask"])
    if not missing:
        return batch
    filled = {
        name: np.concatenate([value, np.repeat(value[:1], missing, axis=0)])
        if np.ndim(value)
        else value
        for name, value in batch.items()
    }
    filled["weight"][-missing:] = 0.0
    return filled


def write_history(path: Path, history: list[dict]) -> None:
    """One JSON line per epoch, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in history))
