"""Two files of the same jets: a copy would count twice and be in both training and test.

Files are compared by their first jets, since a repacked copy differs in its bytes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError

ROWS = 32  # compared in each file
TOLERANCE = 1e-5  # relative; a copy may be stored in another number type


@dataclass(frozen=True)
class FirstJets:
    """The first jets of a file: (jets, 3) pt, eta and number of constituents."""

    path: Path
    jets: np.ndarray

    @staticmethod
    def of(reader, path: Path) -> "FirstJets":
        """The jets of the first chunk of ROWS rows in which the selection leaves any."""
        for chunk in reader.read(path, chunk_rows=ROWS):
            if len(chunk.counts):
                return FirstJets(path, np.column_stack([chunk.jet[:, :2], chunk.counts]))
        return FirstJets(path, np.zeros((0, 3)))

    def is_copy_of(self, other: "FirstJets") -> bool:
        """Whether the shorter list of jets is the beginning of the other."""
        jets = min(len(self.jets), len(other.jets))
        return jets > 0 and np.allclose(
            self.jets[:jets], other.jets[:jets], rtol=TOLERANCE, atol=TOLERANCE
        )


def require_different(files: list[FirstJets]) -> None:
    """Raise UserError naming two files that begin with the same jets."""
    group: list[FirstJets] = []  # files whose first jets have the same pt
    with_jets = (file for file in files if len(file.jets))
    for file in sorted(with_jets, key=lambda file: file.jets[0, 0]):
        if group and not np.isclose(group[-1].jets[0, 0], file.jets[0, 0], rtol=TOLERANCE):
            group = []
        for other in group:
            if file.is_copy_of(other):
                first, second = sorted((file.path, other.path))
                raise UserError(
                    f"{first} and {second} hold the same jets, which would count twice, in "
                    "training and test at once; remove one of them"
                )
        group.append(file)
