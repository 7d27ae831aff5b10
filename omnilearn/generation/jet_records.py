"""Sets of jets as awkward records."""

from collections.abc import Callable

import awkward as ak
import numpy as np

from omnilearn.data.spec import JET_FEATURES
from omnilearn.errors import UserError
from omnilearn.generation.jet_sets import JetSet, four_momenta
from omnilearn.generation.sampling import PART


def sampled_records(number: int, seed: int, jets_of: Callable[[np.ndarray], JetSet]) -> ak.Array:
    """`records` of jets 0 to `number`, PART of them at a time, which `jets_of` samples by index.

    Raises UserError for a number below 1 and a negative seed, before anything is sampled.
    """
    if number < 1 or seed < 0:
        raise UserError(f"number {number}, seed {seed}: expected 1 or more, and 0 or more")
    starts = range(0, number, PART)
    return ak.concatenate(
        [records(jets_of(np.arange(start, min(start + PART, number)))) for start in starts]
    )


def records(jets: JetSet) -> ak.Array:
    """Jets as records of `jet` (pt, eta, mass, multiplicity) and a list `constituents`.

    constituents: massless pt, eta, phi, energy, the hardest first, with the name Momentum4D of the
    package vector; GeV and radians.
    """
    momenta, mask = four_momenta(jets)
    order = np.argsort(-momenta[..., 0], axis=1, kind="stable")
    momenta = np.take_along_axis(momenta, order[..., None], axis=1)
    mask = np.take_along_axis(mask, order, axis=1)
    counts = mask.sum(axis=1)
    columns = zip(("pt", "eta", "phi", "energy"), momenta[mask].T, strict=True)
    constituents = ak.zip(
        {name: ak.unflatten(values, counts) for name, values in columns}, with_name="Momentum4D"
    )
    columns = zip(JET_FEATURES, jets.jets.astype(np.float64).T, strict=True)
    jet = ak.zip({name.removeprefix("jet_"): values for name, values in columns})
    return ak.zip({"jet": jet, "constituents": constituents}, depth_limit=1)
