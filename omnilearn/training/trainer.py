"""The training loop: steps, validation, early stop, checkpoints, resuming and history.

A run directory holds config.json, history.jsonl (one line per epoch), last.h5, the one before it
(previous.h5) and best.h5. Every decision follows from numbers averaged over ranks or is made by
rank 0, so that it is the same on all ranks.
"""

import math
import time
from collections import defaultdict
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn.config import Config
from omnilearn.data.catalogue import describe_in
from omnilearn.data.pipeline import Pipeline, pad_batch
from omnilearn.data.streams import JetStreams
from omnilearn.errors import UserError
from omnilearn.history import write_history
from omnilearn.keras_settings import uses_xla
from omnilearn.log import log
from omnilearn.model.checkpoint import (
    load_checkpoint,
    model_weights,
    save_checkpoint,
    weight_arrays,
)
from omnilearn.progress import progress
from omnilearn.training import distributed, fingerprint
from omnilearn.training.gradients import compiled, compiled_for_batches, with_gradients
from omnilearn.training.objective import Objective
from omnilearn.training.optimiser import optimiser_of, without_key_biases
from omnilearn.training.random_streams import Stream
from omnilearn.training.resume import (
    LAST,
    PREVIOUS,
    Clock,
    Position,
    StopRequest,
    dump_bad_batch,
    latest_intact_checkpoint,
    remove_unfinished,
    require_best,
)
from omnilearn.training.scalars import append_scalars


