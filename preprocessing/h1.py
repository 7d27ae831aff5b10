"""H1 deep inelastic scattering: ROOT minitrees of Rapgap and Djangoh events; not public.

H1 Collaboration, arXiv:2303.13620 (kT jets of radius 1, 27.6 GeV positrons on 920 GeV protons).
One jet per event, the leading one. Its constituents are stored relative to it: pt and energy as
fractions of the jet's, eta and phi as differences. The charge is their only identity feature.
"""

from collections.abc import Iterator
from pathlib import Path

import awkward as ak
import numpy as np

from omnilearn.data.catalogue import H1
from omnilearn.errors import UserError
from omnilearn.kinematics import wrap_phi
from preprocessing.jet_chunk import CHUNK_ROWS, JetChunk, require_gev, require_one_unit
from preprocessing.root_tree import jagged, open_tree, per_row
from preprocessing.sources import Shard, mix_classes, other_files_in, refuse_row, require_files

FOLDER = "out_ep0607"
TREES = {"Django/minitree": "Djangoh", "Rapgap/minitree": "Rapgap"}
PATTERNS = {"Djangoh": "*Django_Eplus0607_*.root", "Rapgap": "*Rapgap_Eplus0607_*.root"}
EVENT = ("Q2", "y", "ptmiss", "Empz")
JET = ("jet_pt", "jet_eta", "jet_phi", "jet_e")
CONSTITUENT = ("jet_part_pt", "jet_part_eta", "jet_part_phi", "jet_part_e", "jet_part_charge")
JET_INDEX = "jet_part_idx"  # jet of a constituent; 0 is the leading one
BRANCHES = (*EVENT, *JET, *CONSTITUENT, JET_INDEX)

Q2_MIN = 150.0  # GeV^2
Y_RANGE = (0.08, 0.7)
PTMISS_MAX = 10.0  # GeV
EMPZ_RANGE = (45.0, 65.0)  # GeV
JET_PT_MIN = 10.0  # GeV
JET_ETA_RANGE = (-1.5, 2.75)


def shards(raw: Path) -> list[Shard]:
    """Output file i takes the i-th file of each generator, so that it contains both."""
    folder = raw / FOLDER if (raw / FOLDER).is_dir() else raw
    groups = []
    for name, pattern in PATTERNS.items():
        files = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
        if not files:
            raise UserError(
                f"{folder} holds no {pattern} file of {name} but "
                f"{other_files_in(folder)}; {H1.title} comes from {H1.source}"
            )
        groups.append(files)
    require_files([path for files in groups for path in files])
    return [Shard(H1.splits, i, sources) for i, sources in enumerate(mix_classes(groups))]


def count(path: Path) -> int:
    """Events in the file."""
    with open_tree(path, tuple(TREES), BRANCHES, H1.title, row="event") as (tree, _):
        return tree.num_entries


def read(path: Path, chunk_rows: int = CHUNK_ROWS) -> Iterator[JetChunk]:
    """The leading jets of the selected events of one file, `chunk_rows` rows at a time.

    Raises UserError on branches of unequal lengths, numbers that are not finite, a negative pt and
    a tree of another generator than that in the file name.
    """
    with open_tree(path, tuple(TREES), BRANCHES, H1.title, row="event") as (tree, name):
        generator, first_row = TREES[name], 0
        named = [key for key, pattern in PATTERNS.items() if path.match(pattern)]
        if named and generator not in named:
            raise UserError(
                f"{path} holds the tree {name} of {generator}, but its name is one of "
                f"{named[0]}; rename it"
            )
        label = H1.class_names.index(generator)
        for arrays in tree.iterate(BRANCHES, step_size=chunk_rows, library="ak"):
            yield chunk(arrays, label, path, first_row)
            first_row += len(arrays)


def chunk(arrays: ak.Array, label: int, path: Path, first_row: int) -> JetChunk:
    """The leading jets of the events of some entries of the tree that pass the cuts."""
    event = per_row(arrays, EVENT, path, first_row, "event")
    num_jets, jets = jagged(arrays, JET, path, first_row, "event")
    num_constituents, part = jagged(arrays, (*CONSTITUENT, JET_INDEX), path, first_row, "event")
    jets = np.stack([jets[name] for name in JET], axis=-1).astype(np.float64)
    if first_row == 0 and len(jets):
        require_gev(jets[:, 0], H1, path)
    owner = np.repeat(np.arange(len(arrays)), num_constituents)
    negative = np.bincount(owner[part[CONSTITUENT[0]] < 0]) > 0
    problem = f"{CONSTITUENT[0]} is negative"
    refuse_row(negative, path, problem, first_row, "make the file again", "event")

    has_jet = num_jets > 0
    leading = np.full((len(arrays), 4), np.nan)  # NaN passes no cut
    leading[has_jet] = jets[(np.cumsum(num_jets) - num_jets)[has_jet]]
    rows = first_row + np.flatnonzero(has_jet)
    # before the cuts, which leave no jet in larger units
    require_one_unit(leading[has_jet, 0], rows, H1, path, first_row == 0, "event")
    selected, rejected = select(event, leading, has_jet)
    in_jet = selected[owner] & (part[JET_INDEX] == 0)
    owner = owner[in_jet]
    pt, eta, phi, energy, charge = (part[name][in_jet].astype(np.float64) for name in CONSTITUENT)
    jet_pt, jet_eta, jet_phi, jet_energy = leading[owner].T
    return JetChunk(
        constituents=np.stack(
            [pt * jet_pt, eta + jet_eta, wrap_phi(phi + jet_phi), energy * jet_energy], axis=-1
        ),
        counts=np.bincount(owner, minlength=len(arrays))[selected],
        jet=leading[selected],
        label=np.full(selected.sum(), label),
        rows=first_row + np.flatnonzero(selected),
        identity=charge[:, None].astype(np.float32),
        rejected=rejected,
    )


def select(
    event: dict[str, np.ndarray], jet: np.ndarray, has_jet: np.ndarray
) -> tuple[np.ndarray, dict[str, int]]:
    """Whether each event passes all cuts (events,), and rejected events by the first cut they fail.

    The cuts are those of the analyses of lepton-jet correlation and jet substructure.
    """
    cuts = {
        f"with Q2 not above {Q2_MIN:g} GeV^2": event["Q2"] > Q2_MIN,
        f"with y outside {Y_RANGE[0]:g}-{Y_RANGE[1]:g}": between(event["y"], Y_RANGE),
        f"with ptmiss not below {PTMISS_MAX:g} GeV": event["ptmiss"] < PTMISS_MAX,
        f"with E - pz outside {EMPZ_RANGE[0]:g}-{EMPZ_RANGE[1]:g} GeV": between(
            event["Empz"], EMPZ_RANGE
        ),
        "without a jet": has_jet,
        f"with a leading jet not above {JET_PT_MIN:g} GeV": jet[:, 0] > JET_PT_MIN,
        f"with a leading jet outside {JET_ETA_RANGE[0]:g} < eta < {JET_ETA_RANGE[1]:g}": between(
            jet[:, 1], JET_ETA_RANGE
        ),
    }
    selected, rejected = np.ones(len(jet), bool), {}
    for reason, passed in cuts.items():
        if failed := np.count_nonzero(selected & ~passed):
            rejected[reason] = failed
        selected &= passed
    return selected, rejected


def between(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Whether values (n,) lie strictly inside the limits."""
    return (values > limits[0]) & (values < limits[1])
