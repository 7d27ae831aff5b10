"""The record of complete files of a sample, with which a killed simulation is resumed."""

import json
from pathlib import Path

from omnilearn.atomic import atomic_path

NAME = "unfinished.json"


class Unfinished:
    """The record of a running simulation in the folder `out`; `end` removes it.

    `sample` holds all that the jets depend on (JSON). `kept` are the existing files that an earlier
    run of the same sample recorded; a record of another sample, or an unreadable one, is replaced.
    """

    def __init__(self, out: Path, sample: dict):
        self.out, self.path = out, out / NAME
        self.sample = json.loads(json.dumps(sample))
        self.kept: set[Path] = set()
        try:
            earlier = json.loads(self.path.read_text())
            if earlier["made"] == self.sample:
                self.kept = {out / name for name in earlier["complete"] if (out / name).is_file()}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.complete = set(self.kept)
        self.write()

    def add(self, path: Path) -> None:
        """Record a complete file."""
        self.complete.add(path)
        self.write()

    def write(self) -> None:
        names = sorted(str(path.relative_to(self.out)) for path in self.complete)
        record = json.dumps({"made": self.sample, "complete": names}, indent=2)
        with atomic_path(self.path) as temporary:
            temporary.write_text(record + "\n")

    def end(self) -> None:
        """Remove the record, when all files are complete."""
        self.path.unlink(missing_ok=True)
