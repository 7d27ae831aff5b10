"""CMS's own format PFNano: events with all particle-flow candidates, and the AK8 jets made of them.

Jets are selected as for Aspen Open Jets (O. Amram et al., arXiv:2412.10504, Sec. II): calibrated
pt > 300 GeV, |eta| < 2.5, jet identification with lepton veto, and the filters of event quality
that the file has; rejected jets are counted. preprocessing/puppi.py makes a jet of its candidates.
Productions name their branches differently; the known names are listed here.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from omnilearn.data.catalogue import ASPEN
from omnilearn.errors import UserError
from omnilearn.kinematics import to_cartesian
from preprocessing.jet_chunk import JetChunk, require_one_unit
from preprocessing.puppi import EVENT, require_weights, weighted_jets
from preprocessing.root_tree import jagged, open_tree, per_row
from preprocessing.sources import Shard, require_files

TREE = "Events"
EVENTS_AT_A_TIME = 500  # of about 100 kB each
OUTPUT_BYTES = 2**31  # of PFNano per output file, roughly: a production has many small files

LOWEST_PT = 300.0  # GeV
HIGHEST_ETA = 2.5
TIGHT_LEPTON_VETO = 0b110  # bits of jetId: tight, tight with lepton veto
# recommended for the data of 2016 by CMS; all are optional
FILTERS = tuple(
    f"Flag_{name}"
    for name in (
        "goodVertices",
        "globalSuperTightHalo2016Filter",
        "HBHENoiseFilter",
        "HBHENoiseIsoFilter",
        "EcalDeadCellTriggerPrimitiveFilter",
        "BadPFMuonFilter",
        "BadPFMuonDzFilter",
        "eeBadScFilter",
    )
)

# possible collections, by priority; a branch is COLLECTION_name
CANDIDATES = ("PFCands", "PFCand", "JetPFCands")
JETS = ("FatJet",)
LINKS = ("FatJetPFCands", "FatJetPFCand", "JetPFCandsAK8")
CANDIDATE_INDEX = re.compile(r"(pf?)?cands?Idx", re.IGNORECASE)  # pFCandsIdx, candIdx, ...
JET_INDEX = re.compile(r"(fat)?jetIdx", re.IGNORECASE)
MOMENTUM = ("pt", "eta", "phi", "mass")
CANDIDATE_NEEDED = (*MOMENTUM, "pdgId", "puppiWeight")
CANDIDATE_EXTRA = ("d0", "d0Err", "dz", "dzErr", "charge")
JET_NEEDED = ("pt", "eta", "phi", "jetId")
# our column -> branch of the jets
JET_EXTRA = {
    "soft_drop_mass": "msoftdrop",
    "stored_constituents": "nConstituents",
    "tau1": "tau1",
    "tau2": "tau2",
    "tau3": "tau3",
    "tau4": "tau4",
    "particlenet_H4q": "particleNet_H4qvsQCD",
    "particlenet_Hbb": "particleNet_HbbvsQCD",
    "particlenet_Hcc": "particleNet_HccvsQCD",
    "particlenet_QCD": "particleNet_QCD",
    "particlenet_T": "particleNet_TvsQCD",
    "particlenet_W": "particleNet_WvsQCD",
    "particlenet_Z": "particleNet_ZvsQCD",
    "particlenet_mass": "particleNet_mass",
}
EVENT_BRANCHES = dict(zip(EVENT, ("run", "luminosityBlock", "event"), strict=True))


@dataclass(frozen=True)
class Branches:
    """The names of the branches of a file that are read."""

    candidates: str  # prefix
    jets: str  # prefix
    candidate_index: str  # of a link, the candidate within its event
    jet_index: str  # of a link, the jet within its event
    optional: frozenset[str]  # the optional branches in the file

    def of_candidates(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{self.candidates}_{name}" for name in names)

    def of_jets(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{self.jets}_{name}" for name in names)

    @property
    def filters(self) -> list[str]:
        """The filters of event quality that the file has."""
        return [name for name in FILTERS if name in self.optional]

    @property
    def selection(self) -> tuple[str, ...]:
        """The cuts on a jet, and those that the file does not allow, in words."""
        jet, present = self.jets, self.filters
        absent = [name for name in FILTERS if name not in present]
        return (
            f"{jet}_pt > {LOWEST_PT:g} GeV, |{jet}_eta| < {HIGHEST_ETA:g}",
            f"{jet}_jetId tight with lepton veto",
            *([f"events that pass {', '.join(present)}"] if present else []),
            *([f"filters that the file lacks: {', '.join(absent)}"] if absent else []),
        )

    def all_names(self) -> tuple[str, ...]:
        """Every branch to be read."""
        links = (self.jet_index, self.candidate_index)
        return (
            *self.of_jets(JET_NEEDED),
            *self.of_candidates(CANDIDATE_NEEDED),
            *links,
            *sorted(self.optional),
        )


def shards(files: list[Path]) -> list[Shard]:
    """One shard per about 2 GB of events, each shared among the splits.

    Raises UserError for an empty file.
    """
    require_files(files)
    groups: list[list[Path]] = [[]]
    for path in files:
        size = sum(member.stat().st_size for member in groups[-1])
        if size and size + path.stat().st_size > OUTPUT_BYTES:
            groups.append([])
        groups[-1].append(path)
    return [Shard(ASPEN.splits, index, tuple(group)) for index, group in enumerate(groups)]


@contextmanager
def open_events(path: Path) -> Iterator[tuple[uproot.TTree, Branches]]:
    """The events of a file and the names of their branches; UserError for a missing branch.

    A production has files in which no event passed.
    """
    with open_tree(path, (TREE,), (), "PFNano", may_be_empty=True) as (tree, _):
        size = path.stat().st_size
        if tree.num_entries > size:  # a damaged number of events
            raise UserError(
                f"{path} claims {tree.num_entries} events in {size} bytes; it is damaged, download "
                "it again"
            )
        yield tree, branches(set(tree.keys()), path)


def branches(names: set[str], path: Path) -> Branches:
    """The branches to read among all `names`; raises UserError naming a missing one."""

    def collection(prefixes: tuple[str, ...], columns: tuple[str, ...], title: str) -> str:
        missing = {
            prefix: [column for column in columns if f"{prefix}_{column}" not in names]
            for prefix in prefixes
        }
        prefix = min(prefixes, key=lambda prefix: len(missing[prefix]))
        if missing[prefix]:
            raise UserError(
                f"{path}: the tree {TREE} lacks the branch {prefix}_{missing[prefix][0]} of the "
                f"{title}; PFNano with all candidates and AK8 jets is needed"
            )
        return prefix

    jets = collection(JETS, JET_NEEDED, "AK8 jets")
    candidates = collection(CANDIDATES, CANDIDATE_NEEDED, "candidates")
    for prefix in LINKS:
        columns = sorted(name[len(prefix) + 1 :] for name in names if name.startswith(f"{prefix}_"))
        candidate = [name for name in columns if CANDIDATE_INDEX.fullmatch(name)]
        jet = [name for name in columns if JET_INDEX.fullmatch(name)]
        if candidate and jet:
            break
    else:
        raise UserError(
            f"{path}: no branches link AK8 jets to their candidates ({LINKS[0]}_jetIdx with "
            f"{LINKS[0]}_pFCandsIdx or {LINKS[0]}_candIdx); make the file with the constituents "
            "of AK8 jets"
        )
    optional = {
        *FILTERS,
        *EVENT_BRANCHES.values(),
        *(f"{jets}_{name}" for name in JET_EXTRA.values()),
        *(f"{candidates}_{name}" for name in CANDIDATE_EXTRA),
    }
    return Branches(
        candidates,
        jets,
        f"{prefix}_{candidate[0]}",
        f"{prefix}_{jet[0]}",
        frozenset(optional & names),
    )


def count(path: Path) -> int:
    """AK8 jets in the file, before the selection."""
    with open_events(path) as (tree, names):
        (branch,) = names.of_jets(("pt",))
        events = tree.iterate([branch], step_size=100 * EVENTS_AT_A_TIME, library="ak")
        return sum(int(ak.sum(ak.num(arrays[branch]))) for arrays in events)


def read(path: Path, chunk_rows: int = EVENTS_AT_A_TIME) -> Iterator[JetChunk]:
    """The selected jets of one file, `chunk_rows` events at a time.

    Raises UserError on missing branches, numbers that are not finite, PUPPI weights outside 0-1,
    links to candidates or jets that the event does not have, and unknown PDG ids.
    """
    with open_events(path) as (tree, names):
        first_event = first_row = 0
        for arrays in tree.iterate(names.all_names(), step_size=chunk_rows, library="ak"):
            jets = chunk(arrays, names, path, first_event, first_row)
            yield jets
            first_event += len(arrays)
            first_row += len(jets.rows) + sum(jets.rejected.values())


def chunk(
    arrays: ak.Array, names: Branches, path: Path, first_event: int, first_row: int
) -> JetChunk:
    """The selected jets of some events; rows count all AK8 jets of the file, from `first_row`."""
    jets = select(arrays, names, path, first_event)
    size, candidate = jagged(
        arrays, names.of_candidates(CANDIDATE_NEEDED), path, first_event, "event"
    )
    index, owner = links(arrays, names, jets.jets_of, size, path, first_event)
    of_selected = jets.kept[owner]
    index, owner = index[of_selected], owner[of_selected]
    order = np.argsort(owner, kind="stable")
    index, owner = index[order], (np.cumsum(jets.kept) - 1)[owner[order]]
    *momentum, pdg_id, weight = (
        candidate[name][index] for name in names.of_candidates(CANDIDATE_NEEDED)
    )
    rows = first_row + np.flatnonzero(jets.kept)
    weight_key, id_key = (f"{names.candidates}_{name}" for name in ("puppiWeight", "pdgId"))
    require_weights(weight, rows[owner], path, weight_key, 0, "is this PFNano with PUPPI weights?")
    candidate_extra = [
        optional(arrays, name, names, len(candidate[id_key]))[index]
        for name in names.of_candidates(CANDIDATE_EXTRA)
    ]
    pt, eta, phi, mass = (component.astype(np.float64) for component in momentum)
    # rounding makes some masses of massless candidates negative
    energy = np.hypot(pt * np.cosh(eta), np.maximum(mass, 0.0))
    cartesian = to_cartesian(np.stack([pt, eta, phi, energy], axis=-1))
    extra = {
        column: optional(arrays, f"{names.jets}_{branch}", names, len(jets.kept))[jets.kept]
        for column, branch in JET_EXTRA.items()
    }
    for column, branch in EVENT_BRANCHES.items():
        if branch in names.optional:
            extra[column] = ak.to_numpy(arrays[branch])[jets.event]
    candidates = np.column_stack([cartesian, *candidate_extra, pdg_id, weight])
    result = weighted_jets(candidates, owner, jets.direction, extra, rows, path, id_key)
    result.rejected, result.selection = jets.rejected, names.selection
    return result


@dataclass(frozen=True)
class Selected:
    """The AK8 jets of some events that pass the selection of the paper."""

    jets_of: np.ndarray  # (events,) number of all jets
    kept: np.ndarray  # (all jets,) whether a jet is selected
    event: np.ndarray  # (selected jets,) index of the event
    direction: np.ndarray  # (selected jets, 3) calibrated pt [GeV], eta, phi
    rejected: dict[str, int]  # jets that fail, by the first reason that holds


def select(arrays: ak.Array, names: Branches, path: Path, first_event: int) -> Selected:
    """The jets of arXiv:2412.10504, Sec. II, among those of some events.

    Raises UserError on numbers that are not finite.
    """
    jets_of, jet = jagged(arrays, names.of_jets(JET_NEEDED), path, first_event, "event")
    event = np.repeat(np.arange(len(arrays)), jets_of)
    pt, eta, phi, jet_id = (jet[name] for name in names.of_jets(JET_NEEDED))
    # before the cuts, which leave no jet in larger units
    require_one_unit(pt, first_event + event, ASPEN, path, first_event == 0, "event")
    good_event = np.ones(len(arrays), bool)
    if names.filters:
        flags = per_row(arrays, tuple(names.filters), path, first_event, "event")
        good_event = np.all([values != 0 for values in flags.values()], axis=0)
    identified = (jet_id.astype(np.int64) & TIGHT_LEPTON_VETO) == TIGHT_LEPTON_VETO
    selected, rejected = np.ones(len(pt), bool), {}
    for reason, passes in (
        ("jets of events that fail a filter", good_event[event]),
        (f"jets of pt <= {LOWEST_PT:g} GeV", pt > LOWEST_PT),
        (f"jets of |eta| >= {HIGHEST_ETA:g}", np.abs(eta) < HIGHEST_ETA),
        ("jets that fail the identification", identified),
    ):
        rejected[reason] = int(np.count_nonzero(selected & ~passes))
        selected &= passes
    direction = np.stack([pt, eta, phi], axis=-1)[selected]
    return Selected(jets_of, selected, event[selected], direction, rejected)


def links(
    arrays: ak.Array,
    names: Branches,
    jets_of: np.ndarray,
    size: np.ndarray,
    path: Path,
    first_event: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate and jet of every link (links,), as indices over all events.

    Raises UserError for an index beyond the jets (events,) or candidates `size` (events,).
    """
    branches = (names.jet_index, names.candidate_index)
    count, link = jagged(arrays, branches, path, first_event, "event")
    event = np.repeat(np.arange(len(arrays)), count)
    indices = []
    for name, length in zip(branches, (jets_of, size), strict=True):
        local = link[name].astype(np.int64)
        wrong = (local < 0) | (local >= length[event])
        if wrong.any():
            first = int(np.argmax(wrong))
            raise UserError(
                f"{path}: {name} is {local[first]} in event {first_event + int(event[first])} "
                f"(counted from 0), which has {length[event[first]]} of them; the file does not "
                "hold all candidates of its jets"
            )
        indices.append(local + (np.cumsum(length) - length)[event])
    owner, index = indices
    return index, owner


def optional(arrays: ak.Array, name: str, names: Branches, length: int) -> np.ndarray:
    """All entries of a branch, flattened; NaN (length,) if the file lacks it."""
    if name not in names.optional:
        return np.full(length, np.nan)
    return ak.to_numpy(ak.flatten(arrays[name]))
