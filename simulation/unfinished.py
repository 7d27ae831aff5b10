"""Which files of a sample are complete, so that a killed simulation goes on where it stopped."""

import json
from pathlib import Path

from omnilearn.atomic import atomic_path

NAME = "unfinished.json"


class Unfinished:
    """The record of a simulation under way in the folder `out`, until `end` removes it.

    `made` says all that the jets depend on (JSON). Files count as complete, `kept`, if an earlier
    run with an equal `made` recorded them and they are still there; a record of another run is
    replaced. A record that cannot be read is one of nothing.
    """

    def __init__(self, out: Path, made: dict):
        self.out, self.path = out, out / NAME
        self.made = json.loads(json.dumps(made))
        self.kept: set[Path] = set()
        try:
            earlier = json.loads(self.path.read_text())
            if earlier["made"] == self.made:
                self.kept = {out / name for name in earlier["complete"] if (out / name).is_file()}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.complete = set(self.kept)
        self.write()

    def add(self, path: Path) -> None:
        """Record that `path` is complete."""
        self.complete.add(path)
        self.write()

    def write(self) -> None:
        names = sorted(str(path.relative_to(self.out)) for path in self.complete)
        record = json.dumps({"made": self.made, "complete": names}, indent=2)
        with atomic_path(self.path) as temporary:
            temporary.write_text(record + "\n")

    def end(self) -> None:
        """Every file is there."""
        self.path.unlink(missing_ok=True)
