"""Signal region and sidebands of a search: those of the data set, or others that flags give."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnilearn.anomaly.bump_hunt import FALLING_FROM
from omnilearn.anomaly.dijet_mass import BIN_WIDTH, COLLISION_ENERGY, MOST_PARAMETERS, bin_edges
from omnilearn.config import read_config
from omnilearn.data.spec import DatasetSpec
from omnilearn.errors import UserError
from omnilearn.runs import require_recorded
from omnilearn.settings import flag

FLAGS = ("signal_region", "mass_range")  # also the keys in the record of a run


def recorded_regions(spec: DatasetSpec, signal_region: str, mass_range: str) -> dict:
    """What a run records: both ranges [low, high] of dijet mass in GeV, None where not given.

    The texts are like "3300,3700"; the sidebands are the rest of the mass range. Raises UserError
    for other texts, and for a signal region that leaves no sideband below or above.
    """
    texts = dict(zip(FLAGS, (signal_region, mass_range), strict=True))
    about = {key: parsed_range(key, text) if text else None for key, text in texts.items()}
    spec = with_regions(spec, about)
    low, high = spec.signal_region
    lowest, highest = max(spec.sidebands[0][0], FALLING_FROM), spec.sidebands[-1][1]
    if not lowest < low < high < highest:
        raise UserError(
            f"the signal region is {low:g} to {high:g} GeV; expected a sideband on both sides of "
            f"it between {lowest:g} and {highest:g} GeV, where the spectrum falls; change "
            "--signal-region or --mass-range"
        )
    edges = bin_edges((low, high), (lowest, highest))
    bins = np.count_nonzero((edges[:-1] < low) | (edges[:-1] >= high))
    if bins <= MOST_PARAMETERS or highest > COLLISION_ENERGY:
        raise UserError(
            f"the sidebands from {lowest:g} to {low:g} and from {high:g} to {highest:g} GeV have "
            f"{bins} bins of about {BIN_WIDTH:g} GeV; a fit needs {MOST_PARAMETERS + 1} or more, "
            f"below {COLLISION_ENERGY:g} GeV: change --signal-region or --mass-range"
        )
    return about


def require_same(run: Path, about: Mapping) -> None:
    """Raise UserError where a run, if there is one, records other values of these settings."""
    path = run / "config.json"
    if path.is_file():
        mend = "all stages and cells of a search have the same, or choose another --name"
        require_recorded(run, read_config(path)[1], about, mend)


def parsed_range(key: str, text: str) -> list[float]:
    """Two rising numbers, comma-separated; raises UserError for other text."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not 0 <= low < high < math.inf:
        raise UserError(
            f"--{flag(key)} is {text!r}; expected two rising numbers in GeV, like 3300,3700"
        )
    return [low, high]


def with_regions(spec: DatasetSpec, about: Mapping) -> DatasetSpec:
    """The data set with the regions that a run records; its own where the run has none."""
    region, mass_range = (about.get(key) for key in FLAGS)
    if not (region or mass_range):
        return spec
    low, high = region or spec.signal_region
    lowest, highest = mass_range or (spec.sidebands[0][0], spec.sidebands[-1][1])
    sidebands = ((float(lowest), float(low)), (float(high), float(highest)))
    return replace(spec, signal_region=(float(low), float(high)), sidebands=sidebands)
