"""What goes wrong on a shared machine: damaged checkpoints, bad jets, lost files, ends in time."""

import os
import signal

import numpy as np
import pytest
from tiny_training import SPEC, opened, tiny_trainer, write_jets

from omnilearn.config import Config
from omnilearn.data.pipeline import Pipeline
from omnilearn.data.reader import JetFiles
from omnilearn.errors import STOPPED, Stopped, UserError, run_cli
from omnilearn.model.checkpoint import load_checkpoint, model_weights
from omnilearn.training import resume
from omnilearn.training.resume import Clock, Position, StopRequest, latest_intact_checkpoint

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
    """A finished run; its compiled steps serve the other tests."""
    trainer = tiny_trainer(tmp_path_factory.mktemp("run"), CONFIG, data[0])
    trainer.fit(*data)
    return trainer


@pytest.fixture
def begun(trainer, tmp_path, monkeypatch):
    """The trainer at the first epoch of a run in an empty directory."""
    monkeypatch.setattr(trainer, "run", tmp_path)
    monkeypatch.setattr(trainer, "position", Position())
    monkeypatch.setattr(trainer, "request", StopRequest())
    return trainer


@pytest.fixture
def kept(begun):
    """A run directory with two checkpoints, after one step and after two."""
    for step in (1, 2):
        begun.position = Position(step=step, sums={"loss": 1.0})
        begun.save("last.h5")
    return begun.run


def damage(path, kind):
    content = bytearray(path.read_bytes())
    if kind == "cut short":
        del content[len(content) // 2 :]
    elif kind == "empty":
        content.clear()
    else:
        weight = load_checkpoint(path).weights["body.embedding.first.kernel"].tobytes()
        content[content.index(weight)] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["cut short", "empty", "a bit flipped"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_is_used(kept, begun, kind, capsys):
    damage(kept / "last.h5", kind)
    begun.resume()
    assert begun.position.step == 1
    said = capsys.readouterr().out
    assert f"{kept / 'last.h5'}" in said
    assert "damaged" in said
    assert f"going on from the checkpoint before it, {kept / 'previous.h5'}" in said
    assert "resuming" in said


def test_a_damaged_checkpoint_never_takes_the_place_of_the_whole_one_before_it(kept, begun):
    for step in (2, 3):
        damage(kept / "last.h5", "cut short")
        begun.resume()
        assert begun.position.step == 1
        begun.position = Position(step=step, sums={"loss": 1.0})
        begun.save("last.h5")
        assert load_checkpoint(kept / "previous.h5").record["position"]["step"] == 1
    assert load_checkpoint(kept / "last.h5").record["position"]["step"] == 3
    with pytest.raises(UserError):
        load_checkpoint(kept / "damaged.h5")


def test_a_run_killed_between_the_two_renames_goes_on_from_the_older_checkpoint(kept, capsys):
    (kept / "last.h5").unlink()
    assert latest_intact_checkpoint(kept) == kept / "previous.h5"
    assert "last.h5 is missing; going on from" in capsys.readouterr().out


def test_without_a_whole_checkpoint_nothing_is_trained(kept, begun):
    for name in ("last.h5", "previous.h5"):
        damage(kept / name, "a bit flipped")
    with pytest.raises(UserError, match=r"last\.h5 .*previous\.h5 .*no intact checkpoint is left"):
        begun.resume()


def test_what_a_killed_process_left_half_written_is_swept_away(kept, begun):
    (kept / ".last.4711.partial.h5").write_text("half")
    begun.resume()
    assert sorted(path.name for path in kept.iterdir()) == [
        "history.jsonl",
        "last.h5",
        "previous.h5",
    ]


def test_a_loss_that_is_no_number_leaves_its_jets_behind(begun, data, monkeypatch):
    weight = model_weights(begun.objective.model)["body.embedding.first.bias"]
    before = np.array(weight)
    weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(UserError, match=r"the loss is nan at epoch 1, step 1; .*not_a_number"):
        begun.fit(*data)
    weight.assign(before)
    path = begun.run / "not_a_number.epoch1.step1.0.rank0.npz"
    assert [found.name for found in begun.run.iterdir()] == [path.name]
    first = next(iter(data[0].epoch(0)))
    with np.load(path, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["index"], first["index"])
        np.testing.assert_array_equal(stored["mask"], first["mask"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_run_asked_to_stop_leaves_a_checkpoint_of_that_very_step(begun, data, name, capsys):
    begun.clock = Clock(1000)
    apply, done = begun.apply, []

    def apply_until_the_allocation_ends(gradients):
        done.append(apply(gradients))
        if len(done) == 2:
            os.kill(os.getpid(), getattr(signal, name))

    begun.apply = apply_until_the_allocation_ends
    before = signal.getsignal(signal.SIGTERM)
    assert run_cli(lambda: begun.fit(*data)) == STOPPED
    begun.apply, begun.clock = apply, Clock(1)
    assert signal.getsignal(signal.SIGTERM) == before
    assert load_checkpoint(begun.run / "last.h5").record["position"]["step"] == 2
    assert capsys.readouterr().err == (
        f"asked to stop ({name}) at epoch 1, step 3; the same command goes on from there.\n"
    )


def test_a_run_asked_to_stop_while_it_validates_has_kept_the_epoch(begun, data):
    begun.clock = Clock(1000)
    evaluated = begun.evaluated

    def evaluate_as_the_allocation_ends(batch):
        begun.request.name = "SIGTERM"
        return evaluated(batch)

    begun.evaluated = evaluate_as_the_allocation_ends
    with pytest.raises(Stopped, match="epoch 1, validation"):
        begun.fit(*data)
    begun.evaluated, begun.clock = evaluated, Clock(1)
    assert load_checkpoint(begun.run / "last.h5").record["position"]["step"] == STEPS


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
    folder = write_jets(tmp_path, **{f"part{number}": 32 for number in range(4)})
    files = JetFiles(sorted(folder.glob("*.h5")), SPEC)
    batches = Pipeline(files, SPEC, 8, lengths=(24,), window=16).epoch(0)
    next(batches)
    for path in folder.glob("*.h5"):
        path.unlink()
    with pytest.raises(UserError, match=r"part\d\.h5: no readable HDF5 file .*No such file"):
        list(batches)
