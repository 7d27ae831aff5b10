"""Losses of every epoch for TensorBoard, in RUN/tensorboard: what history.jsonl holds, as scalars.

    tensorboard --logdir runs

TensorBoard comes with TensorFlow; nothing is written without --tensorboard.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
FILE = "events.out.tfevents.losses"  # TensorBoard reads files with tfevents in their name


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """Names and numbers of a line of history.jsonl: training/loss, validation/loss, jets_per_s."""
    found = {
        f"{kind}/{name}": value
        for kind in ("training", "validation")
        for name, value in line[kind].items()
    }
    return found | {"jets_per_s": line["jets"] / max(line["seconds"], 1e-9)}


def append_scalars(run: Path, line: Mapping[str, Any]) -> None:
    """Append the numbers of one epoch; its step is the epoch. Called on rank 0.

    Each call writes whole records, so that an interrupted one leaves at most a record that
    TensorBoard passes over. Of an epoch that is trained again after a crash the last one counts.
    """
    # late: TensorBoard takes a second to load, and few trainings ask for it
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / FILE
    is_new = not path.exists()
    with path.open("ab") as file:
        writer = RecordWriter(file)
        if is_new:
            first = Event(wall_time=time.time(), file_version="brain.Event:2")
            writer.write(first.SerializeToString())
        event = Event(wall_time=time.time(), step=line["epoch"])
        for name, value in scalars(line).items():
            event.summary.value.add(tag=name, simple_value=value)
        writer.write(event.SerializeToString())
        writer.flush()
        os.fsync(file.fileno())
