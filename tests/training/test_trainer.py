"""Training on toy jets: interruptions leave no trace, the best epoch stays, disasters are told."""

import errno
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_training import ARCHITECTURE, opened, tiny_pet, tiny_trainer, write_jets

from omnilearn.config import Config
from omnilearn.errors import UserError, run_cli
from omnilearn.history import read_history
from omnilearn.model.checkpoint import build_pet, load_checkpoint, model_weights, save_checkpoint
from omnilearn.training.resume import Clock, Position
from omnilearn.training.trainer import Trainer

BATCH, STEPS = 16, 6
CONFIG = Config(
    epochs=3, batch=BATCH, lr=5e-3, body_factor=2.0, warmup_epochs=0, patience=2, checkpoint_every=2
)


class Interrupted(Exception):
    """Stands for Ctrl-C, the end of an allocation, or a power cut."""


@pytest.fixture(scope="module")
def jets(tmp_path_factory):
    return write_jets(tmp_path_factory.mktemp("jets"), train=BATCH * STEPS + 5, val=41)


@pytest.fixture(scope="module")
def data(jets):
    return opened(jets, "train", BATCH), opened(jets, "val", BATCH)


@pytest.fixture(scope="module")
def through(tmp_path_factory, data):
    """A run that was never interrupted."""
    trainer = tiny_trainer(tmp_path_factory.mktemp("through"), CONFIG, data[0])
    trainer.fit(*data)
    return trainer


@pytest.fixture
def trainer(through, tmp_path):
    """The same compiled trainer, set back to a fresh start in another directory."""
    kept = through.run, through.config, through.objective.losses, through.position
    through.run, through.position = tmp_path, Position()
    fresh = model_weights(tiny_pet()).values()
    for weight, start in zip(model_weights(through.objective.model).values(), fresh, strict=True):
        weight.assign(start)
    for variable in through.optimiser.variables:
        variable.assign(np.zeros(variable.shape))
    yield through
    through.run, through.config, through.objective.losses, through.position = kept


def everything(run: Path) -> dict[str, np.ndarray]:
    found = load_checkpoint(run / "last.h5")
    groups = {"weights": found.weights, "ema": found.ema, "optimizer": found.optimiser}
    return {
        f"{group}/{name}": array
        for group, arrays in groups.items()
        for name, array in arrays.items()
    }


def without_clock(lines: list[dict]) -> list[dict]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def history(run: Path) -> list[dict]:
    return read_history(run)


def scripted(trainer, losses):
    """Let the validation find these losses, epoch by epoch."""
    found = iter(losses)
    trainer.validate = lambda validation: {"loss": next(found)}


@pytest.fixture(autouse=True)
def own_validation(request):
    yield
    if "through" in request.fixturenames:
        request.getfixturevalue("through").__dict__.pop("validate", None)