class Trainer:
    """One objective, one optimiser, one run directory.

    steps_per_epoch: steps of the optimiser (`optimiser_steps`); about: recorded in checkpoints;
    earlier: a trainer of the same objective, whose graphs are reused.
    """

    def __init__(
        self,
        objective: Objective,
        config: Config,
        steps_per_epoch: int,
        run: Path,
        about: dict,
        earlier: "Trainer | None" = None,
    ):
        self.objective, self.config, self.run, self.about = objective, config, Path(run), about
        self.rank, self.ranks = distributed.rank_and_size()
        weights = without_key_biases(objective.trained())
        self.names, self.variables = list(weights), list(weights.values())
        self.steps_per_epoch = steps_per_epoch
        self.jets_per_step = config.batch * config.accumulate * self.ranks
        self.optimiser = optimiser_of(config, weights, steps_per_epoch, self.ranks)
        self.optimiser.build(self.variables)
        slots = objective.model.config.max_constituents
        if earlier is None:
            self.gradients = compiled_for_batches(
                with_gradients(objective.losses, self.variables), slots, config.precision
            )
            self.evaluated = compiled_for_batches(objective.losses, slots, config.precision)
        else:
            self.gradients, self.evaluated = earlier.gradients, earlier.evaluated
        self.added = compiled(
            lambda first, second: [a + b for a, b in zip(first, second, strict=True)]
        )
        # communication has its own graph, since XLA cannot compile it
        mean = compiled(lambda sums: distributed.average([g / config.accumulate for g in sums]))
        self.averaged = mean if config.accumulate * self.ranks > 1 else list
        self.apply = compiled(
            lambda gradients: self.optimiser.apply(gradients, self.variables), xla=uses_xla()
        )
        self.class_names: tuple[str, ...] = ()  # of the training jets
        self.trained_on: dict = {}  # fingerprint of the jets and the code
        self.position, self.request = Position(), StopRequest()
        self.clock = Clock(config.checkpoint_every)

    def fit(self, training: Pipeline, validation: Pipeline) -> Position:
        """Train to the last epoch or to the early stop; resumes from last.h5 where there is one.

        After SIGTERM or SIGUSR1 on any rank, a checkpoint is written and all ranks raise Stopped
        at the same step.
        """
        with self.request.listening(), distributed.ranks_that_end():
            self.class_names = training.spec.class_names
            self.trained_on = fingerprint.same_on_all_ranks(training, validation)
            self.resume()
            # not before other data were refused; a finished run keeps what it was trained with
            if self.rank == 0 and not self.position.finished:
                describe_in(self.run, training.spec)
            distributed.broadcast_variables(
                [*model_weights(self.objective.model).values(), *self.optimiser.variables]
            )
            while not self.position.finished:
                self.train_epoch(training)
                self.close_epoch(self.validate(validation))
            return self.position

    def train_epoch(self, training: Pipeline) -> None:
        """The rest of the current epoch, with checkpoints when they are due."""
        position, steps, jets = self.position, self.steps_per_epoch, self.jets_per_step
        started, before = time.monotonic(), position.seconds
        bar = progress(
            steps * jets, f"epoch {position.epoch + 1}/{self.config.epochs}", rank=self.rank
        )
        count, constituents = self.config.accumulate, training.constituents_per_jet
        batches = training.epoch(position.epoch, position.step * count)
        with bar, closing(batches):
            bar.update(position.step * jets)
            while position.step < steps:
                terms = self.step(list(islice(batches, count)), constituents)
                position.step += 1
                for name, value in terms.items():
                    position.sums[name] = position.sums.get(name, 0.0) + float(value)
                position.seconds = before + time.monotonic() - started
                bar.update(jets)
                bar.set_postfix(loss=f"{position.sums['loss'] / position.step:.4f}")

    def step(self, batches: list[dict], constituents_per_jet: float) -> dict[str, float]:
        """One update from this rank's batches; returns the terms averaged over them and ranks.

        The update is that of one batch with all their jets. constituents_per_jet: mean of the
        split, so that a constituent has the same weight in every batch. Raises UserError when the
        loss is not finite, and Stopped after a signal, on all ranks at the same step.
        """
        sums, terms, batch = self.summed_gradients(batches, constituents_per_jet)
        terms = self.agree(terms)
        gradients = self.averaged(sums)
        self.apply(gradients)
        step = self.position.epoch * self.steps_per_epoch + self.position.step + 1
        self.objective.after_step(step, dict(zip(self.names, gradients, strict=True)), batch)
        return terms

    def summed_gradients(self, batches: list[dict], constituents_per_jet: float) -> tuple:
        """Sums of the gradients over this rank's batches, means of the terms, the last batch.

        A batch whose loss is not finite is written into the run directory.
        """
        position = self.position
        rng = np.random.default_rng(
            (self.config.seed, Stream.TRAINING, position.epoch, position.step, self.rank)
        )
        sums, values = None, []
        for batch_index, batch in enumerate(batches):
            index = batch["index"]
            batch = self.objective.prepare(batch, rng, True, constituents_per_jet)
            terms, gradients = self.gradients(batch)
            sums = gradients if sums is None else self.added(sums, gradients)
            values.append([float(value) for value in terms.values()])
            if not np.isfinite(values[-1]).all():
                stage = f"step{position.step + 1}.{batch_index}"
                dump_bad_batch(self.run, position, stage, batch, index)
        return sums, dict(zip(terms, np.mean(values, axis=0), strict=True)), batch

    def agree(self, terms: dict[str, float]) -> dict[str, float]:
        """The terms averaged over ranks; checkpoint, stop and restart are decided alike on all.

        A checkpoint that is due is written only now, after the next loss is finite, so that it
        never holds NaN weights. Where horovodrun has other hosts, all ranks start again.
        """
        position, stage = self.position, f"step {self.position.step + 1}"
        is_due = self.rank == 0 and self.clock.is_due(position.step)
        flags = [is_due, bool(self.request.name), distributed.has_other_hosts()]
        *means, is_due, must_stop, must_restart = distributed.mean([*terms.values(), *flags])
        terms = dict(zip(terms, means, strict=True))
        for value in terms.values():
            self.require_finite(value, stage)
        if must_stop or must_restart or (is_due and position.step):
            self.save(LAST)
        if must_stop:
            self.request.handle_stop(position, stage)
        if must_restart:
            distributed.start_again()
        return terms

    def require_finite(self, loss: float, stage: str) -> None:
        """Raise UserError with the place and the last good state when the loss is not finite."""
        if math.isfinite(loss):
            return
        last = self.run / LAST
        state = f"{last} holds the last good state" if last.is_file() else "no checkpoint was made"
        raise UserError(
            f"the loss is {loss} at epoch {self.position.epoch + 1}, {stage}; {state}, "
            f"{self.run / 'not_a_number.*.npz'} the jets: start again with a lower learning "
            "rate (train.py and finetune.py: --lr, with --overwrite or another --name)"
        )

    def validate(self, validation: Pipeline) -> dict[str, float]:
        """Mean of every term over all validation jets of all ranks, each exactly once.

        A checkpoint is written after the first batch, so that the epoch is not lost when the
        process ends during validation. After a signal to any rank, all raise Stopped.
        """
        sums: dict[str, float] = defaultdict(float)
        constituents = validation.constituents_per_jet
        batches = jets = stops = 0
        for batch in validation.ordered():
            if self.request.name and batches:
                stops = 1
                break
            count, index = len(batch["mask"]), batch["index"]
            streams = JetStreams((self.config.seed, Stream.VALIDATION), index)
            batch = self.objective.prepare(batch, streams, False, constituents)
            terms = self.evaluated(pad_batch(batch, validation.batch_size))
            for name, value in terms.items():
                sums[name] += float(value) * validation.batch_size
            if not math.isfinite(sums["loss"]):
                dump_bad_batch(self.run, self.position, "validation", batch, index)
                break
            if not batches:
                self.save_trained_epoch(sums["loss"])
            batches, jets = batches + 1, jets + count
        if not batches:
            self.save_trained_epoch(sums["loss"])
        # a rank without validation jets adds zeros, for the terms in the same order
        names = list(self.position.sums)
        *totals, jets, stops = distributed.total([sums[name] for name in names] + [jets, stops])
        if stops:
            self.request.handle_stop(self.position, "validation")
        return {name: value / jets for name, value in zip(names, totals, strict=True)}

    def save_trained_epoch(self, loss: float) -> None:
        """Write a checkpoint of an epoch before its validation if `loss` is finite on all ranks.

        loss: of the first batch of this rank, zero where it has no jets.
        """
        if self.position.step:
            self.require_finite(float(distributed.total(loss)), "validation")
            self.save(LAST)

    def close_epoch(self, validation: dict[str, float]) -> None:
        """Write history and checkpoints of a finished epoch, and decide whether it was the last."""
        position = self.position
        epoch = position.epoch + 1
        self.require_finite(validation["loss"], "validation")
        line: dict[str, Any] = {
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
        position.epoch = epoch
        position.restart_epoch()
        stop = position.is_over(self.config.epochs, self.config.patience)
        position.finished = bool(distributed.broadcast(stop))
        if better:
            self.save("best.h5")
        self.save(LAST)
        if self.rank == 0:
            write_history(self.run, position.history)
            if self.config.tensorboard:
                append_scalars(self.run, line)
        rate = line["jets"] / max(line["seconds"], 1e-9)
        log.info(
            f"epoch {epoch}/{self.config.epochs}: loss {line['training']['loss']:.4f}, "
            f"validation {validation['loss']:.4f}, {rate:.0f} jets/s"
            + (" (best)" if better else "")
        )

    def save(self, name: str) -> None:
        """Write a checkpoint from rank 0; other ranks wait, so that a full disk stops all."""
        if self.rank == 0:
            weights = weight_arrays(self.objective.model)
            averages = dict(zip(self.names, self.optimiser.averages(), strict=True))
            state = {f"{i:04d}": np.asarray(v) for i, v in enumerate(self.optimiser.variables)}
            record = {
                **self.about,
                "class_names": list(self.class_names),
                "position": self.position.as_json(),
                "ranks": self.ranks,
                "trained_on": self.trained_on,
            }
            save_checkpoint(
                self.run / name,
                self.objective.model.config,
                weights,
                record,
                {**weights, **averages},
                state if name == LAST else None,
                self.run / PREVIOUS if name == LAST else None,
            )
        distributed.barrier()
        if name == LAST:
            self.clock.restart()

    def resume(self) -> None:
        """Load weights, optimiser, averages, history and position from the latest checkpoint.

        On the same number of ranks the rest of the run is bit for bit that of an uninterrupted one
        (on the CPU). On another number the unfinished epoch is trained from its beginning, with
        these weights and the learning rate of its first step.
        """
        if self.rank == 0:
            remove_unfinished(self.run)
        path = latest_intact_checkpoint(self.run, type(self.objective.model.config))
        if path is None:
            return
        checkpoint = load_checkpoint(path, type(self.objective.model.config))
        stored = checkpoint.model_config, len(checkpoint.optimiser)
        expected = self.objective.model.config, len(self.optimiser.variables)
        if stored != expected:
            raise UserError(
                f"{path} belongs to another training: its architecture and number of optimiser "
                f"arrays are {stored}, expected {expected}; move {self.run} away, and the same "
                "command trains anew"
            )
        before, accepted = checkpoint.record.get("trained_on"), self.config.accept_changed_data
        fingerprint.refuse_other_data(path, before, self.trained_on, accepted)
        for name, weight in model_weights(self.objective.model).items():
            weight.assign(checkpoint.weights[name])
        for index, variable in enumerate(self.optimiser.variables):
            variable.assign(checkpoint.optimiser[f"{index:04d}"])
        self.position = Position.from_json(checkpoint.record["position"])
        # without a decay of the rate, the number of epochs may be another one than before
        self.position.finished = self.position.is_over(self.config.epochs, self.config.patience)
        if self.position.finished:
            require_best(self.run, type(self.objective.model.config))
        if checkpoint.record["ranks"] != self.ranks:
            # steps have another size: repeat the epoch, at its first step in the schedule
            self.position.restart_epoch()
            self.optimiser.iterations.assign(self.position.epoch * self.steps_per_epoch)
        if self.rank == 0:
            write_history(self.run, self.position.history)
        self.position.log_state(self.run, self.steps_per_epoch)
