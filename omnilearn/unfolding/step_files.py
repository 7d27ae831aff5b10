"""Files of the weights after each step, from which an interrupted unfolding resumes."""

from pathlib import Path

import numpy as np

from omnilearn.errors import UserError
from omnilearn.hdf5 import array, atomic_file, stored_file
from omnilearn.hdf5_sums import attributes
from omnilearn.training import distributed
from omnilearn.training.resume import LAST, PREVIOUS


class StepFiles:
    """Weights of the simulated events after each step, in RUN/<step>/weights.h5.

    events: their number; digest: that of their files. Raises UserError for weights of other events;
    those of earlier versions have no digest, which is then not compared.
    """

    def __init__(self, run: Path, events: int, digest: str):
        self.run, self.events, self.digest = run, events, digest

    def path(self, name: str) -> Path:
        return self.run / name / "weights.h5"

    def __contains__(self, name) -> bool:
        return bool(distributed.broadcast(self.path(name).is_file()))

    def __getitem__(self, name: str) -> np.ndarray:
        path = self.path(name)
        mend = "remove it, and the step is repeated"
        with stored_file(path, "weights of a step", mend) as file:
            events, weights = int(file.attrs["events"]), array(file, "weight")
            digest = attributes(file).get("files_digest", self.digest)
        if weights.ndim != 1 or not np.isfinite(weights).all():
            raise UserError(
                f"{path}: 'weight' has the shape {weights.shape}, or numbers that are not finite; "
                f"expected one finite weight per event; {mend}"
            )
        if (events, digest) != (self.events, self.digest):
            raise UserError(
                f"{path} is of {events} events, the folder of --data holds "
                f"{self.events} or others, to which the weights of a finished step do not apply, "
                "also with --accept-changed-data; give the folder of the former ones, or unfold "
                "these with finetune.py and another --name"
            )
        return weights

    def __setitem__(self, name: str, weights: np.ndarray) -> None:
        if distributed.rank() == 0:
            with atomic_file(self.path(name)) as file:
                file["weight"] = weights
                file.attrs.update({"events": self.events, "files_digest": self.digest})
            # finished trainings, also those of misses or fakes, need no state to resume from
            for state in (LAST, PREVIOUS):
                for path in self.run.glob(f"{name}*/seed*/fold*/{state}"):
                    path.unlink()
        distributed.barrier()
