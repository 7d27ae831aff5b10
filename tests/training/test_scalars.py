"""Scalars for TensorBoard are the numbers of history.jsonl, written with --tensorboard alone."""

import struct

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tiny_models import tiny_and_eager
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
    data, records, offset = (run / FOLDER / FILE).read_bytes(), [], 0
    while offset < len(data):
        (length,) = struct.unpack("<Q", data[offset : offset + 8])
        records.append(Event.FromString(data[offset + 12 : offset + 12 + length]))
        offset += 16 + length
    return records


def test_every_number_of_an_epoch_is_a_scalar_at_its_step(tmp_path):
    append_scalars(tmp_path, LINE)
    append_scalars(tmp_path, {**LINE, "epoch": 3})
    first, *epochs = events(tmp_path)
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in epochs] == [2, 3]
    assert {each.tag: each.simple_value for each in epochs[0].summary.value} == {
        "training/loss": 0.5,
        "validation/loss": 0.75,
        "validation/accuracy": 0.25,
        "jets_per_s": 30.0,
    }


@pytest.mark.parametrize("tensorboard", [True, False])
def test_a_training_writes_scalars_only_with_tensorboard(tmp_path, tensorboard):
    data = write_jets(tmp_path, train=32, val=16)
    training, validation = (opened(data, split, 16) for split in ("train", "val"))
    config = Config(epochs=1, batch=16, mode="classifier", warmup_epochs=0, tensorboard=tensorboard)
    run = tmp_path / "run"
    run.mkdir()
    with tiny_and_eager():
        tiny_trainer(run, config, training).fit(training, validation)
    assert (run / FOLDER).exists() == tensorboard
    if tensorboard:
        (line,) = read_history(run)
        scalars = {each.tag: each.simple_value for each in events(run)[1].summary.value}
        assert scalars["validation/loss"] == pytest.approx(line["validation"]["loss"])
    assert "tensorboard" in FREE_TO_CHANGE
