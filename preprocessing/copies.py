"""The same jets in two files: a copy under another name, repacked or not, would count twice, and
lie in training and test at once.

Files are told by their first jets, not by their bytes: a repacked copy has others.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from omnilearn.errors import UserError

ROWS = 32  # looked at in each file
TOLERANCE = 1e-5  # relative; a copy may have other number types


@dataclass(frozen=True)
class FirstJets:
    """The first jets of a file: (jets, 3) pt, eta and number of constituents."""

    path: Path
    jets: np.ndarray

    @staticmethod
    def of(reader, path: Path) -> "FirstJets":
        """Look at the first ROWS rows of a file that hold jets, with the `read` of its dataset's
        module: a selection may leave none of those before."""
        stretches = (one for one in reader.read(path, at_once=ROWS) if len(one.counts))
        stretch = next(stretches, None)
        if stretch is None:
            return FirstJets(path, np.zeros((0, 3)))
        pt, eta = stretch.jet[:, 0], stretch.jet[:, 1]
        return FirstJets(path, np.stack([pt, eta, stretch.counts], axis=-1))

    def is_copy_of(self, other: "FirstJets") -> bool:
        """Whether the jets of the shorter of the two begin the other."""
        jets = min(len(self.jets), len(other.jets))
        return jets > 0 and np.allclose(
            self.jets[:jets], other.jets[:jets], rtol=TOLERANCE, atol=TOLERANCE
        )


def require_different(files: list[FirstJets]) -> None:
    """Raise UserError naming two files that begin with the same jets."""
    filled = sorted((one for one in files if len(one.jets)), key=lambda one: one.jets[0, 0])
    # copies of a file stand together, among others whose first jet has the same pt
    groups, edges = [], [0, len(filled)]
    edges[1:1] = [
        place + 1
        for place, (one, other) in enumerate(pairwise(filled))
        if not np.isclose(one.jets[0, 0], other.jets[0, 0], rtol=TOLERANCE)
    ]
    groups = [filled[first:last] for first, last in pairwise(edges)]
    for group in groups:
        for place, one in enumerate(group):
            for other in group[:place]:
                if one.is_copy_of(other):
                    first, second = sorted((one.path, other.path))
                    raise UserError(
                        f"{first} and {second} hold the same jets, which would count twice, in "
                        "training and test at once; remove one of them"
                    )
