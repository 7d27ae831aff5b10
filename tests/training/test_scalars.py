"""Scalars for TensorBoard are the numbers of history.jsonl, and there only when asked for."""

import struct

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tiny_training import opened, tiny_trainer, write_jets

from omnilearn.config import FREE_TO_CHANGE, Config
from omnilearn.history import read_history
from omnilearn.training.scalars import FILE, FOLDER, append_scalars

LINE = {
    "epoch": 2,
    "jets": 90,
    "seconds": 3.0,
    "training": {"loss": 0.5},
    "validation": {"loss": 0.75, "accuracy": 0.25},
}


def events(run) -> list[Event]:
    """All events of the file: records of length, checksum, content, checksum."""
    data, found, place = (run / FOLDER / FILE).read_bytes(), [], 0
    while place < len(data):
        (length,) = struct.unpack("<Q", data[place : place + 8])
        found.append(Event.FromString(data[place + 12 : place + 12 + length]))
        place += 16 + length
    return found


def test_every_number_of_an_epoch_is_a_scalar_at_its_step(tmp_path):
    append_scalars(tmp_path, LINE)
    append_scalars(tmp_path, {**LINE, "epoch": 3})
    first, *epochs = events(tmp_path)
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in epochs] == [2, 3]
    assert {one.tag: one.simple_value for one in epochs[0].summary.value} == {
        "training/loss": 0.5,
        "validation/loss": 0.75,
        "validation/accuracy": 0.25,
        "jets_per_s": 30.0,
    }


@pytest.mark.parametrize("wanted", [True, False])
def test_a_training_writes_scalars_only_when_asked(tmp_path, wanted):
    data = write_jets(tmp_path, train=32, val=16)
    training, validation = (opened(data, split, 16) for split in ("train", "val"))
    config = Config(epochs=1, batch=16, mode="classifier", warmup_epochs=0, tensorboard=wanted)
    run = tmp_path / "run"
    run.mkdir()
    tiny_trainer(run, config, training).fit(training, validation)
    assert (run / FOLDER).exists() == wanted
    if wanted:
        (line,) = read_history(run)
        shown = {one.tag: one.simple_value for one in events(run)[1].summary.value}
        assert shown["validation/loss"] == pytest.approx(line["validation"]["loss"])
    assert "tensorboard" in FREE_TO_CHANGE
