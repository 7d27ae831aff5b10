"""Faults of shared machines: damaged checkpoints, bad jets, lost files, time limits."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from flipped_bits import flip_bit
from tiny_models import tiny_and_eager
from tiny_training import SPEC, opened, tiny_trainer, write_jets

from omnilearn.config import Config
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.reader import JetFiles
from omnilearn.errors import STOPPED, Stopped, UserError, run_cli
from omnilearn.model.checkpoint import load_checkpoint, model_weights
from omnilearn.training import distributed, resume
from omnilearn.training.resume import Clock, Position, StopRequest, latest_intact_checkpoint
from omnilearn.training.trainer import Trainer

BATCH, STEPS = 8, 3
CONFIG = Config(
    epochs=2,
    batch=BATCH,
    lr=5e-3,
    warmup_epochs=0,
    patience=2,
    checkpoint_every=1,
    mode="classifier",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_jets(tmp_path_factory.mktemp("jets"), train=BATCH * STEPS, val=9)
    return opened(folder, "train", BATCH), opened(folder, "val", BATCH)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory, data):
    """A finished run, whose trainer is used in other tests; without graphs, for few steps."""
    with tiny_and_eager():
        trainer = tiny_trainer(tmp_path_factory.mktemp("run"), CONFIG, data[0])
        trainer.fit(*data)
        yield trainer


@pytest.fixture
def restarted(trainer, tmp_path, monkeypatch):
    """The trainer at the first epoch of a run in an empty directory."""
    monkeypatch.setattr(trainer, "run", tmp_path)
    monkeypatch.setattr(trainer, "position", Position())
    monkeypatch.setattr(trainer, "request", StopRequest())
    return trainer


@pytest.fixture
def run(restarted):
    """A run directory with two checkpoints, after one step and after two."""
    for step in (1, 2):
        restarted.position = Position(step=step, sums={"loss": 1.0})
        restarted.save("last.h5")
    return restarted.run


def damage(path, kind):
    content = path.read_bytes()
    if kind == "a bit flipped":
        weight = load_checkpoint(path).weights["body.embedding.first.kernel"].tobytes()
        flip_bit(path, content.index(weight))
    else:
        path.write_bytes(content[: len(content) // 2] if kind == "truncated" else b"")


@pytest.mark.parametrize("kind", ["truncated", "empty", "a bit flipped"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(run, restarted, kind, capsys):
    damage(run / "last.h5", kind)
    restarted.resume()
    assert restarted.position.step == 1
    output = capsys.readouterr().out
    assert f"{run / 'last.h5'}" in output
    assert "damaged" in output
    assert f"going on from the checkpoint before it, {run / 'previous.h5'}" in output
    assert "resuming" in output


def test_a_damaged_checkpoint_does_not_replace_the_intact_one_before_it(run, restarted):
    for step in (2, 3):
        damage(run / "last.h5", "truncated")
        restarted.resume()
        assert restarted.position.step == 1
        restarted.position = Position(step=step, sums={"loss": 1.0})
        restarted.save("last.h5")
        assert load_checkpoint(run / "previous.h5").record["position"]["step"] == 1
    assert load_checkpoint(run / "last.h5").record["position"]["step"] == 3
    with pytest.raises(UserError):
        load_checkpoint(run / "damaged.h5")


def test_a_run_killed_between_the_two_renames_resumes_from_the_older_checkpoint(run, capsys):
    (run / "last.h5").unlink()
    assert latest_intact_checkpoint(run) == run / "previous.h5"
    assert "last.h5 is missing; going on from" in capsys.readouterr().out


def test_a_run_without_an_intact_checkpoint_is_refused(run, restarted):
    for name in ("last.h5", "previous.h5"):
        damage(run / name, "a bit flipped")
    with pytest.raises(UserError, match=r"last\.h5 .*previous\.h5 .*no intact checkpoint is left"):
        restarted.resume()


@pytest.mark.parametrize("kind", ["missing", "truncated"])
def test_a_finished_run_without_its_best_weights_says_what_helps(restarted, data, kind):
    """Before, it had finished, and its evaluation advised to train it."""
    restarted.position = Position(epoch=CONFIG.epochs, history=[{}] * CONFIG.epochs, best_epoch=1)
    for name in ("best.h5", "last.h5"):
        restarted.save(name)
    best = restarted.run / "best.h5"
    if kind == "missing":
        best.unlink()
    else:
        damage(best, kind)
    with pytest.raises(UserError, match=r"best\.h5 .*has finished and does not make it again: br"):
        restarted.fit(*data)


def test_temporary_files_of_a_killed_process_are_deleted(run, restarted):
    (run / ".last.4711.partial.h5").write_text("half")
    restarted.resume()
    assert sorted(path.name for path in run.iterdir()) == [
        "history.jsonl",
        "last.h5",
        "previous.h5",
    ]


def test_the_jets_of_a_loss_that_is_not_finite_are_written(restarted, data, monkeypatch):
    weight = model_weights(restarted.objective.model)["body.embedding.first.bias"]
    before = np.array(weight)
    weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(UserError, match=r"the loss is nan at epoch 1, step 1; .*not_a_number"):
        restarted.fit(*data)
    weight.assign(before)
    path = restarted.run / "not_a_number.epoch1.step1.0.rank0.npz"
    assert list(restarted.run.iterdir()) == [path]
    first = next(iter(data[0].epoch(0)))
    with np.load(path, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["index"], first["index"])
        np.testing.assert_array_equal(stored["mask"], first["mask"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_stopped_run_has_a_checkpoint_of_the_step_of_the_signal(restarted, data, name, capsys):
    restarted.clock = Clock(1000)
    apply, done = restarted.apply, []

    def apply_and_signal(gradients):
        done.append(apply(gradients))
        if len(done) == 2:
            os.kill(os.getpid(), getattr(signal, name))

    restarted.apply = apply_and_signal
    before = signal.getsignal(signal.SIGTERM)
    assert run_cli(lambda: restarted.fit(*data)) == STOPPED
    restarted.apply, restarted.clock = apply, Clock(1)
    assert signal.getsignal(signal.SIGTERM) == before
    assert load_checkpoint(restarted.run / "last.h5").record["position"]["step"] == 2
    assert capsys.readouterr().err == (
        f"asked to stop ({name}) at epoch 1, step 3; the same command goes on from there.\n"
    )


def test_a_run_stopped_during_validation_has_a_checkpoint_of_the_epoch(restarted, data):
    restarted.clock = Clock(1000)
    evaluated = restarted.evaluated

    def evaluate_and_signal(batch):
        restarted.request.name = "SIGTERM"
        return evaluated(batch)

    restarted.evaluated = evaluate_and_signal
    with pytest.raises(Stopped, match="epoch 1, validation"):
        restarted.fit(*data)
    restarted.evaluated, restarted.clock = evaluated, Clock(1)
    assert load_checkpoint(restarted.run / "last.h5").record["position"]["step"] == STEPS


def test_a_signal_to_one_rank_during_validation_stops_all(monkeypatch):
    """A rank that is not stopped hears of it with the sums of the terms."""
    rank = SimpleNamespace(
        position=Position(sums={"loss": 1.0}),
        request=StopRequest(),
        save_trained_epoch=lambda loss: None,
    )
    validation = SimpleNamespace(constituents_per_jet=1.0, ordered=lambda: [])
    for other, is_stopped in (([8.0, 4.0, 0.0], False), ([8.0, 4.0, 1.0], True)):
        monkeypatch.setattr(distributed, "total", lambda sums, other=other: np.add(sums, other))
        if is_stopped:
            with pytest.raises(Stopped, match=r"\(another rank was\) at epoch 1, validation"):
                Trainer.validate(rank, validation)
        else:
            assert Trainer.validate(rank, validation) == {"loss": 2.0}


def test_checkpoints_are_due_by_steps_or_after_ten_minutes(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])
    assert [Clock(2).is_due(step) for step in (1, 2, 3, 4)] == [False, True, False, True]
    clock = Clock(0)
    now[0] = 599.0
    assert not clock.is_due(1)
    now[0] = 601.0
    assert clock.is_due(1)
    clock.restart()
    assert not clock.is_due(2)


def test_a_file_deleted_while_jets_are_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("omnilearn.data.reader.OPEN_FILES", 1)
    folder = write_jets(tmp_path, **{f"part{part}": 32 for part in range(4)})
    files = JetFiles(sorted(folder.glob("*.h5")), SPEC)
    batches = Pipeline(files, SPEC, 8, lengths=(24,), window=16).epoch(0)
    next(batches)
    for path in folder.glob("*.h5"):
        path.unlink()
    with pytest.raises(UserError, match=r"part\d\.h5: no readable HDF5 file .*No such file"):
        list(batches)