def test_an_interrupted_run_ends_bit_for_bit_like_one_that_never_stopped(through, data, tmp_path):
    stopped = tiny_trainer(tmp_path, CONFIG, data[0])
    apply, done = stopped.apply, []

    def apply_until_the_power_fails(gradients):
        if len(done) == STEPS + 5:  # in the second epoch; the last checkpoint is a step older
            raise Interrupted
        done.append(apply(gradients))

    stopped.apply = apply_until_the_power_fails
    with pytest.raises(Interrupted):
        stopped.fit(*data)
    position = load_checkpoint(tmp_path / "last.h5").record["position"]
    assert (position["epoch"], position["step"]) == (1, 4)

    resumed = tiny_trainer(tmp_path, CONFIG, data[0], seed=99)  # its own start must not matter
    resumed.fit(*data)
    expected, found = everything(through.run), everything(tmp_path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert without_clock(history(tmp_path)) == without_clock(history(through.run))
    best = [load_checkpoint(run / "best.h5").record["position"] for run in (tmp_path, through.run)]
    assert best[0]["best_epoch"] == best[1]["best_epoch"]


def test_epochs_of_so_many_jets_go_on_from_the_middle_of_one_and_count_in_the_schedule(
    trainer, jets, tmp_path
):
    """Four of the six steps of a pass are an epoch; the second epoch reaches into the next pass."""
    config = replace(CONFIG, warmup_epochs=1, patience=9)
    data = opened(jets, "train", BATCH, jets_per_epoch=4 * BATCH), opened(jets, "val", BATCH)

    def started(run: str) -> Trainer:
        run = tmp_path / run
        run.mkdir(exist_ok=True)
        for weight, start in zip(
            model_weights(trainer.objective.model).values(),
            model_weights(tiny_pet()).values(),
            strict=True,
        ):
            weight.assign(start)
        return Trainer(trainer.objective, config, data[0].steps_per_epoch, run, {}, trainer)

    through = started("through")
    through.fit(*data)
    lines = history(tmp_path / "through")
    assert [(line["steps"], line["jets"]) for line in lines] == [(4, 4 * BATCH)] * 3
    assert int(through.optimiser.iterations) == 12
    rates = [float(through.optimiser._learning_rate(step)) for step in (0, 4, 16)]
    assert rates == pytest.approx([CONFIG.lr, CONFIG.lr, 0], abs=1e-9)  # warm-up, then 3 epochs

    stopped = started("stopped")
    apply, done = stopped.apply, []

    def apply_until_the_power_fails(gradients):
        if len(done) == 7:
            raise Interrupted
        done.append(apply(gradients))

    stopped.apply = apply_until_the_power_fails
    with pytest.raises(Interrupted):
        stopped.fit(*data)
    position = load_checkpoint(tmp_path / "stopped" / "last.h5").record["position"]
    assert (position["epoch"], position["step"]) == (1, 2)
    started("stopped").fit(*data)
    expected, found = everything(tmp_path / "through"), everything(tmp_path / "stopped")
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_loss_falls_and_tops_are_told_from_qcd(through):
    lines = history(through.run)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["validation"]["cross_entropy"] < 0.85 * lines[0]["training"]["cross_entropy"]
    assert lines[-1]["training"]["loss"] < 0.8 * lines[0]["training"]["loss"]
    assert lines[-1]["validation"]["accuracy"] > 0.7
    assert lines[0]["jets"] == BATCH * STEPS


def test_best_checkpoint_is_the_epoch_of_the_smallest_validation_loss(trainer, data):
    scripted(trainer, [3.0, 1.0, 2.0])
    ends, close = [], trainer.close_epoch

    def close_and_remember(validation):
        ends.append(
            {
                name: np.array(weight)
                for name, weight in model_weights(trainer.objective.model).items()
            }
        )
        close(validation)

    trainer.close_epoch = close_and_remember
    position = trainer.fit(*data)
    del trainer.close_epoch
    best = load_checkpoint(trainer.run / "best.h5")
    assert (position.best_epoch, position.best_loss) == (2, 1.0)
    assert best.record["position"]["epoch"] == 2
    for name, array in best.weights.items():
        np.testing.assert_array_equal(array, ends[1][name])
    build_pet(best)


def test_training_stops_after_as_many_epochs_without_gain_as_patience_says(trainer, data):
    trainer.config = replace(CONFIG, epochs=50)
    scripted(trainer, [3.0, 1.0, 2.0, 1.0, 0.5])
    position = trainer.fit(*data)
    assert (position.epoch, position.best_epoch, position.finished) == (4, 2, True)
    assert len(history(trainer.run)) == 4


def test_a_finished_run_is_left_as_it_is(trainer, through, data, capsys):
    trainer.config = replace(CONFIG, epochs=1)
    trainer.fit(*data)
    before = everything(trainer.run)
    (trainer.run / "history.jsonl").unlink()  # lost between the last checkpoint and its line
    trainer.position = Position()
    trainer.fit(*data)
    assert "has finished: 1 epochs" in capsys.readouterr().out
    assert len(history(trainer.run)) == 1
    for name, array in everything(trainer.run).items():
        np.testing.assert_array_equal(array, before[name])


def test_another_number_of_ranks_starts_the_epoch_anew(trainer, data):
    trainer.position = Position(1, 4, sums={"loss": 1.0}, seconds=3.0, history=[{"epoch": 1}])
    trainer.optimiser.iterations.assign(5)
    trainer.ranks = 4
    trainer.save("last.h5")
    trainer.ranks = 1
    trainer.resume()
    assert (trainer.position.epoch, trainer.position.step) == (1, 0)
    assert (trainer.position.sums, trainer.position.seconds) == ({}, 0.0)
    assert int(trainer.optimiser.iterations) == STEPS  # the rate of the epoch's beginning


@pytest.mark.parametrize(("every", "good"), [(2, (0, 4)), (1, (0, 5))])
def test_a_loss_that_is_no_number_stops_at_its_step_and_leaves_the_last_good_state(
    trainer, data, every, good, monkeypatch
):
    monkeypatch.setattr(trainer, "clock", Clock(every))
    apply, done = trainer.apply, []

    def apply_and_ruin(gradients):
        done.append(apply(gradients))
        if len(done) == 6 - 1 + (every == 1):
            weight = model_weights(trainer.objective.model)["body.embedding.first.bias"]
            weight.assign(np.full(weight.shape, np.nan))

    trainer.apply = apply_and_ruin
    if every == 1:  # ruined by the last step of the epoch: the validation finds out
        message = r"the loss is nan at epoch 1, validation; .*last\.h5 holds the last good state"
    else:
        message = r"the loss is nan at epoch 1, step 6; .*last\.h5 holds the last good state"
    with pytest.raises(UserError, match=message):
        trainer.fit(*data)
    trainer.apply = apply
    kept = load_checkpoint(trainer.run / "last.h5")
    assert (kept.record["position"]["epoch"], kept.record["position"]["step"]) == good
    assert all(np.isfinite(array).all() for array in everything(trainer.run).values())
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


def test_a_full_disk_leaves_the_old_checkpoint_and_is_told_in_a_sentence(
    trainer, data, monkeypatch, capsys
):
    trainer.config = replace(CONFIG, epochs=1)
    trainer.fit(*data)
    before = {path.name: path.read_bytes() for path in trainer.run.iterdir()}

    def full(path, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full)
    trainer.position = Position(epoch=1, step=2)
    assert run_cli(lambda: trainer.save("last.h5")) == 2
    assert {path.name: path.read_bytes() for path in trainer.run.iterdir()} == before
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "previous.h5: the disk is full" in error  # the first name to be changed


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_leaves_the_last_checkpoint_whole(
    trainer, data, small_disk, capsys
):
    trainer.run = small_disk
    trainer.position = Position(step=1)
    trainer.save("last.h5")
    before = everything(small_disk)
    room = shutil.disk_usage(small_disk).free
    (small_disk / "of_others").write_bytes(bytes(room - 8192))
    trainer.position = Position(step=2)
    assert run_cli(lambda: trainer.save("last.h5")) == 2
    assert "the disk is full. Nothing half-written was left" in capsys.readouterr().err
    assert sorted(path.name for path in small_disk.iterdir()) == ["last.h5", "of_others"]
    assert load_checkpoint(small_disk / "last.h5").record["position"]["step"] == 1
    for name, array in everything(small_disk).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projection_dim": 16}, r"last\.h5 was made by another architecture"),
        ({}, r"last\.h5 belongs to another training: it holds 1 optimiser arrays"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(trainer, data, change, message):
    weights = {name: np.array(w) for name, w in model_weights(trainer.objective.model).items()}
    record = {"position": Position().as_json(), "ranks": 1}
    save_checkpoint(
        trainer.run / "last.h5",
        replace(ARCHITECTURE, **change),
        weights,
        record,
        {},
        {"0000": np.zeros(2)},
    )
    with pytest.raises(UserError, match=message):
        trainer.fit(*data)


def test_key_biases_stay_where_they_are(through):
    """Their gradient is rounding noise: softmax over keys does not depend on them."""
    names = set(through.objective.trained()) - set(through.names)
    assert len(names) == 3
    assert all(name.endswith("attention.key.bias") for name in names)
    stored = load_checkpoint(through.run / "last.h5").weights
    assert all(not stored[name].any() for name in names)
