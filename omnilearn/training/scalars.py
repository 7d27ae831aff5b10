"""The numbers of history.jsonl as TensorBoard scalars, in RUN/tensorboard.

    tensorboard --logdir runs

Written with --tensorboard alone; TensorBoard comes with TensorFlow.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
FILE = "events.out.tfevents.losses"  # TensorBoard reads files with tfevents in their name


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """Scalars by name of a line of history.jsonl: training/loss, validation/loss, jets_per_s."""
    losses = {
        f"{kind}/{name}": value
        for kind in ("training", "validation")
        for name, value in line[kind].items()
    }
    return losses | {"jets_per_s": line["jets"] / max(line["seconds"], 1e-9)}


def append_scalars(run: Path, line: Mapping[str, Any]) -> None:
    """Append the numbers of one epoch, with the epoch as step; on rank 0.

    An interrupted call leaves at most one incomplete record, which TensorBoard skips. Of an epoch
    that is trained again after a crash the last record counts.
    """
    # imported here, for TensorBoard takes a second to load and few trainings use it
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
