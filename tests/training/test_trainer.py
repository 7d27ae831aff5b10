"""Training on toy jets: resuming is exact, the best epoch is kept, failures are reported."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import run_process
from tiny_training import ARCHITECTURE, opened, tiny_pet, tiny_trainer, write_jets

from omnilearn.config import Config
from omnilearn.errors import UserError, run_cli
from omnilearn.history import read_history
from omnilearn.model.checkpoint import (
    load_checkpoint,
    model_weights,
    save_checkpoint,
    weight_arrays,
)
from omnilearn.training.resume import Clock, Position
from omnilearn.training.trainer import Trainer

BATCH, STEPS = 16, 6
CONFIG = Config(
    epochs=3, batch=BATCH, lr=5e-3, body_factor=2.0, warmup_epochs=0, patience=2, checkpoint_every=2
)


class Interrupted(Exception):
    """As Ctrl-C, the end of an allocation, or a power cut."""


@pytest.fixture(scope="module")
def jets(tmp_path_factory):
    return write_jets(tmp_path_factory.mktemp("jets"), train=BATCH * STEPS + 5, val=41)


@pytest.fixture(scope="module")
def data(jets):
    return opened(jets, "train", BATCH), opened(jets, "val", BATCH)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, data):
    """A run that was never interrupted."""
    trainer = tiny_trainer(tmp_path_factory.mktemp("uninterrupted"), CONFIG, data[0])
    trainer.fit(*data)
    return trainer


@pytest.fixture(scope="module")
def complete_run(uninterrupted):
    """The directory of the run that was never interrupted."""
    return uninterrupted.run


@pytest.fixture
def trainer(uninterrupted, complete_run, tmp_path):
    """The same compiled trainer with its first weights, in another directory."""
    before = uninterrupted.run, uninterrupted.config, uninterrupted.position
    uninterrupted.run, uninterrupted.position = tmp_path, Position()
    reset_weights(uninterrupted.objective.model)
    set_all(uninterrupted.optimiser.variables, 0)
    yield uninterrupted
    uninterrupted.run, uninterrupted.config, uninterrupted.position = before


def set_all(variables, value: float) -> None:
    for variable in variables:
        variable.assign(np.full(variable.shape, value))


def reset_weights(model) -> None:
    fresh = model_weights(tiny_pet()).values()
    for weight, start in zip(model_weights(model).values(), fresh, strict=True):
        weight.assign(start)


def arrays_of(run: Path) -> dict[str, np.ndarray]:
    last = load_checkpoint(run / "last.h5")
    groups = {"weights": last.weights, "ema": last.ema, "optimiser": last.optimiser}
    return {
        f"{group}/{name}": array
        for group, arrays in groups.items()
        for name, array in arrays.items()
    }


def without_seconds(lines: list[dict]) -> list[dict]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def set_validation_losses(monkeypatch, trainer, losses):
    """Let the validation return these losses, epoch by epoch; checkpoints are of epochs alone."""
    values = iter(losses)
    monkeypatch.setattr(trainer, "clock", Clock(1000))
    monkeypatch.setattr(trainer, "validate", lambda validation: {"loss": next(values)})


def interrupt_at(trainer, data, steps: int) -> None:
    """Train until a step is interrupted, after so many."""
    apply, done = trainer.apply, []

    def apply_or_interrupt(gradients):
        if len(done) == steps:
            raise Interrupted
        done.append(apply(gradients))

    trainer.apply = apply_or_interrupt
    with pytest.raises(Interrupted):
        trainer.fit(*data)
    trainer.apply = apply


def test_an_interrupted_run_equals_an_uninterrupted_one_bit_for_bit(
    trainer, complete_run, data, tmp_path
):
    # in the second epoch; the last checkpoint is a step older
    interrupt_at(trainer, data, STEPS + 5)
    position = load_checkpoint(tmp_path / "last.h5").record["position"]
    assert (position["epoch"], position["step"]) == (1, 4)

    # what a new process begins with must not matter
    set_all([*model_weights(trainer.objective.model).values(), *trainer.optimiser.variables], 9)
    trainer.position = Position()
    trainer.fit(*data)
    np.testing.assert_equal(arrays_of(tmp_path), arrays_of(complete_run))
    histories = [without_seconds(read_history(run)) for run in (tmp_path, complete_run)]
    assert histories[0] == histories[1]
    best = [load_checkpoint(run / "best.h5").record["position"] for run in (tmp_path, complete_run)]
    assert best[0]["best_epoch"] == best[1]["best_epoch"]


@pytest.mark.slow
def test_runs_with_jets_per_epoch_resume_within_an_epoch_and_end_their_schedule(
    trainer, jets, tmp_path
):
    """An epoch is four of the six steps of a pass; the second one reaches into the next pass."""
    config = replace(CONFIG, warmup_epochs=1, patience=9)
    data = opened(jets, "train", BATCH, jets_per_epoch=4 * BATCH), opened(jets, "val", BATCH)

    def started(run: str) -> Trainer:
        run = tmp_path / run
        run.mkdir(exist_ok=True)
        reset_weights(trainer.objective.model)
        return Trainer(trainer.objective, config, data[0].steps_per_epoch, run, {}, trainer)

    complete = started("complete")
    complete.fit(*data)
    lines = read_history(tmp_path / "complete")
    assert [(line["steps"], line["jets"]) for line in lines] == [(4, 4 * BATCH)] * 3
    assert int(complete.optimiser.iterations) == 12
    rates = [float(complete.optimiser._learning_rate(step)) for step in (0, 4, 16)]
    assert rates == pytest.approx([CONFIG.lr, CONFIG.lr, 0], abs=1e-9)  # warm-up, then 3 epochs

    interrupt_at(started("stopped"), data, 7)
    position = load_checkpoint(tmp_path / "stopped" / "last.h5").record["position"]
    assert (position["epoch"], position["step"]) == (1, 2)
    started("stopped").fit(*data)
    np.testing.assert_equal(arrays_of(tmp_path / "stopped"), arrays_of(tmp_path / "complete"))


def test_loss_falls_and_tops_are_classified(uninterrupted):
    lines = read_history(uninterrupted.run)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["validation"]["cross_entropy"] < 0.85 * lines[0]["training"]["cross_entropy"]
    assert lines[-1]["training"]["loss"] < 0.8 * lines[0]["training"]["loss"]
    assert lines[-1]["validation"]["accuracy"] > 0.7
    assert lines[0]["jets"] == BATCH * STEPS


def test_best_checkpoint_is_the_epoch_of_the_smallest_validation_loss(trainer, data, monkeypatch):
    set_validation_losses(monkeypatch, trainer, [3.0, 1.0, 2.0])
    ends, close = [], trainer.close_epoch

    def close_and_record(validation):
        ends.append(weight_arrays(trainer.objective.model))
        close(validation)

    monkeypatch.setattr(trainer, "close_epoch", close_and_record)
    position = trainer.fit(*data)
    best = load_checkpoint(trainer.run / "best.h5")
    assert (position.best_epoch, position.best_loss) == (2, 1.0)
    assert best.record["position"]["epoch"] == 2
    np.testing.assert_equal(best.weights, ends[1])


def test_training_stops_after_patience_epochs_without_gain(trainer, data, monkeypatch):
    trainer.config = replace(CONFIG, epochs=50)
    set_validation_losses(monkeypatch, trainer, [3.0, 1.0, 2.0, 1.0, 0.5])
    position = trainer.fit(*data)
    assert (position.epoch, position.best_epoch, position.finished) == (4, 2, True)
    assert len(read_history(trainer.run)) == 4


def test_a_finished_run_is_not_changed(trainer, data, capsys):
    trainer.config = replace(CONFIG, epochs=1)
    trainer.fit(*data)
    before = arrays_of(trainer.run)
    (trainer.run / "history.jsonl").unlink()  # lost between the last checkpoint and its line
    trainer.position = Position()
    trainer.fit(*data)
    assert "has finished: 1 epochs" in capsys.readouterr().out
    assert len(read_history(trainer.run)) == 1
    np.testing.assert_equal(arrays_of(trainer.run), before)


def test_a_finished_run_keeps_the_description_of_its_data(trainer, data, monkeypatch):
    described = []
    monkeypatch.setattr("omnilearn.training.trainer.describe_in", lambda *_: described.append(1))
    trainer.config = replace(CONFIG, epochs=1)
    for _ in range(2):
        trainer.position = Position()
        trainer.fit(*data)
    assert len(described) == 1


def test_a_finished_run_goes_on_with_more_epochs_as_if_it_had_never_ended(
    trainer, complete_run, data
):
    for epochs in (1, CONFIG.epochs):
        trainer.config, trainer.position = replace(CONFIG, epochs=epochs), Position()
        assert trainer.fit(*data).epoch == epochs
    np.testing.assert_equal(arrays_of(trainer.run), arrays_of(complete_run))


def test_another_number_of_ranks_repeats_the_epoch(trainer, data):
    trainer.position = Position(1, 4, sums={"loss": 1.0}, seconds=3.0, history=[{"epoch": 1}])
    trainer.optimiser.iterations.assign(5)
    trainer.ranks = 4
    trainer.save("last.h5")
    trainer.ranks = 1
    trainer.resume()
    assert (trainer.position.epoch, trainer.position.step) == (1, 0)
    assert (trainer.position.sums, trainer.position.seconds) == ({}, 0.0)
    assert int(trainer.optimiser.iterations) == STEPS  # the rate of its first step


@pytest.mark.parametrize(("every", "good"), [(2, (0, 4)), (1, (0, 5))])
def test_a_loss_that_is_not_finite_stops_at_its_step_and_keeps_the_last_good_state(
    trainer, data, every, good, monkeypatch
):
    monkeypatch.setattr(trainer, "clock", Clock(every))
    apply, done = trainer.apply, []

    def apply_and_set_nan(gradients):
        done.append(apply(gradients))
        if len(done) == 6 - 1 + (every == 1):
            weight = model_weights(trainer.objective.model)["body.embedding.first.bias"]
            weight.assign(np.full(weight.shape, np.nan))

    monkeypatch.setattr(trainer, "apply", apply_and_set_nan)
    # after the last step of the epoch, the loss of the validation is the next one
    place = "validation" if every == 1 else "step 6"
    message = rf"the loss is nan at epoch 1, {place}; .*last\.h5 holds the last good state"
    with pytest.raises(UserError, match=message):
        trainer.fit(*data)
    position = load_checkpoint(trainer.run / "last.h5").record["position"]
    assert (position["epoch"], position["step"]) == good
    assert all(np.isfinite(array).all() for array in arrays_of(trainer.run).values())
    assert not (trainer.run / "best.h5").exists()


def test_validation_loss_does_not_depend_on_the_batch_size(trainer, jets, data):
    terms = ("loss", "cross_entropy", "velocity", "cross_entropy_perturbed", "accuracy")
    trainer.position.sums = dict.fromkeys(terms, 0.0)
    first = trainer.validate(data[1])
    second = trainer.validate(opened(jets, "val", 41))
    for name, value in first.items():  # times and noise belong to the jets
        assert value == pytest.approx(second[name], rel=1e-5), name
    third = trainer.validate(data[1])
    assert third == first


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)]
    process = run_process(mount)
    if process.returncode:
        pytest.skip(f"no file system can be mounted here: {process.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_file_system_leaves_the_last_checkpoint_intact(trainer, data, small_disk, capsys):
    trainer.run = small_disk
    trainer.position = Position(step=1)
    trainer.save("last.h5")
    before = arrays_of(small_disk)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "other_file").write_bytes(bytes(free - 8192))
    trainer.position = Position(step=2)
    assert run_cli(lambda: trainer.save("last.h5")) == 2
    assert "the disk is full. Nothing half-written was left" in capsys.readouterr().err
    assert sorted(path.name for path in small_disk.iterdir()) == ["last.h5", "other_file"]
    assert load_checkpoint(small_disk / "last.h5").record["position"]["step"] == 1
    np.testing.assert_equal(arrays_of(small_disk), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projection_dim": 16}, r"last\.h5 belongs to another training: .*projection_dim=16, "),
        ({}, r"last\.h5 belongs to another training: its architecture and number .*\), 1\), exp"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(trainer, data, change, message):
    record = {"position": Position().as_json(), "ranks": 1}
    save_checkpoint(
        trainer.run / "last.h5",
        replace(ARCHITECTURE, **change),
        weight_arrays(trainer.objective.model),
        record,
        {},
        {"0000": np.zeros(2)},
    )
    with pytest.raises(UserError, match=message):
        trainer.fit(*data)


def test_key_biases_are_not_trained(uninterrupted):
    """Their gradient is rounding noise: softmax over keys does not depend on them."""
    names = set(uninterrupted.objective.trained()) - set(uninterrupted.names)
    assert len(names) == 3
    assert all(name.endswith("attention.key.bias") for name in names)
    stored = load_checkpoint(uninterrupted.run / "last.h5").weights
    assert all(not stored[name].any() for name in names)


def test_objectives_see_the_gradients_of_all_ranks():
    """A state that they keep is then that of every rank, and resumed from the file of rank 0."""
    seen: list[dict] = []
    steps = SimpleNamespace(
        summed_gradients=lambda *_: ([np.float32(1)], {"loss": 0.0}, {}),
        agree=lambda terms: terms,
        averaged=lambda sums: [np.float32(5)],
        apply=lambda gradients: None,
        position=Position(),
        steps_per_epoch=1,
        names=["codes"],
        objective=SimpleNamespace(after_step=lambda step, gradients, batch: seen.append(gradients)),
    )
    Trainer.step(steps, [], 1.0)
    assert seen == [{"codes": 5.0}]
